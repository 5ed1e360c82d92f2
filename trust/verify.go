package trust

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/postern-lb/postern/crl"
)

// A question is one call of [Store.Verify].
type question struct {
	chain       []*x509.Certificate
	now         time.Time
	variant     variant
	revocations *crl.Set
	rules       *RevocationPolicy

	found           finding // by unrevoked
	trace           *trace  // nil unless somebody wants to know how it went
	responder       Responder
	wait, connected bool // see Query
}

// Verify decides whether a client may enter; nothing else in the program does.
//
// The chain is what the client sent, leaf first, in its own order; Verify keeps
// references to it and nobody may modify it. A nil Policy means the zero one.
// The outcome depends on nothing but the arguments, the bundle and the
// revocation lists: the memo changes what an answer costs, never the answer.
//
// The steps, and the reason that each gives: a certificate was sent
// ([UnmappedConnectionError]); their number ([ClientCertMaxChainDepthExceeded]);
// bytes, names and other counts ([ClientCertMaxSizeExceeded]); form and version
// ([ClientCertInvalid]); key type ([ClientCertTypeUnsupported]); key size, curve
// and signature algorithm ([ClientCertIncompatible]); a path to the trust store
// ([ClientCertUntrusted]); identity filters ([ClientCertRejected]); revocation
// ([ClientCertCrlHit], [ClientCertCrlProcessingError]); dates
// ([ClientCertNotYetValid], [ClientCertExpired]); purpose
// ([ClientCertPurposeInvalid]). So a certificate that is revoked and has expired
// is reported as revoked, and a stranger's is untrusted whatever its dates.
//
// When too many verifications run already, Verify waits for its turn as long
// as [Options.VerifyWait] says and then refuses with [UnmappedConnectionError].
// Certificates that were accepted before do not wait. It is safe for
// concurrent use and never panics on what a client sends.
func (s *Store) Verify(chain []*x509.Certificate, p *Policy, now time.Time) *Verdict {
	return s.verdict(chain, p, now, true)
}

// verdict is Verify; wait says that a [Responder] may be waited for, as is right for a
// client that is not connected yet.
func (s *Store) verdict(chain []*x509.Certificate, p *Policy, now time.Time, wait bool) *Verdict {
	if v := checkCount(chain, p.depth()); v != nil {
		return v.aboutFirst(chain)
	}
	state := s.state.Load()
	q := question{chain: chain, now: now, variant: p.variant(), revocations: state.revocations, rules: state.rules,
		responder: state.responder, wait: wait, connected: !wait}
	if e := state.snapshot.memo.lookUp(&q); e != nil && q.stillAccepts(e, p) {
		s.counters.hits.Add(1)
		return &e.hit
	}
	s.counters.misses.Add(1)
	return s.verify(&q, state.snapshot, p)
}

// stillAccepts applies to a remembered acceptance what is never remembered. If
// it says no, the whole decision is made anew: another path may still do, and
// the refusal must be that of a cold store.
func (q *question) stillAccepts(e *entry, p *Policy) bool {
	if !p.admits(&e.facts) {
		return false
	}
	return q.unrevoked(&e.path)
}

// verify is Verify without the memo, for a chain of a good number of certificates.
func (s *Store) verify(q *question, snapshot *Snapshot, p *Policy) *Verdict {
	if v := q.trace.step(StepSize, checkSizes(q.chain)); v != nil {
		return v.aboutFirst(q.chain)
	}
	leaf := q.chain[0]
	if snapshot.Len() == 0 {
		v := refuse(ClientCertUntrusted, 0, "trust store %s holds no certificate", quote(s.name)).about(leaf)
		return q.trace.step(StepPath, v)
	}
	if v := checkPresentedTraced(q.chain, snapshot.anchors, q.trace); v != nil {
		return v.about(leaf)
	}
	paths, err := s.search(q, snapshot)
	if err != nil {
		return q.trace.step(StepPath, refuseSearch(err).about(leaf))
	}
	q.trace.step(StepPath, nil)
	who := newFacts(leaf)
	if admitted, deniedBy := p.screen(&who); !admitted {
		v := refuseIdentity(p, leaf, deniedBy)
		v.Chain = paths[0].certs
		return q.trace.step(StepIdentity, v)
	}
	q.trace.step(StepIdentity, nil)
	accepted, refusal := q.decide(paths)
	if refusal != nil {
		return refusal.about(leaf)
	}
	e := newEntry(q, accepted, who)
	if q.trace != nil {
		return &e.first // to ask why changes nothing
	}
	return snapshot.memo.keep(e)
}

func refuseIdentity(p *Policy, leaf *x509.Certificate, deniedBy int) *Verdict {
	if deniedBy >= 0 {
		return refuse(ClientCertRejected, 0, "identity_filters[%d] denies %s", deniedBy, quoteSubject(leaf)).about(leaf)
	}
	return refuse(ClientCertRejected, 0, "none of %d identity filters admits %s", len(p.filters()), quoteSubject(leaf)).about(leaf)
}

func refuseSearch(err error) *Verdict {
	if u, ok := errors.AsType[*untrusted](err); ok {
		return refuse(ClientCertUntrusted, u.index, "%s", u.detail)
	}
	if errors.Is(err, errBusy) {
		v := refuse(UnmappedConnectionError, -1, "too many verifications were under way; the client may try again")
		v.Busy = true
		return v
	}
	return refuse(ClientCertInvalid, 0, "judging the certificate went wrong in the X.509 library; the program's log has the cause")
}
