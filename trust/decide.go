package trust

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/postern-lb/postern/crl"
)

// The steps that a path goes through, in ALB's order. Of several paths that
// fail, the refusal of the one that got furthest is reported.
const (
	stepRevocation = iota
	stepNotBefore
	stepNotAfter
	stepPurpose
)

// decide picks the first path that every step accepts.
func (q *question) decide(paths []path) (*path, *Verdict) {
	var refusal *Verdict
	furthest := -1
	for i := range paths {
		q.trace.begin(&paths[i])
		v, step := q.judge(&paths[i])
		if v == nil {
			return &paths[i], nil
		}
		if step > furthest {
			v.Chain = paths[i].certs
			refusal, furthest = v, step
		}
	}
	return nil, refusal
}

// judge takes one path through the steps; nil means that it passed them all.
func (q *question) judge(p *path) (*Verdict, int) {
	for step, check := range []func(*path) *Verdict{
		stepRevocation: q.revocation,
		stepNotBefore:  q.notBefore,
		stepNotAfter:   q.notAfter,
		stepPurpose:    q.purpose,
	} {
		if v := q.trace.onPath(step, check(p)); v != nil {
			return v, step
		}
	}
	return nil, 0
}

// revocation asks for every certificate of the path below the anchor, and for
// the anchor as far as the store itself holds its issuers; see [RevocationPolicy].
func (q *question) revocation(p *path) *Verdict {
	if q.unrevoked(p) {
		return nil
	}
	f := &q.found
	index := position(f.cert, q.chain)
	if f.answer.Status == AnswerRevoked || f.answer.Status == AnswerFailed {
		return f.refuseAnswer(index)
	}
	name, number, issuer := quoteSubject(f.cert), serial(f.cert.SerialNumber), quoteSubject(f.issuer)
	switch f.result.Status {
	case crl.Revoked:
		return refuse(ClientCertCrlHit, index, "%s (serial %s) is revoked (%s) by the list of its issuer%s",
			name, number, f.result.Reason, listText(f.result.List))
	case crl.Unknown:
		return refuse(ClientCertCrlProcessingError, index,
			"whether %s (serial %s) is revoked is not known: no revocation list of its issuer %s covers it, which the revocation policy denies; "+
				"add that list to revocations, or set missing to allow for this CA", name, number, issuer)
	case crl.Good:
		return refuse(ClientCertCrlProcessingError, index,
			"whether %s (serial %s) is still not revoked is not known: the revocation list of its issuer%s expired at %s%s, which the revocation policy denies; "+
				"get the current list", name, number, listText(f.result.List), stamp(f.result.FreshUntil), f.rule.graceText(&f.result))
	}
	return refuse(ClientCertCrlProcessingError, index, "whether %s (serial %s) is revoked could not be found out", name, number)
}

func (r rule) graceText(result *crl.Result) string {
	if r.grace == 0 {
		return ""
	}
	return fmt.Sprintf(" and its grace of %v at %s", r.grace, stamp(r.end(result)))
}

func listText(list *crl.List) string {
	if list == nil {
		return ""
	}
	return " " + quote(list.Issuer()) + " of " + stamp(list.ThisUpdate())
}

// unanswered is the status of a look-up that went wrong. It is none of crl's,
// so that whatever is not known to be good is refused.
const unanswered crl.Status = 255

// lookUp asks the set and fails closed if it panics.
func lookUp(set *crl.Set, cert, issuer *x509.Certificate) (r crl.Result) {
	defer func() {
		if recover() != nil {
			r = crl.Result{Status: unanswered}
		}
	}()
	return set.Status(cert, issuer)
}

func (q *question) notBefore(p *path) *Verdict {
	for _, c := range p.certs {
		if q.now.Before(c.NotBefore) {
			return refuse(ClientCertNotYetValid, position(c, q.chain), "%s is valid from %s only; it is %s",
				quoteSubject(c), stamp(c.NotBefore), stamp(q.now))
		}
	}
	return nil
}

func (q *question) notAfter(p *path) *Verdict {
	for i, c := range p.certs {
		if i == 0 && q.variant.ignoreExpiry {
			continue
		}
		if q.now.After(c.NotAfter) {
			return refuse(ClientCertExpired, position(c, q.chain), "%s was valid until %s; it is %s",
				quoteSubject(c), stamp(c.NotAfter), stamp(q.now))
		}
	}
	return nil
}

// window returns when the path holds: from and until, both included. The end
// is left open if nothing bounds it.
func window(p *path, v variant) (from, until time.Time) {
	for i, c := range p.certs {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if i == 0 && v.ignoreExpiry {
			continue
		}
		if until.IsZero() || c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return from, until
}

// purpose applies OpenSSL's "TLS client" purpose to the leaf and to the
// intermediates. The anchor is exempt: the operator chose it.
func (q *question) purpose(p *path) *Verdict {
	leaf := p.certs[0]
	if hasExtension(leaf, oidKeyUsage) && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement) == 0 {
		return refuse(ClientCertPurposeInvalid, 0,
			"the key usage of %s has neither digitalSignature nor keyAgreement, so it cannot be used for TLS", quoteSubject(leaf))
	}
	for i, c := range p.certs {
		if i > 0 && i == len(p.certs)-1 {
			break
		}
		if !forClients(c) {
			return refuse(ClientCertPurposeInvalid, position(c, q.chain),
				"the extended key usage of %s does not name clientAuth", quoteSubject(c))
		}
	}
	return nil
}

// forClients reports whether the extended key usage, if there is one, names
// clientAuth. anyExtendedKeyUsage alone does not do, as with OpenSSL; x509
// would let it pass.
func forClients(c *x509.Certificate) bool {
	if !hasExtension(c, oidExtKeyUsage) {
		return true
	}
	for _, usage := range c.ExtKeyUsage {
		if usage == x509.ExtKeyUsageClientAuth {
			return true
		}
	}
	return false
}
