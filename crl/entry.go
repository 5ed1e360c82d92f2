package crl

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An entry is one revoked certificate.
type entry struct {
	serial []byte // DER content octets, a part of the window
	reason ReasonCode
	date   []byte // element, a part of the window
}

// revoked builds the index of revokedCertificates (RFC 5280, 5.1.2.6), which end
// at the given offset.
func (p *parser) revoked(end int) error {
	var b builder
	for p.offset() < end {
		start := p.offset()
		e, err := p.entry(end)
		if err != nil {
			return fault(start, "entry %d: %v", b.n+1, err)
		}
		if e.serial[0] >= 0x80 {
			p.list.negative++
		}
		p.list.reasonCounts[e.reason]++
		p.list.dates.note(e.date)
		b.add(e)
	}
	p.list.entries = b.n
	p.list.index = b.index(p.turn)
	return nil
}

// entry takes one entry. Nearly all entries of nearly all lists are of a form that
// quickEntry reads, which halves the time that a list takes.
func (p *parser) entry(end int) (entry, error) {
	b := p.window.next(quickMost)
	if e, n := quickEntry(b, p.list.version); n > 0 && n <= end-p.offset() {
		p.skip(n)
		return e, nil
	}
	element, ok := p.element(asn1.SEQUENCE, end)
	if !ok {
		return entry{}, errMalformed
	}
	return readEntry(&element, p.list.version)
}

// quickReason is the one extension that most entries with extensions have, a
// reason code that is not critical, but for the code.
const quickReason = "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01"

// The parts of an entry that quickEntry reads: header, serial, date, reason.
const (
	quickDate = 2 + 13
	quickMost = 2 + 2 + maxSerial + quickDate + len(quickReason) + 1
)

// quickEntry reads an entry of the usual form from the front of b and returns its
// size, or 0 if readEntry must look at it. Where it answers, readEntry would
// answer the same; a test holds it to that.
func quickEntry(b []byte, version int) (entry, int) {
	if len(b) < 4 || b[0] != derSequence || b[2] != byte(asn1.INTEGER) {
		return entry{}, 0
	}
	size, serialEnd := 2+int(b[1]), 4+int(b[3])
	if b[1] >= longForm || b[3] > maxSerial || len(b) < size || size < serialEnd+quickDate {
		return entry{}, 0
	}
	e := entry{serial: b[4:serialEnd:serialEnd]}
	rest := b[serialEnd:size]
	if checkSerial(e.serial) != nil || rest[0] != byte(asn1.UTCTime) || rest[1] != 13 || !validUTC(rest[2:quickDate]) {
		return entry{}, 0
	}
	e.date = rest[:quickDate:quickDate]
	switch rest = rest[quickDate:]; {
	case len(rest) == 0:
		return e, size
	case version < 2 || len(rest) != len(quickReason)+1 || string(rest[:len(quickReason)]) != quickReason:
		return entry{}, 0
	}
	e.reason = ReasonCode(rest[len(quickReason)])
	if checkReason(e.reason) != nil {
		return entry{}, 0
	}
	return e, size
}

// readEntry takes one entry from the front of rest.
func readEntry(rest *cryptobyte.String, version int) (entry, error) {
	var e entry
	var sequence, serial cryptobyte.String
	if !rest.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1(&serial, asn1.INTEGER) {
		return e, errMalformed
	}
	if err := checkSerial(serial); err != nil {
		return e, err
	}
	e.serial = serial
	date := sequence
	if _, ok := readTime(&sequence); !ok {
		return e, errRevocationDate
	}
	e.date = date[:len(date)-len(sequence)]
	if sequence.Empty() {
		return e, nil
	}
	if version < 2 {
		return e, errVersion1
	}
	var err error
	e.reason, err = readEntryExtensions(sequence)
	return e, err
}

// checkSerial wants an integer in DER of at most 20 bytes and its sign. Longer
// ones are refused, and not passed over: the certificate would count as good.
func checkSerial(s []byte) error {
	switch {
	case len(s) == 0,
		len(s) > 1 && s[0] == 0x00 && s[1] < 0x80,
		len(s) > 1 && s[0] == 0xff && s[1] >= 0x80:
		return errMalformed
	case len(s) > maxSerial, len(s) == maxSerial && s[0] != 0x00 && s[0] != 0xff:
		return fmt.Errorf("serial number of %d bytes, and RFC 5280, 4.1.2.2 allows 20: have the CA leave the entry out", len(s))
	}
	return nil
}

// readEntryExtensions reads crlEntryExtensions (RFC 5280, 5.3).
func readEntryExtensions(rest cryptobyte.String) (ReasonCode, error) {
	var reason ReasonCode
	err := readExtensions(rest, func(x extension) error {
		switch {
		case x.is(oidReasonCode):
			var err error
			reason, err = readReason(x.value)
			return err
		case x.is(oidInvalidityDate):
			return nil // the certificate is revoked whenever that was
		case x.is(oidCertificateIssuer):
			return errIndirect
		}
		return x.passOver()
	})
	return reason, err
}

// readReason reads CRLReason (RFC 5280, 5.3.1).
func readReason(value cryptobyte.String) (ReasonCode, error) {
	var content cryptobyte.String
	if !value.ReadASN1(&content, asn1.ENUM) || len(content) != 1 || !value.Empty() {
		return 0, errMalformed
	}
	reason := ReasonCode(content[0])
	if err := checkReason(reason); err != nil {
		return 0, err
	}
	return reason, nil
}

func checkReason(reason ReasonCode) error {
	switch {
	case reason > maxReason || reason == 7:
		return fmt.Errorf("reason code %d, and RFC 5280, 5.3.1 has none such", reason)
	}
	return nil
}
