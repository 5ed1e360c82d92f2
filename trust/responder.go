package trust

import (
	"crypto/x509"

	"github.com/postern-lb/postern/crl"
)

// A Responder is asked about certificates beside the revocation lists, whenever a store
// decides. It is safe for concurrent use. Package lb/ocsp has one that speaks OCSP.
type Responder interface {
	// Check says what is known of a certificate. An answer that is known already costs no
	// allocation and no lock worth speaking of.
	Check(q Query) Answer
}

// A Query is what a [Responder] is asked.
type Query struct {
	Cert, Issuer *x509.Certificate // of which the latter signed the former
	Leaf         bool              // Cert is the client's own
	// Wait says that a handshake waits for the answer; if not, only what is known already
	// matters.
	Wait bool
	// Connected says that the client was let in before: that nothing can be found out just
	// now does not put it out.
	Connected bool
}

// An Answer is what a [Responder] says of a certificate.
type Answer struct {
	Status AnswerStatus
	Reason crl.ReasonCode // if AnswerRevoked
	Detail string         // if AnswerRevoked or AnswerFailed: who said so, or what went wrong
}

// AnswerStatus is the kind of an [Answer]. The zero value says nothing.
type AnswerStatus uint8

// The kinds of answers. AnswerFailed is for a responder without whose word nobody gets in.
const (
	AnswerNone    AnswerStatus = iota // nothing is known; it does not matter
	AnswerGood                        // the certificate is not revoked
	AnswerRevoked                     // it is
	AnswerFailed                      // nothing is known, and the client is to be refused
)

// Changed notes that the [Responder] of the store has learnt that a certificate is revoked.
// Then judge the open connections again.
func (s *Store) Changed() { s.changes.Add(1) }

// Changes counts calls of [Store.Changed]. With [Store.Snapshot] and [Store.Revocations]
// it tells whether a verdict rests on what still holds.
func (s *Store) Changes() uint64 { return s.changes.Load() }

// text describes an answer; empty if there is none.
func (a Answer) text() string {
	switch a.Status {
	case AnswerGood:
		return "good"
	case AnswerRevoked:
		return "revoked (" + a.Reason.String() + "), says " + clip(a.Detail)
	case AnswerFailed:
		return "no answer: " + clip(a.Detail)
	}
	return ""
}

// ask asks the responder of the store, if there is one, and fails closed if that panics.
func (q *question) ask(cert, issuer *x509.Certificate, leaf bool) (a Answer) {
	if q.responder == nil || vouchesForItself(cert, issuer) {
		return Answer{}
	}
	defer func() {
		if recover() != nil {
			a = Answer{Status: AnswerFailed, Detail: "asking the responder went wrong"}
		}
	}()
	return q.responder.Check(Query{cert, issuer, leaf, q.wait, q.connected})
}

// refuseAnswer is the refusal for what a responder said.
func (f *finding) refuseAnswer(index int) *Verdict {
	name, number := quoteSubject(f.cert), serial(f.cert.SerialNumber)
	if f.answer.Status == AnswerRevoked {
		return refuse(ClientCertCrlHit, index, "%s (serial %s) is revoked (%s), says %s", name, number, f.answer.Reason, quote(f.answer.Detail))
	}
	return refuse(ClientCertCrlProcessingError, index, "whether %s (serial %s) is revoked could not be found out: %s; "+
		"see to it that the OCSP responder answers, or set ocsp.mode to soft_fail", name, number, quote(f.answer.Detail))
}
