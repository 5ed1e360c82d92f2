package crl

import (
	"math/big"
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
	thisUpdate time.Time
	nextUpdate time.Time
	scope      scope
	index      index
	entries    int
	negative   int // how many entries have a negative serial

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
