package trust

import (
	"bytes"
	"crypto/x509"
	"time"
)

// Reaffirm is [Store.Verify] about a client that was accepted before, by v, and is
// still connected. While the path of v still ends in the trust store, no signature is
// checked: those on the path are what they were. It neither asks nor feeds the memo,
// so that ten thousand connections can be judged at once, after a change of the bundle
// too, without pushing anybody out.
//
// If the path does not do any more, for another reason than the client's own
// certificate, the answer is Verify's: another path may. A nil v, or a refusal, is
// Verify's too. It is safe for concurrent use.
func (s *Store) Reaffirm(v *Verdict, chain []*x509.Certificate, p *Policy, now time.Time) *Verdict {
	state := s.state.Load()
	q := question{chain: chain, now: now, variant: p.variant(), revocations: state.revocations, rules: state.rules,
		responder: state.responder, connected: true}
	if path, ok := state.snapshot.anchors.again(v, chain); ok {
		if refusal, final := q.reaffirm(&path, p, state.snapshot.anchors, v.facts); final {
			if refusal == nil {
				return v
			}
			refusal.Chain = path.certs
			return refusal.about(chain[0])
		}
	}
	return s.verdict(chain, p, now, false)
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

// reaffirm takes a path through all that Verify asks besides signatures. It is final
// that the path passes, and that it fails for its leaf: every other path has the same
// leaf, issued by the same name and key, and so finds it revoked by the same list,
// ended or unfit as well, and none gets further. Who is what the leaf says.
func (q *question) reaffirm(path *path, p *Policy, store *anchors, who *facts) (refusal *Verdict, final bool) {
	if checkCount(q.chain, p.depth()) != nil || checkSizes(q.chain) != nil || checkPresented(q.chain, store) != nil {
		return nil, false
	}
	if len(p.filters()) > 0 && (who == nil || !p.admits(who)) {
		return nil, false
	}
	refusal, _ = q.judge(path)
	return refusal, refusal == nil || refusal.Index == 0
}
