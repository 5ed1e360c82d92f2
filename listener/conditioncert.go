package listener

import (
	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/trust"
)

// MaxCertificatePatterns is how many values with wildcards and address ranges the
// client_certificate conditions of one listener may hold together. Each is compared
// once for every connection, and takes some 8 KB.
const MaxCertificatePatterns = 1000

// A ClientCertificateConfig looks at the certificate of the connection that a
// request came on. All fields that are set must hold.
type ClientCertificateConfig struct {
	// Presented is whether the client sent a certificate, believed or not.
	Presented *bool
	// Verified is whether the trust store accepts the client; mode verify only.
	Verified *bool
	// Match is what the certificate says, with Deny unset. It holds for accepted
	// clients only; mode verify only.
	Match trust.FilterConfig
}

// A certificateCondition is a ClientCertificateConfig, compiled.
type certificateCondition struct {
	path                string // in the config, for faults
	index               int    // among the conditions of its kind
	presented, verified *bool
	matching            bool // filter is set
	filter              trust.Filter
}

func (c *conditionCompiler) addCertificate(path string, cfg *ClientCertificateConfig) {
	c.once(path, c.set.certificate != nil)
	out := &certificateCondition{path: path, presented: cfg.Presented, verified: cfg.Verified}
	c.set.certificate = out
	out.matching = cfg.Match.Kinds() > 0
	no := func(b *bool) bool { return b != nil && !*b }
	switch {
	case cfg.Match.Deny:
		c.faults.Add(path, "denies, which a condition cannot: leave it out")
	case !out.matching && cfg.Presented == nil && cfg.Verified == nil:
		c.faults.Add(path, "is empty: give presented, verified or what the certificate is to say")
	case no(cfg.Presented) && (out.matching || cfg.Verified != nil && *cfg.Verified), no(cfg.Verified) && out.matching:
		c.faults.Add(path, "never holds: only a certificate that was presented and verified matches")
	case out.matching:
		var err error
		out.filter, err = trust.NewFilter(cfg.Match)
		c.faults.AddUnder(path, err)
	}
}

// holds reports whether the condition is met by a client that presented a
// certificate or not, and about whom the trust store said verdict, if it was asked.
func (c *certificateCondition) holds(verdict *trust.Verdict, presented bool) bool {
	verified := verdict != nil && verdict.Accepted
	return (c.presented == nil || *c.presented == presented) &&
		(c.verified == nil || *c.verified == verified) &&
		(!c.matching || c.filter.Matches(verdict))
}

// numberCertificates gives each client_certificate condition of the table its place.
func (t *RuleTable) numberCertificates(faults *fault.List) {
	patterns := 0
	for i := range t.rules {
		c := t.rules[i].conditions.certificate
		if c == nil {
			continue
		}
		c.index = len(t.certificates)
		t.certificates = append(t.certificates, c)
		patterns += c.filter.Patterns()
	}
	if patterns > MaxCertificatePatterns {
		faults.Add("rules", "hold %d patterns with wildcards and address ranges in client_certificate conditions, more than %d",
			patterns, MaxCertificatePatterns)
	}
}

// checkCertificates refuses conditions about what the listener does not find out.
func (t *RuleTable) checkCertificates(faults *fault.List, mode Mode) {
	for _, c := range t.certificates {
		switch {
		case mode == ModeVerify:
		case mode != ModePassthrough:
			faults.Add(c.path, "needs mutual_authentication: this listener asks for no certificate")
		case c.matching || c.verified != nil:
			faults.Add(c.path, "looks at a certificate that mode passthrough does not verify, so anyone could make one up: "+
				"set mode to verify, or look at presented only")
		}
	}
}

// A certificateAnswer says which client_certificate conditions of a table hold for a
// connection: one bit each, by index.
type certificateAnswer struct {
	table   *RuleTable
	verdict *trust.Verdict
	bits    []uint64
}

func (t *RuleTable) answer(verdict *trust.Verdict, presented bool) *certificateAnswer {
	a := &certificateAnswer{table: t, verdict: verdict, bits: make([]uint64, (len(t.certificates)+63)/64)}
	for i, c := range t.certificates {
		if c.holds(verdict, presented) {
			a.bits[i/64] |= 1 << (i % 64)
		}
	}
	return a
}

// certificateBits returns what the conditions of the request's own rule table say of
// its connection. They are asked once for a connection, and again after a reload or
// when the verdict has changed.
func (x *exchange) certificateBits() []uint64 {
	table := x.p.rules
	if len(table.certificates) == 0 {
		return nil
	}
	a := x.c.answer.Load()
	if a == nil || a.table != table || a.verdict != x.verdict {
		a = table.answer(x.verdict, len(x.c.presented) > 0)
		x.c.answer.Store(a)
	}
	return a.bits
}

// meets reports whether a client_certificate condition holds. One that was not asked
// does not.
func (s *subject) meets(c *certificateCondition) bool {
	word := c.index / 64
	return word < len(s.certificates) && s.certificates[word]>>(c.index%64)&1 == 1
}
