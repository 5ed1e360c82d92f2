package crl

import (
	"bytes"
	"math/big"
	"strings"
	"time"
)

// A List is one certificate revocation list, checked for form. Its signature is
// checked by [List.CheckSignature], which NewSet calls. It is immutable and
// safe for concurrent use. It does not keep the file that it was parsed from.
type List struct {
	size       int // of the file, in bytes
	version    int // 1 or 2
	rawIssuer  []byte
	issuer     string
	number     *big.Int
	base       *big.Int // BaseCRLNumber of a delta list; nil for others
	thisUpdate time.Time
	nextUpdate time.Time
	scope      scope
	index      index
	entries    int
	negative   int // how many entries have a negative serial

	reasonCounts [maxReason + 1]int
	dates        dates
	authorityKey []byte // keyIdentifier

	algorithm algorithm
	digest    []byte // of the signed part, by the algorithm's hash
	signature []byte
}

// Size returns how many bytes the file had.
func (l *List) Size() int { return l.size }

// RawIssuer returns the issuer's name in DER. The caller must not modify it.
func (l *List) RawIssuer() []byte { return l.rawIssuer }

// Issuer returns the issuer's name as RFC 2253 has it; printable ASCII.
func (l *List) Issuer() string { return l.issuer }

// Number returns the CRL number (RFC 5280, 5.2.3), or nil if the list has none.
func (l *List) Number() *big.Int {
	if l.number == nil {
		return nil
	}
	return new(big.Int).Set(l.number)
}

// ThisUpdate returns when the list was issued, in UTC.
func (l *List) ThisUpdate() time.Time { return l.thisUpdate }

// NextUpdate returns when the next list is due, in UTC, or the zero time if the
// list does not say.
func (l *List) NextUpdate() time.Time { return l.nextUpdate }

// BaseNumber returns the number of the oldest list that a delta list (RFC 5280, 5.2.4)
// brings up to date, or nil if the list is not a delta.
func (l *List) BaseNumber() *big.Int {
	if l.base == nil {
		return nil
	}
	return new(big.Int).Set(l.base)
}

// Version returns the version of the format, 1 or 2.
func (l *List) Version() int { return l.version }

// Scope says which certificates and reasons the list is about (RFC 5280, 5.2.5), as
// text for people; empty if it is about all.
func (l *List) Scope() string { return l.scope.String() }

// SignatureAlgorithm returns how the list is signed, such as "SHA256 with ECDSA".
func (l *List) SignatureAlgorithm() string {
	hash := strings.ReplaceAll(l.algorithm.hash.String(), "-", "")
	return hash + " with " + [...]string{schemePKCS1: "RSA", schemePSS: "RSA-PSS", schemeECDSA: "ECDSA"}[l.algorithm.scheme]
}

// AuthorityKeyID returns the key identifier of the signer as the list has it, or nil.
func (l *List) AuthorityKeyID() []byte { return bytes.Clone(l.authorityKey) }

// RevocationDates returns the first and the last revocationDate of the entries, in
// UTC; zero if there are none.
func (l *List) RevocationDates() (first, last time.Time) { return l.dates.span() }

// ReasonCount returns how many entries have the reason; in a delta list, reason
// 8 (removeFromCRL) takes entries of the base back.
func (l *List) ReasonCount(reason ReasonCode) int {
	if int(reason) >= len(l.reasonCounts) {
		return 0
	}
	return l.reasonCounts[reason]
}

// Len returns the number of entries.
func (l *List) Len() int { return l.entries }

// IndexBytes returns how many bytes of memory the entries take: 22 to 23 each.
func (l *List) IndexBytes() int { return l.index.bytes() }

// Contains looks a serial number up, whoever issued it and whatever the scope of
// the list. Use [Set.Status] to decide about a certificate. It allocates nothing. Of
// several entries with the serial, the reason is that of any.
func (l *List) Contains(serial *big.Int) (ReasonCode, bool) {
	var buffer [maxSerial + 1]byte
	return l.index.find(serialContent(&buffer, serial))
}
