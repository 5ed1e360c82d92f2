package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"time"

	"github.com/postern-lb/postern/crl"
)

// A RevocationAction is what becomes of a client when its revocation cannot be told for
// certain.
type RevocationAction string

// The actions. Grace is for lists that have expired only: allow for a while, then deny.
const (
	RevocationAllow RevocationAction = "allow"
	RevocationGrace RevocationAction = "grace"
	RevocationDeny  RevocationAction = "deny"
)

// A RevocationScope is which certificates of a path are looked up.
type RevocationScope string

// The scopes: every certificate of the path, as ALB has it, or the client's own only.
const (
	RevocationChain RevocationScope = "chain"
	RevocationLeaf  RevocationScope = "leaf"
)

// A RevocationRule says what the lists of an issuing CA mean, or their absence. An
// empty field of the rule of a whole store means what ALB does: allow, allow, chain.
// One of an authority means what the store says.
type RevocationRule struct {
	// Missing is what it means that no list covers a certificate: allow or deny.
	Missing RevocationAction
	// Expired is what it means that the nextUpdate of all lists that cover a certificate
	// has passed: allow, grace or deny. A list without nextUpdate does not expire.
	Expired RevocationAction
	// Grace is how long an expired list still does. It goes with RevocationGrace.
	Grace time.Duration
	// Scope says which certificates are looked up.
	Scope RevocationScope
}

// A RevocationAuthority is the rule for what one issuing CA has issued. The CA is a name
// and a key: the entry names a certificate of the bundle that has them, by one or more of
// subject, fingerprint and key identifier, of which all must fit.
type RevocationAuthority struct {
	Subject      string // RFC 2253, as Postern prints it
	SHA256       string // of the certificate, hex; colons may stand between the bytes
	SubjectKeyID string // likewise
	RevocationRule
}

// A RevocationConfig is what [NewRevocationPolicy] makes a policy of.
type RevocationConfig struct {
	RevocationRule
	Authorities []RevocationAuthority
}

// A RevocationPolicy says for each issuing CA of a bundle what a missing or an expired
// list means. It is immutable. A nil policy is ALB's: neither keeps anybody out.
type RevocationPolicy struct {
	standard rule
	// byKey has the CAs with a rule of their own by subject public key info, as
	// crl.Set has signers.
	byKey  map[string][]ruledAuthority
	digest [sha256.Size]byte
}

// A rule is a RevocationRule ready for use. The zero rule is ALB's.
type rule struct {
	leafOnly   bool
	needsList  bool // missing: deny
	needsFresh bool // expired: grace or deny
	grace      time.Duration
}

type ruledAuthority struct {
	name []byte // DER
	rule rule
}

// Digest tells policies apart; that of a nil policy is all zeros.
func (p *RevocationPolicy) Digest() [sha256.Size]byte {
	if p == nil {
		return [sha256.Size]byte{}
	}
	return p.digest
}

// of returns the rule for what issuer has issued. It does not allocate.
func (p *RevocationPolicy) of(issuer *x509.Certificate) rule {
	if p == nil {
		return rule{}
	}
	if len(p.byKey) > 0 {
		for _, a := range p.byKey[string(issuer.RawSubjectPublicKeyInfo)] {
			if bytes.Equal(a.name, issuer.RawSubject) {
				return a.rule
			}
		}
	}
	return p.standard
}

// A finding is what a look-up found wrong.
type finding struct {
	cert, issuer *x509.Certificate
	result       crl.Result
	rule         rule
	answer       Answer // of the responder
}

// unrevoked reports whether no certificate of the path is revoked or cannot be told
// not to be. If one is, q.found says what is wrong with the first one, from the
// leaf upwards. It does not allocate, and copies nothing when all is well: a memo hit
// runs it.
//
// By default an issuer without a list ([crl.Unknown]) revokes nothing. ALB does not say
// what it does; refusing would mean that the first list added to a store of several CAs
// shuts out the clients of all others.
func (q *question) unrevoked(p *path) bool {
	if q.revocations == nil && q.rules == nil && q.responder == nil {
		return true
	}
	for i := range len(p.certs) - 1 {
		if !q.look(p.certs[i], p.certs[i+1], i == 0) {
			return false
		}
	}
	for _, l := range p.anchor.above {
		if !q.look(l.cert, l.issuer, l.cert == p.certs[0]) {
			return false
		}
	}
	return true
}

// look asks about one certificate, which is the leaf or stands above it.
func (q *question) look(cert, issuer *x509.Certificate, leaf bool) bool {
	rule := q.rules.of(issuer)
	if rule.leafOnly && !leaf {
		return true
	}
	r := lookUp(q.revocations, cert, issuer)
	q.trace.looked(cert, issuer, &r)
	if r.Status != crl.Unknown && r.Status != crl.Good {
		q.found = finding{cert: cert, issuer: issuer, result: r, rule: rule}
		return false
	}
	// What the responder says of now is as good as a list that is not there or too old.
	a := q.ask(cert, issuer, leaf)
	q.trace.answered(a)
	switch {
	case a.Status == AnswerRevoked || a.Status == AnswerFailed:
	case a.Status == AnswerGood || vouchesForItself(cert, issuer):
		return true
	case r.Status == crl.Unknown && !rule.needsList, r.Status == crl.Good && !rule.stale(&r, q.now):
		return true
	}
	q.found = finding{cert, issuer, r, rule, a}
	return false
}

// stale reports whether the lists behind a good answer are older than the rule wants.
func (r rule) stale(result *crl.Result, now time.Time) bool {
	return r.needsFresh && !result.FreshUntil.IsZero() && now.After(r.end(result))
}

// end is when an answer stops to count under a rule that needs fresh lists.
func (r rule) end(result *crl.Result) time.Time { return result.FreshUntil.Add(r.grace) }

// vouchesForItself reports whether a certificate is of the very CA that issued it, as a
// root or a renewed one is. Nobody can be asked to publish a list about himself.
func vouchesForItself(cert, issuer *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, issuer.RawSubject) &&
		bytes.Equal(cert.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo)
}

// Deadline returns when v, by which this store has accepted a client, ceases to hold for
// no other reason than the clock: a certificate of its path ends, or a list gets too old
// under the revocation policy. It is zero if neither will. Ask anew at that time, and
// whenever the store changes.
func (s *Store) Deadline(v *Verdict, p *Policy) time.Time {
	if !v.Accepted || len(v.Chain) == 0 {
		return time.Time{}
	}
	state := s.state.Load()
	path := path{certs: v.Chain, anchor: state.snapshot.anchors.find(v.Chain[len(v.Chain)-1])}
	_, until := window(&path, p.variant())
	if state.rules == nil || path.anchor == nil {
		return until
	}
	earlier := func(cert, issuer *x509.Certificate, leaf bool) {
		rule := state.rules.of(issuer)
		if !rule.needsFresh || (rule.leafOnly && !leaf) || vouchesForItself(cert, issuer) {
			return
		}
		r := lookUp(state.revocations, cert, issuer)
		if r.Status != crl.Good || r.FreshUntil.IsZero() {
			return
		}
		if end := rule.end(&r); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	for i := range len(path.certs) - 1 {
		earlier(path.certs[i], path.certs[i+1], i == 0)
	}
	for _, l := range path.anchor.above {
		earlier(l.cert, l.issuer, l.cert == path.certs[0])
	}
	return until
}

func (r rule) append(b []byte) []byte {
	b = append(b, flag(r.leafOnly), flag(r.needsList), flag(r.needsFresh))
	return binary.BigEndian.AppendUint64(b, uint64(r.grace))
}
