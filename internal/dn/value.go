package dn

import (
	encodingasn1 "encoding/asn1"
	"encoding/binary"
	"math/big"
	"strconv"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Tags of X.680 that cryptobyte has no name for.
const (
	tagObjectDescriptor = asn1.Tag(7)
	tagReal             = asn1.Tag(9)
	tagRelativeOID      = asn1.Tag(13)
	tagTime             = asn1.Tag(14)
	tagNumericString    = asn1.Tag(18)
	tagUniversalString  = asn1.Tag(28)
	tagBMPString        = asn1.Tag(30)
)

const (
	// maxOID is the longest object identifier, in bytes, that is printed.
	maxOID = 128
	// maxDotted is how many characters of a dotted object identifier OpenSSL
	// prints; it drops the rest.
	maxDotted = 79
)

const upperHex = "0123456789ABCDEF"

// appendAttribute adds one type=value.
func appendAttribute(text []byte, a *attribute) ([]byte, bool) {
	width, ok := a.width()
	if !ok {
		return text, false
	}
	name := shortName(a.oid)
	if name == "" {
		if text, ok = appendDotted(text, a.oid); !ok {
			return text, false
		}
		return appendDump(append(text, '='), a.element), true
	}
	text = append(append(text, name...), '=')
	if width == dump {
		return appendDump(text, a.element), true
	}
	return appendString(text, a.value, width), true
}

// How the characters of a value are stored, if not in units of 1, 2 or 4 bytes.
const (
	utf8Form = 0
	dump     = -1 // no characters: the DER is dumped
)

// width says how the value is stored. It is false for what OpenSSL refuses to
// read: types that are neither those of a DirectoryString (X.520) nor unknown to
// it, and text that has no form in UTF-8.
func (a *attribute) width() (int, bool) {
	switch a.tag {
	case asn1.UTF8String:
		return utf8Form, utf8.Valid(a.value)
	case asn1.PrintableString, asn1.T61String, asn1.IA5String, tagNumericString:
		return 1, true
	case tagBMPString:
		return 2, validWide(a.value, 2)
	case tagUniversalString:
		return 4, validWide(a.value, 4)
	case asn1.BIT_STRING:
		element := cryptobyte.String(a.element)
		var bits encodingasn1.BitString
		return dump, element.ReadASN1BitString(&bits)
	case asn1.SEQUENCE, tagObjectDescriptor, tagReal, tagRelativeOID, tagTime:
		return dump, true
	}
	return dump, false
}

// validWide reports whether every unit of value is a Unicode scalar value.
func validWide(value []byte, width int) bool {
	if len(value)%width != 0 {
		return false
	}
	for ; len(value) > 0; value = value[width:] {
		if r := unit(value, width); r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			return false
		}
	}
	return true
}

// unit reads the first character of value.
func unit(value []byte, width int) uint32 {
	switch width {
	case 4:
		return binary.BigEndian.Uint32(value)
	case 2:
		return uint32(binary.BigEndian.Uint16(value))
	}
	return uint32(value[0])
}

// appendString adds the escaped UTF-8 form of value. Values of one byte a
// character are Latin-1, whatever their type says (X.690 would have T.61; no
// implementation does).
func appendString(text, value []byte, width int) []byte {
	var encoded [utf8.UTFMax]byte
	step := max(width, 1)
	for i := 0; i < len(value); i += step {
		// A lone character counts as the last one, so that "#" alone stays
		// as it is: so does OpenSSL.
		place := inside
		switch {
		case i+step == len(value):
			place = last
		case i == 0:
			place = first
		}
		if width == utf8Form {
			text = appendByte(text, value[i], place)
			continue
		}
		n := utf8.EncodeRune(encoded[:], rune(unit(value[i:], width)))
		for _, b := range encoded[:n] {
			text = appendByte(text, b, place)
		}
	}
	return text
}

// The place of a character in its value.
type place int

const (
	inside place = iota
	first
	last
)

// appendByte adds one byte of UTF-8, escaped as RFC 2253 section 2.4 and
// OpenSSL want it.
func appendByte(text []byte, b byte, at place) []byte {
	switch b {
	case ',', '+', '"', '\\', '<', '>', ';':
		return append(text, '\\', b)
	case '#':
		if at == first {
			return append(text, '\\', b)
		}
	case ' ':
		if at != inside {
			return append(text, '\\', b)
		}
	}
	if b < ' ' || b > '~' {
		return append(text, '\\', upperHex[b>>4], upperHex[b&15])
	}
	return append(text, b)
}

// appendDump adds # and element in hex (RFC 2253, 2.4).
func appendDump(text, element []byte) []byte {
	text = append(text, '#')
	for _, b := range element {
		text = append(text, upperHex[b>>4], upperHex[b&15])
	}
	return text
}

// appendDotted adds an object identifier in dotted decimal form. Components may
// have any size, as in OpenSSL; X.660 sets no limit.
func appendDotted(text, oid []byte) ([]byte, bool) {
	if len(oid) == 0 || len(oid) > maxOID || oid[len(oid)-1] >= 0x80 {
		return text, false
	}
	start := len(text)
	component, fresh := new(big.Int), true
	for _, b := range oid {
		if fresh && b == 0x80 {
			return text, false // a leading zero, which DER forbids
		}
		component.Lsh(component, 7).Or(component, big.NewInt(int64(b&0x7f)))
		if fresh = b < 0x80; !fresh {
			continue
		}
		if len(text) == start {
			text = appendRoot(text, component)
		} else {
			text = component.Append(append(text, '.'), 10)
		}
		component.SetInt64(0)
	}
	return text[:min(len(text), start+maxDotted)], true
}

// appendRoot adds the first two components, which share one number (X.690, 8.19.4).
func appendRoot(text []byte, number *big.Int) []byte {
	top := int64(2)
	if number.IsInt64() {
		top = min(number.Int64()/40, 2)
	}
	text = append(strconv.AppendInt(text, top, 10), '.')
	return number.Sub(number, big.NewInt(40*top)).Append(text, 10)
}
