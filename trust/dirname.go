package trust

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// normalName returns a form of a distinguished name (DER) that is equal for equal names:
// letter case, repeated blanks and the type of string make no difference
// (RFC 5280, 7.1). Each part is preceded by its length, so that the form of a
// name begins with that of every name above it.
func normalName(der cryptobyte.String) (form string, ok bool) {
	var sequence cryptobyte.String
	if !der.ReadASN1(&sequence, cbasn1.SEQUENCE) || !der.Empty() {
		return "", false
	}
	var b strings.Builder
	for !sequence.Empty() {
		part, ok := normalPart(&sequence)
		if !ok {
			return "", false
		}
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		b.WriteString(part)
	}
	return b.String(), true
}

// normalPart reads one RelativeDistinguishedName, whose attributes have no order.
func normalPart(sequence *cryptobyte.String) (string, bool) {
	var set cryptobyte.String
	if !sequence.ReadASN1(&set, cbasn1.SET) || set.Empty() {
		return "", false
	}
	var attributes []string
	for !set.Empty() {
		var attribute, kind, value cryptobyte.String
		var tag cbasn1.Tag
		if !set.ReadASN1(&attribute, cbasn1.SEQUENCE) || !attribute.ReadASN1(&kind, cbasn1.OBJECT_IDENTIFIER) ||
			!attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
			return "", false
		}
		text, ok := normalText(tag, value)
		if !ok {
			return "", false
		}
		head := binary.BigEndian.AppendUint32(nil, uint32(len(kind)))
		attributes = append(attributes, string(head)+string(kind)+text)
	}
	slices.Sort(attributes)
	var b strings.Builder
	for _, a := range attributes {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a))))
		b.WriteString(a)
	}
	return b.String(), true
}

// The types of string that cryptobyte has no name for. UniversalString is not
// among them, since x509 reads no certificate with one.
const (
	tagNumeric = cbasn1.Tag(18)
	tagTeletex = cbasn1.Tag(20)
	tagBMP     = cbasn1.Tag(30)
)

// normalText folds a string. A value that is no string stands for itself.
func normalText(tag cbasn1.Tag, value []byte) (string, bool) {
	var text string
	switch tag {
	case cbasn1.PrintableString, cbasn1.UTF8String, cbasn1.IA5String, tagNumeric:
		text = string(value)
	case tagTeletex: // in practice Latin-1
		runes := make([]rune, len(value))
		for i, c := range value {
			runes[i] = rune(c)
		}
		text = string(runes)
	case tagBMP:
		if len(value)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(value[2*i:])
		}
		text = string(utf16.Decode(units))
	default:
		return "\x00" + string([]byte{byte(tag)}) + string(value), true
	}
	if !utf8.ValidString(text) {
		return "", false
	}
	return strings.ToLower(strings.Join(strings.Fields(text), " ")), true
}

// beneath reports whether a name, in its normal form, is one of the set or
// below one.
func beneath(set map[string]bool, form string) bool {
	if len(set) == 0 {
		return false
	}
	for end := 0; ; {
		if set[form[:end]] {
			return true
		}
		if end == len(form) {
			return false
		}
		end += 4 + int(binary.BigEndian.Uint32([]byte(form[end:])))
	}
}
