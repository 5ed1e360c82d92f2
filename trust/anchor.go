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
	bySubject := make(map[string][]*x509.Certificate)
	for _, c := range b.Certificates {
		a.byDER[string(c.Raw)] = &anchor{cert: c}
		if mayIssue(c) {
			a.issuers.AddCert(timeless(c))
			a.subjects[string(c.RawSubject)] = true
			bySubject[string(c.RawSubject)] = append(bySubject[string(c.RawSubject)], c)
		}
	}
	direct := make(map[*x509.Certificate][]*x509.Certificate, len(b.Certificates))
	for _, c := range b.Certificates {
		direct[c] = issuersOf(c, bySubject)
	}
	for _, c := range b.Certificates {
		a.byDER[string(c.Raw)].above = climb(c, direct)
	}
	return a
}

// find returns the anchor that equals c byte for byte, or nil.
func (a *anchors) find(c *x509.Certificate) *anchor { return a.byDER[string(c.Raw)] }

// issuersOf returns the certificates that signed c, itself excluded. Those
// whose key identifier fits are tried first, and not more than a few.
func issuersOf(c *x509.Certificate, bySubject map[string][]*x509.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	tries := 0
	for _, wantKeyID := range []bool{true, false} {
		for _, ca := range bySubject[string(c.RawIssuer)] {
			fits := bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId)
			if fits != wantKeyID || ca == c || tries == maxIssuerTries {
				continue
			}
			tries++
			if c.CheckSignatureFrom(ca) == nil {
				found = append(found, ca)
			}
		}
	}
	return found
}

// climb collects the links above c. Cross-signatures may make circles.
func climb(c *x509.Certificate, direct map[*x509.Certificate][]*x509.Certificate) []link {
	var links []link
	seen := map[*x509.Certificate]bool{c: true}
	for queue := []*x509.Certificate{c}; len(queue) > 0; queue = queue[1:] {
		for _, issuer := range direct[queue[0]] {
			links = append(links, link{queue[0], issuer})
			if !seen[issuer] {
				seen[issuer] = true
				queue = append(queue, issuer)
			}
		}
	}
	return links
}
