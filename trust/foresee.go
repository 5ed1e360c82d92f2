package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"time"

	"github.com/postern-lb/postern/internal/dn"
)

// A Forecast is what [Store.Foresee] expects.
type Forecast struct {
	*Verdict
	// Unsure says why the verdict may be wrong; empty if there is no particular reason.
	Unsure string
}

// Foresee says what [Store.Verify] would decide about a client of which a footprint was
// kept. Path, revocation, dates and depth are judged by the code that Verify uses. What
// only the certificate itself could tell is taken to be as it was: signature, key, form,
// size, purpose. Three things can only be guessed, and make the forecast unsure: identity
// filters that look at more than the subject, if they are not those that admitted the
// client; name constraints of another certificate of its CA; and whether a client that was itself
// in the bundle has a path to a CA there. Certificates that a client sends without need are
// not known either; with another bundle they might lead to it.
func (s *Store) Foresee(f *Footprint, p *Policy, now time.Time) Forecast {
	state := s.state.Load()
	leaf := f.leaf()
	q := question{chain: []*x509.Certificate{leaf}, now: now, variant: p.variant(), revocations: state.revocations, rules: state.rules}
	for _, ca := range f.Path {
		if ca.Sent {
			q.chain = append(q.chain, ca.Cert)
		}
	}
	out := q.foresee(f, p, state.snapshot)
	if out.Verdict == nil {
		out.Verdict = &Verdict{Accepted: true, Index: -1, Detail: quoteSubject(leaf) + " would be accepted"}
	}
	if out.Identity == nil {
		out.about(leaf)
	}
	return out
}

// foresee goes through the steps of Verify; a forecast without a verdict is good.
func (q *question) foresee(f *Footprint, p *Policy, snapshot *Snapshot) (out Forecast) {
	if f.Presented > p.depth() {
		out.Verdict = refuse(ClientCertMaxChainDepthExceeded, p.depth(),
			"the client sent %d certificates; at most %d are allowed", f.Presented, p.depth())
		return out
	}
	paths, err := q.pathsOf(f, snapshot)
	if err != nil {
		out.Verdict = refuseSearch(err)
		if len(f.Path) == 0 && (f.Presented > 1 || snapshot.hasSubject(f.Issuer)) {
			out.Unsure = "it was itself in the bundle; there may be a path to a CA of the bundle, of which nothing is known"
		}
		return out
	}
	admitted, known := p.foreseeAdmits(f, q.chain[0])
	if !known {
		out.Unsure = "the identity filters are not those that admitted it, and look at what is not kept of a certificate"
	}
	if !admitted && known {
		out.Verdict = refuse(ClientCertRejected, 0, "none of %d identity filters admits %s", len(p.filters()), quoteSubject(q.chain[0]))
		return out
	}
	accepted, refusal := q.decide(paths)
	if refusal != nil {
		return Forecast{Verdict: refusal}
	}
	if len(accepted.certs) > 1 && nameConstraints(accepted.certs[1]) > 0 && !bytes.Equal(accepted.certs[1].Raw, f.Path[0].Cert.Raw) {
		out.Unsure = "another certificate of its CA is in the bundle than it was accepted by, with name constraints"
	}
	return out
}

// leaf stands in for the client's certificate.
func (f *Footprint) leaf() *x509.Certificate {
	leaf := &x509.Certificate{
		Raw: f.SHA256[:], RawSubject: f.Subject, SerialNumber: f.Serial, NotBefore: f.NotBefore, NotAfter: f.NotAfter,
	}
	if len(f.Path) > 0 {
		leaf.RawIssuer = f.Path[0].Cert.RawSubject
	}
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(f.Subject, &name); err == nil && len(rest) == 0 {
		leaf.Subject.FillFromRDNSequence(&name)
	}
	if f.Points != nil {
		leaf.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, int(oidDistributionPoints)}, Value: f.Points}}
	}
	return leaf
}

