package trust

import (
	"bytes"
	"crypto/x509"
)

// anchors are the certificates of one bundle, ready for path building. They
// are immutable.
//
// Every certificate of a trust store is an anchor, roots and intermediates
// alike, so that an intermediate alone suffices (OpenSSL's "partial chain").
// One that is no CA is a pin: it stands for itself, byte for byte, and never
// for another certificate, whatever names or keys that one claims.
type anchors struct {
	byDER    map[string]*anchor
	issuers  *x509.CertPool  // widened copies of the CAs
	subjects map[string]bool // of the CAs, DER
}

// An anchor is one certificate of the bundle.
type anchor struct {
	cert *x509.Certificate
	// above are the certificates of the bundle that vouch for this one,
	// directly or not, each paired with what it vouches for. A path ends at the
	// first anchor, but a list that revokes an anchor is obeyed all the same:
	// who puts a root, its intermediate and the root's list into one store
	// means the list.
	above []link
}

// A link is a certificate and one issuer of it.
type link struct{ cert, issuer *x509.Certificate }

func newAnchors(b *Bundle) *anchors {
	a := &anchors{
		byDER: make(map[string]*anchor, len(b.Certificates)), issuers: x509.NewCertPool(), subjects: make(map[string]bool),
	}
	byName := make(map[string][]*family)
	for _, c := range b.Certificates {
		a.byDER[string(c.Raw)] = &anchor{cert: c}
		if mayIssue(c) {
			a.issuers.AddCert(timeless(c))
			a.subjects[string(c.RawSubject)] = true
			byName[string(c.RawSubject)] = join(byName[string(c.RawSubject)], c)
		}
	}
	issuers := make(map[*x509.Certificate]*family, len(b.Certificates))
	for _, c := range b.Certificates {
		issuers[c] = issuerOf(c, byName[string(c.RawIssuer)])
	}
	for _, c := range b.Certificates {
		a.byDER[string(c.Raw)].above = climb(c, issuers)
	}
	return a
}

// find returns the anchor that equals c byte for byte, or nil.
func (a *anchors) find(c *x509.Certificate) *anchor { return a.byDER[string(c.Raw)] }

// A family is the certificates of one CA: one name and one key. Revocation lists
// are found by these, so that it does not matter which of them is asked for.
type family []*x509.Certificate

func (f family) key() []byte { return f[0].RawSubjectPublicKeyInfo }

// other returns a member that is not c, or nil.
func (f *family) other(c *x509.Certificate) *x509.Certificate {
	for _, member := range *f {
		if member != c {
			return member
		}
	}
	return nil
}

// join adds a CA to the families of its name.
func join(families []*family, ca *x509.Certificate) []*family {
	for _, f := range families {
		if bytes.Equal(f.key(), ca.RawSubjectPublicKeyInfo) {
			*f = append(*f, ca)
			return families
		}
	}
	return append(families, &family{ca})
}

// issuerOf returns the family, of those with the name of its issuer, that signed c;
// nil if none did, or if it has no other member. Those whose key identifier fits
// are tried first, and not more than a few.
func issuerOf(c *x509.Certificate, namesakes []*family) *family {
	tries := 0
	for _, wantKeyID := range []bool{true, false} {
		for _, f := range namesakes {
			if fits := bytes.Equal(c.AuthorityKeyId, (*f)[0].SubjectKeyId); fits != wantKeyID || tries == maxIssuerTries || f.other(c) == nil {
				continue
			}
			tries++
			if c.CheckSignatureFrom((*f)[0]) == nil {
				return f
			}
		}
	}
	return nil
}

// climb collects the links above c: no more than there are certificates in the
// bundle. Cross-signatures may make circles.
func climb(c *x509.Certificate, issuers map[*x509.Certificate]*family) []link {
	var links []link
	seen := make(map[*family]bool)
	for queue := []*x509.Certificate{c}; len(queue) > 0; queue = queue[1:] {
		f := issuers[queue[0]]
		if f == nil {
			continue
		}
		links = append(links, link{queue[0], f.other(queue[0])})
		if seen[f] {
			continue
		}
		seen[f] = true
		for _, member := range *f {
			if member != c {
				queue = append(queue, member)
			}
		}
	}
	return links
}
