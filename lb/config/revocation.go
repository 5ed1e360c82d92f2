package config

import "time"

// RevocationPolicy says what a missing and an expired revocation list mean for the
// clients of a trust store. Package trust checks how its keys go together.
type RevocationPolicy struct {
	Missing MissingRevocation `yaml:"missing"`
	Expired ExpiredRevocation `yaml:"expired"`
	// Grace goes with Expired: grace.
	Grace time.Duration   `yaml:"grace" range:"1s..720h"`
	Scope RevocationScope `yaml:"scope"`
	// Authorities are the issuing CAs with a rule of their own.
	Authorities []RevocationAuthority `yaml:"authorities"`
}

// RevocationAuthority is the rule for what one issuing CA has issued. Subject, SHA256
// and SubjectKeyID say which certificate of the bundle is meant; of the rest, what is
// empty is as the trust store has it.
type RevocationAuthority struct {
	Subject      string            `yaml:"subject,filled"`
	SHA256       string            `yaml:"sha256,filled"`
	SubjectKeyID string            `yaml:"subject_key_id,filled"`
	Missing      MissingRevocation `yaml:"missing"`
	Expired      ExpiredRevocation `yaml:"expired"`
	Grace        time.Duration     `yaml:"grace" range:"1s..720h"`
	Scope        RevocationScope   `yaml:"scope"`
}

// MissingRevocation is what it means that no list covers a certificate.
type MissingRevocation string

// ExpiredRevocation is what it means that the lists that cover a certificate have expired.
type ExpiredRevocation string

// RevocationScope is which certificates of a chain are looked up.
type RevocationScope string

// The words of a revocation policy. ALB's are allow, allow and chain.
const (
	MissingAllow MissingRevocation = "allow"
	MissingDeny  MissingRevocation = "deny"

	ExpiredAllow ExpiredRevocation = "allow"
	ExpiredGrace ExpiredRevocation = "grace"
	ExpiredDeny  ExpiredRevocation = "deny"

	ScopeChain RevocationScope = "chain"
	ScopeLeaf  RevocationScope = "leaf"
)

func (MissingRevocation) values() []string {
	return []string{string(MissingAllow), string(MissingDeny)}
}

func (ExpiredRevocation) values() []string {
	return []string{string(ExpiredAllow), string(ExpiredGrace), string(ExpiredDeny)}
}

func (RevocationScope) values() []string { return []string{string(ScopeChain), string(ScopeLeaf)} }
