package trust

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/dn"
)

// An Outlook is how one CA of a bundle stands under a revocation policy that may keep
// its clients out.
type Outlook struct {
	Subject      string // RFC 2253
	SubjectKeyID string // hex; with Subject it tells CAs apart
	// Missing says that the policy wants a list and there is none.
	Missing bool
	// Expires is the nextUpdate that the policy heeds, and Denies when clients are
	// refused for it, the grace included. Both are zero if there is none.
	Expires, Denies time.Time
}

// Outlook returns the CAs of a bundle for which p is stricter than ALB, in the order of
// the bundle. It asks the lists about certificates that do not exist, one of a client
// and one of a CA. Of a CA whose lists are partitions, which speak of none such, it
// knows only that there are lists.
func (p *RevocationPolicy) Outlook(b *Bundle, set *crl.Set) []Outlook {
	if p == nil {
		return nil
	}
	var all []Outlook
	seen := make(map[string]bool)
	for _, ca := range b.Certificates {
		rule, key := p.of(ca), string(ca.RawSubjectPublicKeyInfo)+string(ca.RawSubject)
		if !mayIssue(ca) || seen[key] || !(rule.needsList || rule.needsFresh) {
			continue
		}
		seen[key] = true
		o := Outlook{Subject: dn.RFC2253(ca.RawSubject), SubjectKeyID: hex.EncodeToString(ca.SubjectKeyId), Missing: rule.needsList && !set.Has(ca)}
		for _, isCA := range []bool{false, true} {
			r := lookUp(set, &x509.Certificate{SerialNumber: new(big.Int), BasicConstraintsValid: true, IsCA: isCA}, ca)
			if r.Status == crl.Unknown {
				continue
			}
			if rule.needsFresh && !r.FreshUntil.IsZero() && (o.Expires.IsZero() || r.FreshUntil.Before(o.Expires)) {
				o.Expires, o.Denies = r.FreshUntil, rule.end(&r)
			}
		}
		all = append(all, o)
	}
	return all
}

// Problem says in a sentence what is wrong at the given time; empty if nothing is.
func (o *Outlook) Problem(now time.Time) string {
	switch {
	case o.Missing:
		return fmt.Sprintf("there is no revocation list of %s: all that it issued are refused, since the revocation policy denies what no list covers",
			quote(o.Subject))
	case o.Expires.IsZero() || !now.After(o.Expires):
		return ""
	case now.After(o.Denies):
		return fmt.Sprintf("the revocation list of %s expired at %s: all that it issued are refused since %s; get the current list",
			quote(o.Subject), stamp(o.Expires), stamp(o.Denies))
	}
	return fmt.Sprintf("the revocation list of %s expired at %s: all that it issued will be refused from %s on; get the current list",
		quote(o.Subject), stamp(o.Expires), stamp(o.Denies))
}

// Outlook is [RevocationPolicy.Outlook] for the content in force.
func (s *Store) Outlook() []Outlook {
	state := s.state.Load()
	return state.rules.Outlook(state.snapshot.bundle, state.revocations)
}
