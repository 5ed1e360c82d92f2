package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/dn"
)

// Limits of an Explanation. What is beyond them is left out.
const (
	// MaxExplainedPaths is how many of the paths tried it shows.
	MaxExplainedPaths = 8
	// MaxExplainedLists is how many answers of revocation lists it shows.
	MaxExplainedLists = 32
)

// An Explanation says how [Store.Verify] came to a verdict. Its JSON form is a
// contract: fields are added, never renamed. Text of certificates in it is printable
// ASCII and cut.
type Explanation struct {
	TrustStore string      `json:"trust_store"`
	Version    string      `json:"version"` // of the trust store, as it was published
	At         time.Time   `json:"at"`
	Steps      []StepTaken `json:"steps"`     // every step, in order
	Presented  []CertFacts `json:"presented"` // the chain as it was sent
	Paths      []PathTried `json:"paths"`     // that lead to the trust store
	// RevocationLists are the answers for the path that the verdict is about.
	RevocationLists []ListAnswer `json:"revocation_lists"`
	Nearest         *Nearest     `json:"nearest,omitempty"`
	Remedy          string       `json:"remedy"` // empty when accepted
}

// An Outcome is how a step ended.
type Outcome string

// The outcomes.
const (
	StepPassed     Outcome = "passed"
	StepFailed     Outcome = "failed"
	StepNotReached Outcome = "not reached"
)

// StepTaken is one step of a decision.
type StepTaken struct {
	Step        Step    `json:"step"`
	Outcome     Outcome `json:"outcome"`
	Wanted      string  `json:"wanted"`
	Offered     string  `json:"offered"`
	Reason      Reason  `json:"reason,omitempty"` // if it failed
	Detail      string  `json:"detail,omitempty"`
	Certificate int     `json:"certificate"` // at fault, from 0 in the chain; -1: none of them
}

// CertFacts identifies a certificate.
type CertFacts struct {
	Subject      string `json:"subject"`
	Issuer       string `json:"issuer"`
	SerialNumber string `json:"serial_number"`
	Validity     string `json:"validity"`
	Key          string `json:"key"`
	Signature    string `json:"signature_algorithm"`
	SHA256       string `json:"sha256"` // of the DER
}

// PathTried is a path whose signatures and constraints are good.
type PathTried struct {
	Subjects []string `json:"subjects"` // leaf first, trust store certificate last
	Failed   Step     `json:"failed,omitempty"`
	Detail   string   `json:"detail,omitempty"`
}