// pathsOf finds the paths from the client's CA to the bundle. Signatures of CAs are
// checked; that the CA signed the client's certificate is known.
func (q *question) pathsOf(f *Footprint, snapshot *Snapshot) ([]path, error) {
	leaf := q.chain[0]
	var paths []path
	for _, c := range snapshot.bundle.Certificates {
		switch {
		case sha256.Sum256(c.Raw) == f.SHA256:
			return []path{{certs: []*x509.Certificate{c}, anchor: snapshot.anchors.find(c)}}, nil
		case len(f.Path) > 0 && mayIssue(c) && bytes.Equal(c.RawSubject, f.Path[0].Cert.RawSubject) &&
			bytes.Equal(c.RawSubjectPublicKeyInfo, f.Path[0].Cert.RawSubjectPublicKeyInfo):
			paths = append(paths, path{certs: []*x509.Certificate{leaf, c}, anchor: snapshot.anchors.find(c)})
		}
	}
	switch {
	case len(paths) > 0:
		return paths, nil
	case len(f.Path) == 0:
		return nil, &untrusted{0, "the certificate of " + quoteSubject(leaf) + " itself was in the bundle and is not any more"}
	case !f.Path[0].Sent:
		return nil, &untrusted{0, "its issuer " + quoteSubject(f.Path[0].Cert) + " is not in the bundle any more, and the client does not send its certificate"}
	}
	above, err := snapshot.anchors.search(q.chain[1:])
	if u, ok := errors.AsType[*untrusted](err); ok {
		return nil, &untrusted{u.index + 1, u.detail}
	}
	for _, p := range above {
		if long := (path{certs: append([]*x509.Certificate{leaf}, p.certs...), anchor: p.anchor}); long.keepsLengths() {
			paths = append(paths, long)
		}
	}
	if err == nil && len(paths) == 0 {
		err = &untrusted{0, "no path to the trust store is permitted: a path length constraint is exceeded"}
	}
	return paths, err
}

// keepsLengths applies the path length constraints, for which x509 did not know of the
// client's certificate.
func (p *path) keepsLengths() bool {
	for i, c := range p.certs {
		if i > 0 && c.BasicConstraintsValid && (c.MaxPathLen > 0 || c.MaxPathLenZero) && i-1 > c.MaxPathLen {
			return false
		}
	}
	return true
}

// foreseeAdmits reports whether the filters would admit the client, if that is known.
func (p *Policy) foreseeAdmits(f *Footprint, leaf *x509.Certificate) (admitted, known bool) {
	if f.Filters == p.FilterDigest() {
		return true, true
	}
	who := newFacts(leaf)
	who.replace(kindSHA256, string(f.SHA256[:]))
	who.replace(kindIssuer, f.Issuer)
	picky, fits, perhapsIn, perhapsOut := false, false, false, false
	for _, filter := range p.filters() {
		matches, sure := filter.foresee(&who)
		switch {
		case filter.denies() && matches && sure:
			return false, true
		case filter.denies():
			perhapsOut = perhapsOut || matches
		default:
			picky = true
			fits = fits || matches && sure
			perhapsIn = perhapsIn || matches
		}
	}
	switch {
	case picky && !perhapsIn:
		return false, true
	case perhapsOut || picky && !fits:
		return false, false
	}
	return true, true
}

// foresee is matches for a leaf of which a footprint is all that is known. It is not
// sure of a match if the filter looks at what is not kept.
func (f Filter) foresee(who *facts) (matches, sure bool) {
	if f.is == nil {
		return false, true
	}
	sure = true
	for i := range f.is.tests {
		switch t := &f.is.tests[i]; t.kind {
		case kindSubjectCN, kindSubjectOU, kindSubjectO, kindIssuer, kindSerial, kindSHA256:
			if !t.match(who, f.denies()) {
				return false, true
			}
		default:
			sure = false
		}
	}
	return true, sure
}

// replace sets the one text of a kind that always has one.
func (f *facts) replace(k kind, text string) { f.texts[f.end[k]-1] = text }

func (s *Snapshot) hasSubject(text string) bool {
	for _, c := range s.bundle.Certificates {
		if mayIssue(c) && dn.RFC2253(c.RawSubject) == text {
			return true
		}
	}
	return false
}
