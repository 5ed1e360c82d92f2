package trust

import (
	"crypto/x509"

	"github.com/postern-lb/postern/crl"
)

// A Responder is asked about certificates beside the revocation lists, whenever a store
// decides. It is safe for concurrent use. Package lb/ocsp has one that speaks OCSP.
type Responder interface {
	// Check says what is known of cert, which issuer signed. If wait is false it answers at
	// once with what it knows; else it may take as long as its settings allow. An answer
	// that is known already costs no allocation and no lock worth speaking of.
	Check(cert, issuer *x509.Certificate, wait bool) Answer
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

// ask asks the responder of the store, if there is one, and fails closed if that panics.
func (q *question) ask(cert, issuer *x509.Certificate) (a Answer) {
	if q.responder == nil || vouchesForItself(cert, issuer) {
		return Answer{}
	}
	defer func() {
		if recover() != nil {
			a = Answer{Status: AnswerFailed, Detail: "asking the responder went wrong"}
		}
	}()
	return q.responder.Check(cert, issuer, q.wait)
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
