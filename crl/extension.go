package crl

import (
	"bytes"
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// MaxExtensions is how many extensions a list, or one entry of it, may have. RFC
// 5280 defines seven and four.
const MaxExtensions = 32

// DER contents of the object identifiers of extensions that mean something here
// (RFC 5280, 5.2 and 5.3).
const (
	oidCRLNumber         = "\x55\x1d\x14" // 2.5.29.20
	oidReasonCode        = "\x55\x1d\x15"
	oidInvalidityDate    = "\x55\x1d\x18"
	oidDeltaIndicator    = "\x55\x1d\x1b"
	oidDistributionPoint = "\x55\x1d\x1c" // issuingDistributionPoint
	oidCertificateIssuer = "\x55\x1d\x1d"
	oidAuthorityKey      = "\x55\x1d\x23" // authorityKeyIdentifier
)

var (
	errMalformed      = errors.New("malformed")
	errExtension      = errors.New("malformed extension")
	errTwice          = errors.New("two extensions of one type")
	errNumber         = errors.New("cRLNumber is not a number of 0 to 20 bytes")
	errRevocationDate = errors.New("revocationDate is not a time as RFC 5280, 5.1.2.6 has it")
	errVersion1       = errors.New("extensions in a list of version 1")
	errIndirect       = errors.New("this is an indirect list, with entries of other CAs: get the list that the issuing CA signs")
)

// An extension is one Extension (RFC 5280, 4.2).
type extension struct {
	oid      cryptobyte.String // content
	critical bool
	value    cryptobyte.String // content of the OCTET STRING
}

func (x extension) is(oid string) bool { return string(x.oid) == oid }

// passOver accepts an extension that nothing is known of, unless it is critical:
// then the list may not mean what it seems to (RFC 5280, 5.2 and 5.3).
func (x extension) passOver() error {
	oid, ok := x.identifier()
	if !ok {
		return errExtension
	}
	if x.critical {
		return fmt.Errorf("critical extension %s is not supported: get a list without it", oid)
	}
	return nil
}

// identifier decodes the object identifier, if it is not longer than any sane one.
func (x extension) identifier() (encodingasn1.ObjectIdentifier, bool) {
	const longest = 64
	if len(x.oid) > longest {
		return nil, false
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(x.oid) })
	s := cryptobyte.String(b.BytesOrPanic())
	var oid encodingasn1.ObjectIdentifier
	return oid, s.ReadASN1ObjectIdentifier(&oid)
}

// readExtensions takes Extensions, which must be all there is in rest, and calls
// visit with each. None may be there twice (RFC 5280, 4.2).
func readExtensions(rest cryptobyte.String, visit func(extension) error) error {
	var list cryptobyte.String
	if !rest.ReadASN1(&list, asn1.SEQUENCE) || !rest.Empty() {
		return errExtension
	}
	all := list
	for n := 0; !list.Empty(); n++ {
		x, ok := readExtension(&list)
		switch {
		case !ok:
			return errExtension
		case n == MaxExtensions:
			return fmt.Errorf("more than %d extensions", MaxExtensions)
		case x.among(all, n):
			return errTwice
		}
		if err := visit(x); err != nil {
			return err
		}
	}
	return nil
}

// among reports whether the first n extensions of list have x's type.
func (x extension) among(list cryptobyte.String, n int) bool {
	for range n {
		if y, ok := readExtension(&list); ok && bytes.Equal(x.oid, y.oid) {
			return true
		}
	}
	return false
}

// readExtension takes one extension from the front of list.
func readExtension(list *cryptobyte.String) (extension, bool) {
	var x extension
	var sequence cryptobyte.String
	if !list.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1(&x.oid, asn1.OBJECT_IDENTIFIER) {
		return x, false
	}
	if sequence.PeekASN1Tag(asn1.BOOLEAN) && !sequence.ReadASN1Boolean(&x.critical) {
		return x, false
	}
	return x, sequence.ReadASN1(&x.value, asn1.OCTET_STRING) && sequence.Empty()
}

// extensions reads crlExtensions (RFC 5280, 5.2), if they are there.
func (p *parser) extensions(end int) error {
	tag := asn1.Tag(0).ContextSpecific().Constructed()
	if p.peek(end) != tag {
		return nil
	}
	start := p.offset()
	element, ok := p.element(tag, end)
	var list cryptobyte.String
	if !ok || !element.ReadASN1(&list, tag) {
		return fault(start, "malformed extensions")
	}
	if p.list.version < 2 {
		return fault(start, "%v", errVersion1)
	}
	if err := readExtensions(list, p.extension); err != nil {
		return fault(start, "list extensions: %v", err)
	}
	return nil
}

// extension takes in one extension of the list.
func (p *parser) extension(x extension) error {
	switch {
	case x.is(oidCRLNumber):
		var ok bool
		if p.list.number, ok = readNumber(x.value); !ok {
			return errNumber
		}
		return nil
	case x.is(oidAuthorityKey) && !x.critical:
		var err error
		p.list.authorityKey, err = readAuthorityKey(x.value)
		return err
	case x.is(oidDeltaIndicator):
		var ok bool
		if p.list.base, ok = readNumber(x.value); !ok {
			return errDeltaNumber
		}
		return nil
	case x.is(oidDistributionPoint):
		var err error
		p.list.scope, err = readDistributionPoint(x.value, p.list.rawIssuer)
		return err
	}
	return x.passOver()
}

// readNumber reads CRLNumber: not negative, at most 20 bytes (RFC 5280, 5.2.3).
func readNumber(value cryptobyte.String) (*big.Int, bool) {
	const longest = 20
	n := new(big.Int)
	if !value.ReadASN1Integer(n) || !value.Empty() || n.Sign() < 0 || n.BitLen() > 8*longest {
		return nil, false
	}
	return n, true
}

// readAuthorityKey reads the keyIdentifier of AuthorityKeyIdentifier, for people: the
// signature tells which key signed the list.
func readAuthorityKey(value cryptobyte.String) ([]byte, error) {
	var sequence, keyID cryptobyte.String
	var present bool
	if !value.ReadASN1(&sequence, asn1.SEQUENCE) || !value.Empty() ||
		!sequence.ReadOptionalASN1(&keyID, &present, asn1.Tag(0).ContextSpecific()) {
		return nil, errors.New("malformed authorityKeyIdentifier")
	}
	return bytes.Clone(keyID), nil
}
