package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/postern-lb/postern/internal/dn"
)

// A path leads from a leaf to an anchor, signatures and constraints checked,
// time and purpose not.
type path struct {
	certs  []*x509.Certificate // leaf first, anchor last
	anchor *anchor
}

// An untrusted error says why no path was found.
type untrusted struct {
	index  int // in the presented chain, -1 if not known
	detail string
}

func (u *untrusted) Error() string { return u.detail }

// search finds every path from chain[0] to the store, using the rest of the
// chain as helpers. The error is *untrusted.
func (a *anchors) search(chain []*x509.Certificate) ([]path, error) {
	leaf := chain[0]
	if id := notUnderstood(leaf); id != "" {
		return nil, &untrusted{0, "the client certificate has a critical extension that is not understood: " + id}
	}
	// A certificate of the store needs nobody to vouch for it, and for a pin
	// nobody could.
	if own := a.find(leaf); own != nil {
		return []path{{certs: []*x509.Certificate{own.cert}, anchor: own}}, nil
	}
	if err := a.stranger(chain); err != nil {
		return nil, err
	}
	helpers := x509.NewCertPool()
	for _, c := range chain[1:] {
		if mayIssue(c) {
			helpers.AddCert(timeless(c))
		}
	}
	found, err := timeless(leaf).Verify(x509.VerifyOptions{
		Roots:         a.issuers,
		Intermediates: helpers,
		CurrentTime:   noTime(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, explain(err, chain)
	}
	return a.permitted(found, chain)
}

// permitted returns those paths that name constraints allow, with the
// certificates as they were presented.
func (a *anchors) permitted(found [][]*x509.Certificate, chain []*x509.Certificate) ([]path, error) {
	paths := make([]path, 0, len(found))
	var forbidden *untrusted
	for _, certs := range found {
		p, ok := a.original(certs, chain)
		if !ok {
			continue
		}
		if c, problem := forbiddenName(p.certs); c != nil {
			forbidden = &untrusted{position(c, chain), "no path to the trust store is permitted: " + problem}
			continue
		}
		paths = append(paths, p)
	}
	if len(paths) > 0 {
		return paths, nil
	}
	if forbidden != nil {
		return nil, forbidden
	}
	return nil, &untrusted{0, "the path found does not end in the trust store"}
}

// original puts the certificates that were presented, and that of the store,
// in the place of their copies. It fails closed if one has none, which would
// be a bug.
func (a *anchors) original(copies, chain []*x509.Certificate) (path, bool) {
	last := len(copies) - 1
	p := path{certs: make([]*x509.Certificate, len(copies)), anchor: a.find(copies[last])}
	if p.anchor == nil {
		return path{}, false
	}
	p.certs[last] = p.anchor.cert
	for i, c := range copies[:last] {
		at := position(c, chain)
		if at < 0 {
			return path{}, false
		}
		p.certs[i] = chain[at]
	}
	return p, true
}

// position finds a certificate in the presented chain, -1 if it is not there.
func position(c *x509.Certificate, chain []*x509.Certificate) int {
	for i, presented := range chain {
		if bytes.Equal(presented.Raw, c.Raw) {
			return i
		}
	}
	return -1
}

// timeless returns a copy for path building, valid at [noTime] whenever c is.
// ALB checks dates after revocation, and x509 only checks them first of all; so
// path building leaves them aside and decide checks them on the originals.
//
// URIs, and of a CA name constraints that x509 cannot compare, are left to
// [forbiddenName]. Ranges of addresses are made to begin where they begin:
// x509 sorts them by an address that may be any of the range, and then misses
// some exclusions.
func timeless(c *x509.Certificate) *x509.Certificate {
	widened := *c
	widened.NotBefore = noTime()
	widened.NotAfter = noTime()
	widened.URIs = nil
	if c.IsCA {
		widened.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), isNameConstraints)
		widened.PermittedIPRanges = masked(c.PermittedIPRanges)
		widened.ExcludedIPRanges = masked(c.ExcludedIPRanges)
	}
	return &widened
}

func masked(ranges []*net.IPNet) []*net.IPNet {
	var out []*net.IPNet
	for _, r := range ranges {
		out = append(out, &net.IPNet{IP: r.IP.Mask(r.Mask), Mask: r.Mask})
	}
	return out
}

// noTime is any fixed moment other than the zero Time, which x509 would take
// to mean now.
func noTime() time.Time { return time.Unix(0, 0) }

// explain turns an error of x509 into a sentence. The words of x509 itself are
// not repeated: they may hold text of the certificate at any length.
func explain(err error, chain []*x509.Certificate) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return &untrusted{at(invalid.Cert, chain), "no path to the trust store is permitted: " + invalidText(invalid)}
	}
	unknown, ok := errors.AsType[x509.UnknownAuthorityError](err)
	if !ok || unknown.Cert == nil {
		return &untrusted{0, "no path to the trust store was found: " + quote(err.Error())}
	}
	return leadsNowhere(unknown.Cert, at(unknown.Cert, chain))
}

// leadsNowhere is about a certificate whose issuer cannot be found.
func leadsNowhere(c *x509.Certificate, index int) error {
	if selfIssued(c) { // be it with this key or an older one
		return &untrusted{index, quoteSubject(c) + " names itself as its issuer and is not in the trust store"}
	}
	return &untrusted{index, quoteSubject(c) + " was issued by " + quote(dn.RFC2253(c.RawIssuer)) +
		", of which neither the trust store nor the chain has a certificate that fits"}
}

// stranger finds chains that cannot lead to the store because none of their issuers has
// the name of a certificate in it. That takes no signature check, so that a flood of
// strangers, or of clients whose CA was removed, costs little. Nil means that the
// signatures must tell.
func (a *anchors) stranger(chain []*x509.Certificate) error {
	for _, c := range chain {
		if a.subjects[string(c.RawIssuer)] {
			return nil
		}
	}
	last := 0 // where the names lead
	for range chain {
		next := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, chain[last].RawIssuer) && mayIssue(c)
		})
		if next <= 0 || next == last {
			break
		}
		last = next
	}
	return leadsNowhere(chain[last], last)
}

func at(c *x509.Certificate, chain []*x509.Certificate) int {
	if c == nil {
		return 0
	}
	return position(c, chain)
}

func invalidText(e x509.CertificateInvalidError) string {
	switch e.Reason {
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.CANotAuthorizedForExtKeyUsage:
		return "a name constraint of an issuer forbids a name"
	case x509.TooManyIntermediates:
		return "a path length constraint is exceeded"
	case x509.TooManyConstraints:
		return "there are too many name constraints to check"
	case x509.NotAuthorizedToSign:
		return "an issuer is not a CA"
	case x509.NoValidChains:
		return "the certificate policies on it are not valid"
	}
	return quote(e.Error())
}
