package listener

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-lb/postern/internal/fault"
)

// DefaultSecurityPolicy is used by a listener that names none. It is what ALB's
// console picks for a new listener. ALB's API has another default,
// ELBSecurityPolicy-2016-08, which still offers TLS 1.0 and no TLS 1.3; Postern
// does not follow it, since no listener may get weaker by a field left empty.
const DefaultSecurityPolicy = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"

const securityPolicyPrefix = "ELBSecurityPolicy-"

// A SecurityPolicy is one of ALB's named sets of TLS versions, cipher suites and
// key exchange groups (ALB, "Security policies for your Application Load
// Balancer"), as far as crypto/tls can offer it. docs/security-policies.md
// lists each difference.
type SecurityPolicy struct {
	// Name is the full name, with the ELBSecurityPolicy prefix.
	Name string
	// MinVersion and MaxVersion are the TLS versions offered, both included.
	MinVersion, MaxVersion uint16
	// CipherSuites are the suites for TLS 1.2 and below, in ALB's order. Nil if
	// the policy offers TLS 1.3 only, whose suites crypto/tls fixes.
	CipherSuites []uint16
	// CurvePreferences are the key exchange groups: X25519, P-256, P-384 and
	// P-521, preceded by the three ML-KEM hybrids in the PQ policies.
	CurvePreferences []tls.CurveID
}

// LookupSecurityPolicy returns the policy of that name; names are compared as
// they are, letter case included. It fails, naming the policy to use instead,
// if ALB has no policy of that name or crypto/tls cannot honour it.
//
// The result is a fresh copy that the caller may change.
func LookupSecurityPolicy(name string) (*SecurityPolicy, error) {
	short, _ := strings.CutPrefix(name, securityPolicyPrefix)
	if short == name {
		return nil, unknownSecurityPolicy(name)
	}
	for _, row := range securityPolicies {
		if row.name == short {
			return row.policy(), nil
		}
	}
	for _, row := range refusedPolicies {
		if row.name == short {
			return nil, fmt.Errorf("%q cannot be honoured: %s; the nearest policy that can is %q",
				name, row.why, securityPolicyPrefix+row.instead)
		}
	}
	return nil, unknownSecurityPolicy(name)
}

func unknownSecurityPolicy(name string) error {
	return fmt.Errorf("%q is not a security policy of ALB's; did you mean %q?", name, nearestSecurityPolicy(name))
}

// SecurityPolicyNames returns the full names of all policies that
// [LookupSecurityPolicy] honours, in the order of ALB's documentation.
func SecurityPolicyNames() []string {
	var names []string
	for _, row := range securityPolicies {
		names = append(names, securityPolicyPrefix+row.name)
	}
	return names
}

// Apply sets the versions, cipher suites and groups of c, and nothing else.
//
// MinVersion is always set: crypto/tls reads a zero as TLS 1.2, and policies
// with TLS 1.0 or 1.1 would quietly lose them. CipherSuites is set to every
// suite of the policy because CBC with SHA-256 and RSA key exchange work in
// crypto/tls only when they are listed.
func (p *SecurityPolicy) Apply(c *tls.Config) {
	c.MinVersion, c.MaxVersion = p.MinVersion, p.MaxVersion
	c.CipherSuites = slices.Clone(p.CipherSuites)
	c.CurvePreferences = slices.Clone(p.CurvePreferences)
}

// nearestSecurityPolicy returns the honoured name with the fewest edits from
// name, for a hint in an error.
func nearestSecurityPolicy(name string) string {
	// Only short input is compared: the cost grows with its length.
	const longest = 2 * len(DefaultSecurityPolicy)
	want := strings.ToLower(strings.TrimSpace(name))
	if len(want) > longest {
		return DefaultSecurityPolicy
	}
	if prefix := strings.ToLower(securityPolicyPrefix); !strings.HasPrefix(want, prefix) {
		want = prefix + want
	}
	best, fewest := DefaultSecurityPolicy, len(want)
	for _, candidate := range SecurityPolicyNames() {
		if d := fault.EditDistance(want, strings.ToLower(candidate)); d < fewest {
			best, fewest = candidate, d
		}
	}
	return best
}
