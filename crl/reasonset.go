package crl

import (
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A reasonSet is ReasonFlags (RFC 5280, 4.2.1.13): bit 1 is keyCompromise.
type reasonSet uint16

const (
	reasonBits           = 9 // the first is unused
	allReasons reasonSet = 1<<reasonBits - 2
)

// flagCodes are the reason codes that the flags stand for.
var flagCodes = [reasonBits]ReasonCode{
	Unspecified, KeyCompromise, CACompromise, AffiliationChanged, Superseded,
	CessationOfOperation, CertificateHold, PrivilegeWithdrawn, AACompromise,
}

// String lists the reasons by name.
func (r reasonSet) String() string {
	var names []string
	for bit := 1; bit < reasonBits; bit++ {
		if r&(1<<bit) != 0 {
			names = append(names, flagCodes[bit].String())
		}
	}
	return strings.Join(names, ", ")
}

// readReasons reads the content of ReasonFlags, a BIT STRING of at most nine bits. The
// unused bit is passed over.
func readReasons(content cryptobyte.String) (reasonSet, bool) {
	if len(content) < 1 || len(content) > 3 || content[0] > 7 || len(content) == 1 && content[0] != 0 {
		return 0, false
	}
	var r reasonSet
	unused, bits := int(content[0]), content[1:]
	for i := range 8 * len(bits) {
		if bits[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		if i >= reasonBits || i >= 8*len(bits)-unused {
			return 0, false
		}
		r |= 1 << i
	}
	return r & allReasons, true
}

// A vouching collects, reason by reason, which lists say that a certificate was not
// revoked, and until when they hold.
type vouching struct {
	reasons reasonSet
	list    *List // the first
	until   [reasonBits]time.Time
}

// add counts a list for some reasons.
func (v *vouching) add(h *held, reasons reasonSet) {
	until := h.freshUntil()
	for bit := 1; bit < reasonBits; bit++ {
		flag := reasonSet(1) << bit
		if reasons&flag != 0 && (v.reasons&flag == 0 || fresher(until, v.until[bit])) {
			v.until[bit] = until
		}
	}
	if v.reasons |= reasons; v.list == nil && reasons != 0 {
		v.list = h.List
	}
}

// result is Good if all reasons are covered. It holds as long as each reason is
// covered by a list that is due later.
func (v *vouching) result() Result {
	if v.reasons != allReasons {
		return Result{}
	}
	least := v.until[1]
	for _, until := range v.until[2:] {
		if fresher(least, until) {
			least = until
		}
	}
	return Result{Status: Good, List: v.list, FreshUntil: least}
}
