package trust

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/dn"
	"github.com/postern-lb/postern/internal/fault"
)

// Limits on a revocation policy.
const (
	// MaxRevocationAuthorities is how many CAs may have a rule of their own.
	MaxRevocationAuthorities = MaxBundleCertificates
	// MaxRevocationGrace is the longest grace for an expired list.
	MaxRevocationGrace = 30 * 24 * time.Hour
)

// NewRevocationPolicy checks a policy against the bundle that it is for. A config that
// says nothing else than ALB's rule gives nil. The error is a [fault.List] with paths in
// the keys of revocation_policy.
//
// An authority that no certificate of the bundle fits is a fault: its rule would never
// apply, and nobody would notice. That goes for intermediates too, which may come from
// clients: put the certificate into the bundle, without which no list of that CA
// is taken either. With a nil bundle only the rest is checked.
func NewRevocationPolicy(c RevocationConfig, b *Bundle) (*RevocationPolicy, error) {
	var faults fault.List
	standard := c.RevocationRule.orElse(RevocationRule{Missing: RevocationAllow, Expired: RevocationAllow, Scope: RevocationChain})
	standard.check("", c.RevocationRule, &faults)
	if len(c.Authorities) > MaxRevocationAuthorities {
		faults.Add("authorities", "%d authorities are more than %d", len(c.Authorities), MaxRevocationAuthorities)
		return nil, faults.Err()
	}
	p := &RevocationPolicy{standard: standard.compile(), byKey: make(map[string][]ruledAuthority)}
	digest := p.standard.append([]byte("postern revocation policy 1\x00"))
	taken := make(map[string]int)
	for i, a := range c.Authorities {
		at := fault.Index("authorities", i)
		effective := a.RevocationRule.orElse(standard)
		effective.check(at, a.RevocationRule, &faults)
		if a.RevocationRule == (RevocationRule{}) {
			faults.Add(at, "sets none of missing, expired and scope: give it one, or leave it out")
		}
		for _, ca := range a.find(b, at, &faults) {
			key := string(ca.RawSubjectPublicKeyInfo)
			if j, known := taken[key+string(ca.RawSubject)]; known && j != i {
				faults.Add(at, "means the same CA as %s, %s: keep one of them", fault.Index("authorities", j), quoteSubject(ca))
				continue
			} else if known {
				continue // another certificate of that CA
			}
			taken[key+string(ca.RawSubject)] = i
			p.byKey[key] = append(p.byKey[key], ruledAuthority{ca.RawSubject, effective.compile()})
			digest = effective.compile().append(appendText(appendText(digest, key), string(ca.RawSubject)))
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if p.standard == (rule{}) && len(p.byKey) == 0 {
		return nil, nil
	}
	p.digest = sha256.Sum256(digest)
	return p, nil
}

// orElse fills in from what is more general. A grace goes with the setting that it was
// written for.
func (r RevocationRule) orElse(general RevocationRule) RevocationRule {
	out := RevocationRule{
		Missing: cmp.Or(r.Missing, general.Missing), Expired: cmp.Or(r.Expired, general.Expired),
		Grace: r.Grace, Scope: cmp.Or(r.Scope, general.Scope),
	}
	if out.Grace == 0 && out.Expired == RevocationGrace && general.Expired == RevocationGrace {
		out.Grace = general.Grace
	}
	return out
}

// check notes what is wrong with a rule at path, of which only written is in the config.
func (r RevocationRule) check(path string, written RevocationRule, faults *fault.List) {
	if r.Missing != RevocationAllow && r.Missing != RevocationDeny {
		faults.Add(fault.Join(path, "missing"), "%q is neither allow nor deny", r.Missing)
	}
	if !slices.Contains([]RevocationAction{RevocationAllow, RevocationGrace, RevocationDeny}, r.Expired) {
		faults.Add(fault.Join(path, "expired"), "%q is none of allow, grace and deny", r.Expired)
	}
	if r.Scope != RevocationChain && r.Scope != RevocationLeaf {
		faults.Add(fault.Join(path, "scope"), "%q is neither chain nor leaf", r.Scope)
	}
	switch {
	case r.Expired == RevocationGrace && r.Grace == 0 && (path == "" || written.Expired != ""): // else the store's fault
		faults.Add(fault.Join(path, "expired"), "grace needs to know how long: set grace, such as 6h")
	case r.Expired != RevocationGrace && written.Grace != 0:
		faults.Add(fault.Join(path, "grace"), "has no effect with expired: %s: set expired to grace, or leave it out", r.Expired)
	case r.Grace < 0 || r.Grace > MaxRevocationGrace:
		faults.Add(fault.Join(path, "grace"), "%v is not between 0s and %v", r.Grace, MaxRevocationGrace)
	}
}

func (r RevocationRule) compile() rule {
	out := rule{
		leafOnly: r.Scope == RevocationLeaf, needsList: r.Missing == RevocationDeny, needsFresh: r.Expired != RevocationAllow,
	}
	if r.Expired == RevocationGrace {
		out.grace = r.Grace
	}
	return out
}

// find returns the CAs of the bundle that a means, and notes if there are none.
func (a *RevocationAuthority) find(b *Bundle, path string, faults *fault.List) []*x509.Certificate {
	before := len(*faults)
	who := criteria{
		subject:     a.Subject,
		fingerprint: hexBytes(a.SHA256, fault.Join(path, "sha256"), sha256.Size, faults),
		keyID:       hexBytes(a.SubjectKeyID, fault.Join(path, "subject_key_id"), 0, faults),
	}
	if who == (criteria{}) && len(*faults) == before {
		faults.Add(path, "names no CA: give its subject, the sha256 of its certificate or its subject_key_id")
	}
	if len(*faults) > before || b == nil {
		return nil
	}
	found, others := who.in(b)
	switch {
	case len(found) > 0:
	case others:
		faults.Add(path, "the certificate that it names issues for nobody, so no list is about its clients: name a CA")
	default:
		faults.Add(path, "no certificate of the bundle fits, so the rule would never apply%s; if clients present that CA's certificate, add it to the bundle",
			nearestSubject(a.Subject, b))
	}
	return found
}

// criteria are what a certificate must have; what is empty is not asked for.
type criteria struct{ subject, fingerprint, keyID string }

// in returns the CAs of a bundle that fit, and whether certificates that are no CAs do.
func (w criteria) in(b *Bundle) (found []*x509.Certificate, others bool) {
	for _, c := range b.Certificates {
		sum := sha256.Sum256(c.Raw)
		if (w.subject != "" && w.subject != dn.RFC2253(c.RawSubject)) || (w.fingerprint != "" && w.fingerprint != string(sum[:])) ||
			(w.keyID != "" && w.keyID != string(c.SubjectKeyId)) {
			continue
		}
		if mayIssue(c) {
			found = append(found, c)
		} else {
			others = true
		}
	}
	return found, others
}

// Without returns c without the authorities that fit no CA of the bundle, and the places of
// those. It is for a policy that has been in force: when a CA leaves the bundle, its
// rule has nothing left to rule, and must not keep the CA in.
func (c RevocationConfig) Without(b *Bundle) (rest RevocationConfig, gone []int) {
	rest.RevocationRule = c.RevocationRule
	for i := range c.Authorities {
		var faults fault.List
		if c.Authorities[i].find(b, "", &faults); len(faults) > 0 {
			gone = append(gone, i)
			continue
		}
		rest.Authorities = append(rest.Authorities, c.Authorities[i])
	}
	return rest, gone
}

// hexBytes reads hex with or without colons; size 0 is any.
func hexBytes(text, path string, size int, faults *fault.List) string {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || (text != "" && size != 0 && len(raw) != size) {
		faults.Add(path, "%s is not hexadecimal of the right length: copy it from `openssl x509 -noout -fingerprint -sha256 -ext subjectKeyIdentifier`",
			quote(text))
		return ""
	}
	return string(raw)
}

// nearestSubject names the subject that was probably meant.
func nearestSubject(subject string, b *Bundle) string {
	best, least := "", len(subject)/3+1
	for _, c := range b.Certificates {
		name := dn.RFC2253(c.RawSubject)
		if max(len(subject), len(name)) > maxQuoted {
			continue // the comparison costs the product of both
		}
		if d := fault.EditDistance(subject, name); d < least {
			best, least = name, d
		}
	}
	if best == "" || subject == "" {
		return ""
	}
	return ": did you mean " + quote(best) + "?"
}
