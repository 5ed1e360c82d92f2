package trust

import (
	"bytes"
	"crypto/x509"
	"time"
)

// Reaffirm is [Store.Verify] about a client that was accepted before, by v, and is
// still connected. While the path of v still ends in the trust store and passes every
// step, no signature is checked: those on the path are what they were. It neither
// asks nor feeds the memo, so that ten thousand connections can be judged at once,
// after a change of the bundle too, without pushing anybody out.
//
// If the path does not do any more, the answer is Verify's: another path may. A nil
// v, or a refusal, is Verify's too. It is safe for concurrent use.
func (s *Store) Reaffirm(v *Verdict, chain []*x509.Certificate, p *Policy, now time.Time) *Verdict {
	state := s.state.Load()
	q := question{chain: chain, now: now, variant: p.variant(), revocations: state.revocations}
	if path, ok := state.snapshot.anchors.again(v, chain); ok && q.reaffirms(&path, p, state.snapshot.anchors) {
		return v
	}
	return s.Verify(chain, p, now)
}

// again returns the path of an earlier acceptance if it ends in a.
func (a *anchors) again(v *Verdict, chain []*x509.Certificate) (path, bool) {
	if v == nil || !v.Accepted || len(chain) == 0 || len(v.Chain) == 0 || !bytes.Equal(v.Chain[0].Raw, chain[0].Raw) {
		return path{}, false
	}
	p := path{certs: v.Chain, anchor: a.find(v.Chain[len(v.Chain)-1])}
	if p.anchor == nil || (len(v.Chain) > 1 && a.find(chain[0]) != nil) {
		return path{}, false // or its own place in the store is the only path, see search
	}
	for _, c := range v.Chain[:len(v.Chain)-1] {
		if position(c, chain) < 0 {
			return path{}, false // another chain, or one with less company
		}
	}
	return p, true
}

// reaffirms takes a path through all that Verify asks besides signatures.
func (q *question) reaffirms(path *path, p *Policy, store *anchors) bool {
	if checkCount(q.chain, p.depth()) != nil || checkSizes(q.chain) != nil || checkPresented(q.chain, store) != nil {
		return false
	}
	if len(p.filters()) > 0 {
		who := newFacts(q.chain[0])
		if !p.admits(&who) {
			return false
		}
	}
	refusal, _ := q.judge(path)
	return refusal == nil
}
