package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/dn"
)

// facts are the values of a leaf that identity filters look at, each kept by
// its kind: an email address never answers for a DNS name.
type facts struct {
	texts     []string          // by kind; in each kind the odd ones last
	plain     [kindCount]uint16 // where the plain texts of a kind end
	end       [kindCount]uint16 // where its texts end
	addresses []netip.Addr
}

// of returns the texts of a kind: those that are in order, and those that hold
// what no honest name does.
func (f *facts) of(k kind) (plain, odd []string) {
	from := uint16(0)
	if k > 0 {
		from = f.end[k-1]
	}
	return f.texts[from:f.plain[k]], f.texts[f.plain[k]:f.end[k]]
}

func newFacts(leaf *x509.Certificate) facts {
	var by [kindCount][]string
	for _, a := range leaf.Subject.Names {
		text, ok := a.Value.(string)
		if k := subjectKind(a.Type); ok && k < kindCount {
			by[k] = append(by[k], text)
		}
	}
	by[kindSANDNS], by[kindSANEmail] = leaf.DNSNames, leaf.EmailAddresses
	by[kindSANURI] = rawURIs(extension(leaf, oidSubjectAltName))
	_, err := spiffeOf(by[kindSANURI])
	by[kindSPIFFEID], by[kindSPIFFETrustDomain] = spiffeLike(by[kindSANURI])
	by[kindIssuer] = []string{dn.RFC2253(leaf.RawIssuer)}
	by[kindSerial] = []string{canonicalSerial(serial(leaf.SerialNumber))}
	digest, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	by[kindSHA256], by[kindSPKISHA256] = []string{string(digest[:])}, []string{string(key[:])}

	f := sorted(&by, err != nil)
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			f.addresses = append(f.addresses, a.Unmap())
		}
	}
	return f
}

// sorted lays the texts out as facts keep them. NoID says that what looks like a
// SPIFFE ID is none.
func sorted(by *[kindCount][]string, noID bool) facts {
	var f facts
	n := 0
	for _, texts := range by {
		n += len(texts)
	}
	f.texts = make([]string, 0, n)
	for k, texts := range by {
		var oddOnes []string
		for _, text := range texts {
			normal, fine := factText(kind(k), text)
			if !fine || noID && (kind(k) == kindSPIFFEID || kind(k) == kindSPIFFETrustDomain) {
				oddOnes = append(oddOnes, normal)
				continue
			}
			f.texts = append(f.texts, normal)
		}
		f.plain[k] = uint16(len(f.texts))
		f.texts = append(f.texts, oddOnes...)
		f.end[k] = uint16(len(f.texts))
	}
	return f
}

// factText brings what a certificate says to the form that filters are compared
// with; false if it is odd.
func factText(k kind, text string) (string, bool) {
	switch k {
	case kindSHA256, kindSPKISHA256, kindSerial:
		return text, true // made here
	case kindSANDNS, kindSANEmail:
		if normal, problem := kinds[k].normalize(text); problem == "" && !odd(text) {
			return normal, true
		}
		return lowerASCII(text), false
	}
	return text, !odd(text)
}

// subjectKind returns the kind of a subject's attribute, or kindCount.
func subjectKind(id asn1.ObjectIdentifier) kind {
	if len(id) == 4 && id[0] == 2 && id[1] == 5 && id[2] == 4 {
		switch id[3] {
		case 3:
			return kindSubjectCN
		case 10:
			return kindSubjectO
		case 11:
			return kindSubjectOU
		}
	}
	return kindCount
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
