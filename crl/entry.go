package crl

import (
	"fmt"
	"runtime"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// yieldEvery is how many entries are read between offers of the processor to
// others. A list of a million takes most of a second, and on a machine
// with two cores a handshake that becomes ready meanwhile would wait for the
// scheduler to preempt the parser, 10 ms each time; this makes it a fraction of one.
const yieldEvery = 4096

// An entry is one revoked certificate.
type entry struct {
	serial []byte // DER content octets, a part of the file
	reason ReasonCode
}

// revoked builds the index of revokedCertificates (RFC 5280, 5.1.2.6): one pass
// to check and count, one to store. The entries are never held in any other
// form, so that the peak of memory is the file and the index.
func (p *parser) revoked(list cryptobyte.String) error {
	b := newBuilder(len(list))
	err := p.walk(list, func(e entry) {
		b.count(e)
		if e.serial[0] >= 0x80 {
			p.list.negative++
		}
	})
	if err != nil {
		return err
	}
	b.allocate()
	if err := p.walk(list, b.place); err != nil {
		return err
	}
	p.list.index, p.list.entries = b.index, b.entries
	return nil
}

// walk calls visit with each entry.
func (p *parser) walk(rest cryptobyte.String, visit func(entry)) error {
	for i := 0; !rest.Empty(); i++ {
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched()
		}
		start := rest
		e, err := readEntry(&rest, p.list.version)
		if err != nil {
			return fmt.Errorf("byte %d: entry %d: %w", p.offset(start), i+1, err)
		}
		visit(e)
	}
	return nil
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
	if _, ok := readTime(&sequence); !ok {
		return e, errRevocationDate
	}
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
	switch {
	case reason == removeFromCRL:
		return 0, errRemove
	case reason > maxReason || reason == 7:
		return 0, fmt.Errorf("reason code %d, and RFC 5280, 5.3.1 has none such", reason)
	}
	return reason, nil
}
