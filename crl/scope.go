package crl

import (
	"crypto/x509"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A scope is the kinds of certificates that a list is about (RFC 5280, 5.2.5).
// The zero scope is all of them.
type scope struct {
	userOnly  bool
	caOnly    bool
	partition bool // the list names a distribution point
}

// covers reports whether the list would have cert if cert were revoked. A
// partition is taken to cover everything of its issuer: which partition a
// certificate belongs to is known from the certificate's distribution points,
// which client certificates often lack, and the lists of a set are united anyway.
func (s scope) covers(cert *x509.Certificate) bool {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	return isCA && !s.userOnly || !isCA && !s.caOnly
}

var (
	errDistributionPoint = errors.New("malformed issuingDistributionPoint")
	errSomeReasons       = errors.New("the list has entries for some reasons only: get the list for all reasons")
	errAttributeOnly     = errors.New("the list is about attribute certificates: get the one for public key certificates")
	errBothScopes        = errors.New("the list is about user certificates only and CA certificates only, so about none")
)

// readDistributionPoint reads IssuingDistributionPoint (RFC 5280, 5.2.5). It is
// heeded whether it is marked critical, as it must be, or not.
func readDistributionPoint(value cryptobyte.String) (scope, error) {
	var s scope
	var sequence, skip cryptobyte.String
	var someReasons, indirect, attributeOnly bool
	if !value.ReadASN1(&sequence, asn1.SEQUENCE) || !value.Empty() ||
		!sequence.ReadOptionalASN1(&skip, &s.partition, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!readFlag(&sequence, 1, &s.userOnly) ||
		!readFlag(&sequence, 2, &s.caOnly) ||
		!sequence.ReadOptionalASN1(&skip, &someReasons, asn1.Tag(3).ContextSpecific()) ||
		!readFlag(&sequence, 4, &indirect) ||
		!readFlag(&sequence, 5, &attributeOnly) ||
		!sequence.Empty() {
		return s, errDistributionPoint
	}
	switch {
	case indirect:
		return s, errIndirect
	case someReasons:
		return s, errSomeReasons
	case attributeOnly:
		return s, errAttributeOnly
	case s.userOnly && s.caOnly:
		return s, errBothScopes
	}
	return s, nil
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
