package crl

import (
	"bytes"
	"crypto/x509"
	encodingasn1 "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Tags of DistributionPoint and what is in it (RFC 5280, 4.2.1.13).
const (
	pointTag        = asn1.Tag(0x80 | 0x20)
	fullNameTag     = pointTag
	relativeNameTag = pointTag | 1
	pointReasonsTag = asn1.Tag(0x80 | 1)
	crlIssuerTag    = pointTag | 2
	directoryTag    = pointTag | 4
)

var oidPoints = encodingasn1.ObjectIdentifier{2, 5, 29, 31}

// Limits on how much of a certificate's cRLDistributionPoints is heeded. What is
// beyond finds no partition, so that the certificate counts as not covered.
const (
	maxPoints     = 8  // distribution points
	maxNamesAsked = 64 // names in all
)

// points is the distribution points of one certificate, to be matched with lists.
type points struct {
	issuer []byte // content of the RDNSequence of the certificate's issuer
	all    [maxPoints]onePoint
	n      int
}

// onePoint is one DistributionPoint.
type onePoint struct {
	full     cryptobyte.String // content of fullName
	relative cryptobyte.String // element of nameRelativeToCRLIssuer
	reasons  reasonSet
}

// read takes in the distribution points of a certificate. One that another CRL
// issuer answers for is left out, since its lists are indirect (RFC 5280,
// 6.3.3, b.1); so is all from a malformed one on. It does not allocate.
func (p *points) read(cert *x509.Certificate) {
	name := cryptobyte.String(cert.RawIssuer)
	var issuer, list cryptobyte.String
	if name.ReadASN1(&issuer, asn1.SEQUENCE) {
		p.issuer = issuer
	}
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(oidPoints) {
			value := cryptobyte.String(cert.Extensions[i].Value)
			value.ReadASN1(&list, asn1.SEQUENCE)
			break
		}
	}
	for names := 0; !list.Empty() && p.n < maxPoints; {
		point, elsewhere, ok := readPoint(&list)
		if names += countElements(point.full, maxNamesAsked); !ok || names > maxNamesAsked {
			return
		}
		if !elsewhere {
			p.all[p.n] = point
			p.n++
		}
	}
}

// readPoint takes one DistributionPoint from the front of list, and reports whether
// it names a CRL issuer.
func readPoint(list *cryptobyte.String) (point onePoint, elsewhere, ok bool) {
	var sequence, name, reasons, skip cryptobyte.String
	var named, some bool
	if !list.ReadASN1(&sequence, asn1.SEQUENCE) ||
		!sequence.ReadOptionalASN1(&name, &named, pointTag) ||
		!sequence.ReadOptionalASN1(&reasons, &some, pointReasonsTag) ||
		!sequence.ReadOptionalASN1(&skip, &elsewhere, crlIssuerTag) || !sequence.Empty() {
		return point, false, false
	}
	point.reasons = allReasons
	if some {
		if point.reasons, ok = readReasons(reasons); !ok {
			return point, false, false
		}
	}
	switch {
	case !named:
		return point, elsewhere, true
	case name.PeekASN1Tag(fullNameTag):
		ok = name.ReadASN1(&point.full, fullNameTag)
	default:
		ok = name.ReadASN1Element(&point.relative, relativeNameTag)
	}
	return point, elsewhere, ok && name.Empty()
}

// countElements counts the elements of s, and stops after most.
func countElements(s cryptobyte.String, most int) int {
	n := 0
	var element cryptobyte.String
	var tag asn1.Tag
	for n <= most && s.ReadAnyASN1Element(&element, &tag) {
		n++
	}
	return n
}

// vouches returns the reasons for which a list that covers the certificate would have
// it, were it revoked (RFC 5280, 6.3.3, b.2 and d). A partition answers only for
// certificates that name it. One that names no point is in none.
func (p *points) vouches(s *scope) reasonSet {
	if !s.partition {
		return s.reasons
	}
	var reasons reasonSet
	for i := range p.n {
		if p.matches(&p.all[i], s) {
			reasons |= p.all[i].reasons & s.reasons
		}
	}
	return reasons
}

// matches reports whether a point and a list have a name in common.
func (p *points) matches(point *onePoint, s *scope) bool {
	if len(point.relative) > 0 {
		for _, name := range s.names {
			if p.sameDirectory(point.relative, name) {
				return true
			}
		}
		return false
	}
	full := point.full
	var name cryptobyte.String
	var tag asn1.Tag
	for full.ReadAnyASN1Element(&name, &tag) {
		for _, theirs := range s.names {
			if bytes.Equal(name, theirs) {
				return true
			}
		}
	}
	return false
}

// sameDirectory reports whether a GeneralName is the directory name made of the
// issuer's name and a relative one. The relative name differs in its tag only.
func (p *points) sameDirectory(relative, general cryptobyte.String) bool {
	var name, rdns cryptobyte.String
	if !general.ReadASN1(&name, directoryTag) || !name.ReadASN1(&rdns, asn1.SEQUENCE) {
		return false
	}
	rest, ok := bytes.CutPrefix(rdns, p.issuer)
	return ok && len(rest) > 0 && rest[0] == byte(asn1.SET) && bytes.Equal(rest[1:], relative[1:])
}
