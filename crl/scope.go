package crl

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A scope is which certificates, and which reasons, a list is about (RFC 5280,
// 5.2.5).
type scope struct {
	userOnly  bool
	caOnly    bool
	partition bool // the list names a distribution point
	// names are those of the distribution point, each a GeneralName in DER. A name
	// relative to the issuer is here as the directory name that it stands for.
	names   [][]byte
	reasons reasonSet // those that the list tells of
}

// wholeScope is the scope of a list that does not limit it.
func wholeScope() scope { return scope{reasons: allReasons} }

// covers reports whether the list may have cert if cert were revoked, by the kind of
// certificate. Whether it must, see vouches.
func (s *scope) covers(cert *x509.Certificate) bool {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	return isCA && !s.userOnly || !isCA && !s.caOnly
}

// limited reports that a list of this scope may not vouch for all certificates that
// it covers.
func (s *scope) limited() bool { return s.partition || s.reasons != allReasons }

// same reports whether two lists of one issuer are about the same, as a delta list
// and its base must be (RFC 5280, 5.2.4).
func (s *scope) same(other *scope) bool {
	return s.userOnly == other.userOnly && s.caOnly == other.caOnly && s.partition == other.partition &&
		s.reasons == other.reasons && slices.EqualFunc(s.names, other.names, bytes.Equal)
}

// String says what the list is about; empty if all certificates for all reasons.
func (s *scope) String() string {
	var parts []string
	switch {
	case s.userOnly:
		parts = append(parts, "user certificates")
	case s.caOnly:
		parts = append(parts, "CA certificates")
	}
	if s.partition {
		parts = append(parts, "partition "+nameTexts(s.names))
	}
	if s.reasons != allReasons {
		parts = append(parts, "reasons "+s.reasons.String())
	}
	return strings.Join(parts, "; ")
}

// maxPointNames is how many names the distribution point of a list may have.
const maxPointNames = 32

var (
	errDistributionPoint = errors.New("malformed issuingDistributionPoint")
	errPointNames        = fmt.Errorf("issuingDistributionPoint has more than %d names", maxPointNames)
	errAttributeOnly     = errors.New("the list is about attribute certificates: get the one for public key certificates")
	errBothScopes        = errors.New("the list is about user certificates only and CA certificates only, so about none")
)

// readDistributionPoint reads the IssuingDistributionPoint (RFC 5280, 5.2.5) of a list
// by issuer. It is heeded whether it is marked critical, as it must be, or not.
func readDistributionPoint(value cryptobyte.String, issuer []byte) (scope, error) {
	s := wholeScope()
	var sequence, point, reasons cryptobyte.String
	var someReasons, indirect, attributeOnly bool
	if !value.ReadASN1(&sequence, asn1.SEQUENCE) || !value.Empty() ||
		!sequence.ReadOptionalASN1(&point, &s.partition, pointTag) ||
		!readFlag(&sequence, 1, &s.userOnly) ||
		!readFlag(&sequence, 2, &s.caOnly) ||
		!sequence.ReadOptionalASN1(&reasons, &someReasons, asn1.Tag(3).ContextSpecific()) ||
		!readFlag(&sequence, 4, &indirect) ||
		!readFlag(&sequence, 5, &attributeOnly) ||
		!sequence.Empty() {
		return s, errDistributionPoint
	}
	switch {
	case indirect:
		return s, errIndirect
	case attributeOnly:
		return s, errAttributeOnly
	case s.userOnly && s.caOnly:
		return s, errBothScopes
	}
	if someReasons {
		var ok bool
		if s.reasons, ok = readReasons(reasons); !ok || s.reasons == 0 {
			return s, errDistributionPoint
		}
	}
	if !s.partition {
		return s, nil
	}
	var err error
	s.names, err = pointNames(point, issuer)
	return s, err
}

// pointNames reads the DistributionPointName of a list (RFC 5280, 4.2.1.13).
func pointNames(point cryptobyte.String, issuer []byte) ([][]byte, error) {
	var content cryptobyte.String
	var names [][]byte
	switch {
	case point.PeekASN1Tag(fullNameTag):
		if !point.ReadASN1(&content, fullNameTag) || !point.Empty() {
			return nil, errDistributionPoint
		}
		for !content.Empty() {
			var name cryptobyte.String
			var tag asn1.Tag
			if !content.ReadAnyASN1Element(&name, &tag) {
				return nil, errDistributionPoint
			}
			if len(names) == maxPointNames {
				return nil, errPointNames
			}
			names = append(names, bytes.Clone(name))
		}
	case point.PeekASN1Tag(relativeNameTag):
		if !point.ReadASN1(&content, relativeNameTag) || content.Empty() || !point.Empty() {
			return nil, errDistributionPoint
		}
		names = [][]byte{directoryName(issuer, content)}
	}
	if len(names) == 0 {
		return nil, errDistributionPoint
	}
	return names, nil
}

// directoryName is the GeneralName of an issuer's name with one more relative name,
// given by its content.
func directoryName(issuer []byte, relative []byte) []byte {
	var rdns cryptobyte.String
	name := cryptobyte.String(issuer)
	name.ReadASN1(&rdns, asn1.SEQUENCE) // checked when the list was read
	var b cryptobyte.Builder
	b.AddASN1(directoryTag, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(rdns)
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(relative) })
		})
	})
	return b.BytesOrPanic()
}

// nameTexts is names for people: URIs as they are, others by their DER.
func nameTexts(names [][]byte) string {
	var texts []string
	for _, name := range names {
		s := cryptobyte.String(name)
		var uri cryptobyte.String
		if s.ReadASN1(&uri, asn1.Tag(6).ContextSpecific()) {
			texts = append(texts, fmt.Sprintf("%q", []byte(uri)))
		} else {
			texts = append(texts, fmt.Sprintf("%X", name))
		}
	}
	return strings.Join(texts, ", ")
}

// readFlag reads [tag] IMPLICIT BOOLEAN DEFAULT FALSE.
func readFlag(s *cryptobyte.String, tag uint8, flag *bool) bool {
	var content cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&content, &present, asn1.Tag(tag).ContextSpecific()) {
		return false
	}
	if !present {
		return true
	}
	*flag = len(content) == 1 && content[0] == 0xff
	return *flag || len(content) == 1 && content[0] == 0
}
