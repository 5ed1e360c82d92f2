package trust

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// facts are the values of a leaf that identity filters look at, each kept by
// its type: an email address never answers for a DNS name.
type facts struct {
	commonNames, units, dnsNames, uris []string
}

func newFacts(leaf *x509.Certificate) facts {
	var f facts
	for _, a := range leaf.Subject.Names {
		text, ok := a.Value.(string)
		switch {
		case !ok:
		case a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}):
			f.commonNames = append(f.commonNames, text)
		case a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 11}):
			f.units = append(f.units, text)
		}
	}
	for _, name := range leaf.DNSNames {
		f.dnsNames = append(f.dnsNames, strings.ToLower(name))
	}
	f.uris = rawURIs(extension(leaf, oidSubjectAltName))
	return f
}

// rawURIs returns the URIs of a subject alternative name extension as they are
// written. x509 keeps them parsed only, and printing them again may change the
// spelling, on which a pattern must not depend.
func rawURIs(der cryptobyte.String) []string {
	var names cryptobyte.String
	if !der.ReadASN1(&names, cbasn1.SEQUENCE) {
		return nil
	}
	var uris []string
	for !names.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&value, &tag) {
			return nil
		}
		if tag == cbasn1.Tag(6).ContextSpecific() {
			uris = append(uris, string(value))
		}
	}
	return uris
}

// oid is the last arc of an extension below id-ce (2.5.29).
type oid int

const (
	oidKeyUsage           oid = 15
	oidSubjectAltName     oid = 17
	oidNameConstraints    oid = 30
	oidDistributionPoints oid = 31
	oidExtKeyUsage        oid = 37
)

// extension returns the value of an extension, nil if there is none.
func extension(c *x509.Certificate, id oid) []byte {
	for i := range c.Extensions {
		e := c.Extensions[i].Id
		if len(e) == 4 && e[0] == 2 && e[1] == 5 && e[2] == 29 && e[3] == int(id) {
			return c.Extensions[i].Value
		}
	}
	return nil
}

func hasExtension(c *x509.Certificate, id oid) bool { return extension(c, id) != nil }
