// Package dn prints distinguished names as ALB does in its headers and logs: as
// `openssl x509 -nameopt RFC2253` would.
//
// The walk is over the DER of a Name (RawSubject or RawIssuer of a certificate),
// because pkix.Name has already lost the order of the attributes, how they were
// grouped, and the types of their values. Start from [Format].
//
// The text is for headers, logs and rules that compare strings. It is pure
// printable ASCII, whatever the certificate holds. Two different names can print
// alike (a BMPString and a UTF8String of one text do), so it is no key to
// find an issuer by: compare the DER for that.
package dn

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// MaxDER is the longest Name, in bytes, that is printed: the size that ALB
	// allows a whole CA certificate.
	MaxDER = 16 << 10
	// MaxText is the longest text, in bytes, that a Name may print as: the size
	// that ALB allows one header (ALB, Quotas for your Application Load Balancers).
	MaxText = 16 << 10
)

// RFC2253 is [Format] for callers to whom a malformed name is no different from
// an empty one.
func RFC2253(raw []byte) string {
	text, _ := Format(raw)
	return text
}

// Format prints raw, a DER Name, exactly as OpenSSL does with -nameopt RFC2253:
// last RDN first, members of a multi-valued RDN last first too, OpenSSL's short
// names for attribute types, values converted to UTF-8 with every byte outside
// printable ASCII as \XX, and #HEX of the DER where the attribute type or the
// type of the value is unknown (ALB, HTTP headers and mutual TLS; RFC 2253).
//
// The answer is "", false if raw is not exactly one Name in DER, holds a value
// that OpenSSL refuses to read, or is over [MaxDER] or [MaxText]; a name is never
// cut short, since that could make it equal to another. An empty Name prints as
// "", true. Format is safe for concurrent use.
func Format(raw []byte) (string, bool) {
	if len(raw) > MaxDER {
		return "", false
	}
	attributes, ok := parse(raw)
	if !ok {
		return "", false
	}
	text := make([]byte, 0, 128)
	for i := len(attributes) - 1; i >= 0; i-- {
		a := &attributes[i]
		if text, ok = appendAttribute(text, a); !ok || len(text) > MaxText {
			return "", false
		}
		if i == 0 {
			break
		}
		if attributes[i-1].rdn == a.rdn {
			text = append(text, '+')
		} else {
			text = append(text, ',')
		}
	}
	return string(text), true
}

// An attribute is one AttributeTypeAndValue (RFC 5280, 4.1.2.4).
type attribute struct {
	rdn     int    // which RDN of the sequence it belongs to
	oid     []byte // content of the type
	tag     asn1.Tag
	value   []byte // content of the value
	element []byte // the value with its header
}

// parse returns the attributes in the order of the certificate.
func parse(raw []byte) ([]attribute, bool) {
	input := cryptobyte.String(raw)
	var name cryptobyte.String
	if !input.ReadASN1(&name, asn1.SEQUENCE) || !input.Empty() {
		return nil, false
	}
	attributes := make([]attribute, 0, 8)
	for rdn := 0; !name.Empty(); rdn++ {
		var set cryptobyte.String
		if !name.ReadASN1(&set, asn1.SET) {
			return nil, false
		}
		for !set.Empty() {
			a := attribute{rdn: rdn}
			if !a.read(&set) {
				return nil, false
			}
			attributes = append(attributes, a)
		}
	}
	return attributes, true
}

// read takes one attribute from the front of set.
func (a *attribute) read(set *cryptobyte.String) bool {
	var sequence, oid, element, value cryptobyte.String
	if !set.ReadASN1(&sequence, asn1.SEQUENCE) ||
		!sequence.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
		!sequence.ReadAnyASN1Element(&element, &a.tag) ||
		!sequence.Empty() {
		return false
	}
	a.oid, a.element = oid, element
	if !element.ReadAnyASN1(&value, &a.tag) {
		return false
	}
	a.value = value
	return true
}