// ListAnswer is what the revocation lists said of one certificate.
type ListAnswer struct {
	Subject      string `json:"subject"`
	SerialNumber string `json:"serial_number"`
	Status       string `json:"status"`           // good, revoked, unknown: no list covers it
	Reason       string `json:"reason,omitempty"` // if revoked
	Issuer       string `json:"issuer"`           // who issued the certificate
	// The list that answered; empty if none did.
	Number     string    `json:"number,omitempty"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	AgeSeconds int64     `json:"age_seconds,omitempty"`
	Entries    int       `json:"entries,omitempty"`
	// Responder is what an OCSP responder, or the list at a distribution point, said.
	Responder string `json:"responder,omitempty"`
}

// Explain is [Store.Verify] with a record of how the verdict came about. The same code
// decides: its steps write the record as they are taken. It looks past the memo and does
// not feed it, so that a chain can be explained at any time; the verdict differs from
// Verify's in nothing but [Verdict.MemoHit]. It costs a few times what a refusal does.
func (s *Store) Explain(chain []*x509.Certificate, p *Policy, now time.Time) (*Verdict, *Explanation) {
	state := s.state.Load()
	q := question{
		chain: chain, now: now, variant: p.variant(), revocations: state.revocations, rules: state.rules, trace: new(trace),
		responder: state.responder,
	}
	v := q.trace.step(StepCount, checkCount(chain, p.depth()))
	if v == nil {
		v = s.verify(&q, state.snapshot, p)
	} else {
		v.aboutFirst(chain)
	}
	return v, s.explanation(&q, v, state.snapshot, p)
}

func (s *Store) explanation(q *question, v *Verdict, snapshot *Snapshot, p *Policy) *Explanation {
	e := &Explanation{
		TrustStore: s.name, Version: snapshot.version, At: q.now.UTC(),
		Presented: []CertFacts{}, Paths: []PathTried{}, RevocationLists: []ListAnswer{},
	}
	for _, c := range describable(q.chain) {
		e.Presented = append(e.Presented, NewCertFacts(c))
	}
	decided := q.trace.decided()
	for i := range q.trace.paths[:min(len(q.trace.paths), MaxExplainedPaths)] {
		e.Paths = append(e.Paths, q.trace.paths[i].tried())
	}
	if decided != nil {
		for _, l := range decided.looks[:min(len(decided.looks), MaxExplainedLists)] {
			e.RevocationLists = append(e.RevocationLists, l.answer(q.now))
		}
	}
	e.Steps = q.stepsTaken(&inquiry{q: q, store: s.name, snapshot: snapshot, policy: p, decided: decided})
	e.Nearest = q.nearest(v, snapshot)
	e.Remedy = remedy(q, v, e)
	return e
}

// stepsTaken puts what was traced into the order of all steps.
func (q *question) stepsTaken(about *inquiry) []StepTaken {
	outcomes := q.trace.steps
	if about.decided != nil {
		outcomes = append(outcomes[:len(outcomes):len(outcomes)], about.decided.steps...)
	}
	taken := make(map[Step]outcome, len(outcomes))
	for _, o := range outcomes {
		taken[o.step] = o
	}
	out := make([]StepTaken, 0, len(Steps()))
	for _, step := range Steps() {
		s := StepTaken{Step: step, Outcome: StepNotReached, Certificate: -1}
		s.Wanted = about.wanted(step)
		if o, ok := taken[step]; ok {
			s.Outcome, s.Offered = StepPassed, about.offered(step)
			if v := o.verdict; v != nil {
				s.Outcome, s.Reason, s.Detail, s.Certificate = StepFailed, v.Reason, v.Detail, v.Index
			}
		}
		out = append(out, s)
	}
	return out
}

func (p *tracedPath) tried() PathTried {
	t := PathTried{}
	for _, c := range p.path.certs {
		t.Subjects = append(t.Subjects, subjectText(c))
	}
	if len(p.steps) > 0 {
		if last := p.steps[len(p.steps)-1]; last.verdict != nil {
			t.Failed, t.Detail = last.step, last.verdict.Detail
		}
	}
	return t
}

func (l *look) answer(now time.Time) ListAnswer {
	a := ListAnswer{
		Subject: subjectText(l.cert), SerialNumber: serial(l.cert.SerialNumber), Issuer: subjectText(l.issuer),
		Status: l.result.Status.String(), Responder: l.answered.text(),
	}
	if l.result.Status == crl.Revoked {
		a.Reason = l.result.Reason.String()
	}
	list := l.result.List
	if list == nil {
		return a
	}
	if n := list.Number(); n != nil {
		a.Number = n.String()
	}
	a.ThisUpdate, a.NextUpdate, a.Entries = list.ThisUpdate(), list.NextUpdate(), list.Len()
	a.AgeSeconds = int64(now.Sub(list.ThisUpdate()) / time.Second)
	return a
}

// NewCertFacts describes a certificate, for instance of a bundle.
func NewCertFacts(c *x509.Certificate) CertFacts {
	sum := sha256.Sum256(c.Raw)
	return CertFacts{
		Subject: subjectText(c), Issuer: clip(dn.RFC2253(c.RawIssuer)), SerialNumber: clip(serial(c.SerialNumber)),
		Validity: "NotBefore=" + stamp(c.NotBefore) + ";NotAfter=" + stamp(c.NotAfter),
		Key:      keyText(c), Signature: c.SignatureAlgorithm.String(), SHA256: hex.EncodeToString(sum[:]),
	}
}

func subjectText(c *x509.Certificate) string { return clip(dn.RFC2253(c.RawSubject)) }

// clip bounds text that is printable ASCII already.
func clip(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return s[:maxQuoted] + "..."
}

// describable returns the certificates of a chain that may be described: those of a
// tolerable size, and not more than a policy could allow.
func describable(chain []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range chain[:min(len(chain), LargestMaxDepth)] {
		if c != nil && len(c.Raw) > 0 && len(c.Raw) <= MaxCertificateBytes {
			out = append(out, c)
		}
	}
	return out
}
