package lb

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/trust"
)

// ExplainOptions is a client certificate chain and the files to judge it by.
type ExplainOptions struct {
	Bundle       string   // CA certificates, PEM
	Revocations  []string // CRLs, PEM or DER
	Chain        string   // the client's certificates, PEM, leaf first
	At           time.Time
	MaxDepth     int // 0: trust.DefaultMaxDepth
	IgnoreExpiry bool
	// RevocationPolicy is as in a trust store of the config.
	RevocationPolicy config.RevocationPolicy
}

// A Decision is what verify mode says about a chain. Its JSON form is a contract:
// fields are added, never renamed.
type Decision struct {
	Accepted     bool      `json:"accepted"`
	Reason       string    `json:"reason"` // empty when accepted
	Detail       string    `json:"detail"`
	Certificate  int       `json:"certificate"` // at fault, from 0 in the chain; -1: none of them
	At           time.Time `json:"at"`
	Subject      string    `json:"subject,omitempty"`
	Issuer       string    `json:"issuer,omitempty"`
	SerialNumber string    `json:"serial_number,omitempty"`
	Validity     string    `json:"validity,omitempty"`
	Chain        []string  `json:"chain,omitempty"` // subjects of the verified path, leaf first
	Warnings     []string  `json:"warnings,omitempty"`
}

// Explain decides about a chain exactly as a listener in verify mode does. The
// error says which file cannot be used, and why.
func Explain(o ExplainOptions) (*Decision, error) {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	policy := &trust.Policy{MaxDepth: o.MaxDepth, IgnoreExpiry: o.IgnoreExpiry}
	if err := policy.Check(); err != nil {
		return nil, err
	}
	m, r := newMaterial(nil), newReading()
	m.now = func() time.Time { return o.At }
	files := config.TrustStore{CACertificatesBundle: config.FileSource(o.Bundle), Revocations: fileSources(o.Revocations)}
	material := m.store(files, "", r)
	if len(r.faults) > 0 {
		return nil, withoutPaths(r.faults)
	}
	rules, err := trust.NewRevocationPolicy(revocationConfig(o.RevocationPolicy), material.bundle)
	if err != nil {
		return nil, err
	}
	data, err := readFile(o.Chain, maxCertificateFile)
	if err != nil {
		return nil, err
	}
	chain, verdict, err := trust.ParseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Chain, err)
	}
	if verdict == nil {
		store := trust.NewStore(o.Bundle, trust.Options{})
		(&plannedStore{storeMaterial: material, rules: rules}).publishTo(store)
		verdict = store.Verify(chain, policy, o.At)
	}
	return newDecision(verdict, o.At, r.warnings), nil
}

// withoutPaths joins problems that name their files; the config keys mean nothing
// here.
func withoutPaths(faults fault.List) error {
	var out fault.List
	for _, f := range faults {
		out.Add("", "%s", f.Problem)
	}
	return out
}

func newDecision(v *trust.Verdict, at time.Time, warnings []Warning) *Decision {
	d := &Decision{
		Accepted: v.Accepted, Reason: string(v.Reason), Detail: v.Detail, Certificate: v.Index, At: at.UTC(),
	}
	if id := v.Identity; id != nil {
		d.Subject, d.Issuer, d.SerialNumber, d.Validity = id.Subject, id.Issuer, id.Serial, id.Validity
	}
	for _, cert := range v.Chain {
		d.Chain = append(d.Chain, trust.NewIdentity(cert).Subject)
	}
	for _, w := range warnings {
		d.Warnings = append(d.Warnings, w.String())
	}
	return d
}

// Text returns the decision for a person.
func (d *Decision) Text() string {
	var b strings.Builder
	if d.Accepted {
		fmt.Fprintf(&b, "accepted\n")
	} else {
		fmt.Fprintf(&b, "refused: %s: %s\n", d.Reason, d.Detail)
	}
	if d.Subject != "" {
		fmt.Fprintf(&b, "  subject   %s\n  issuer    %s\n  serial    %s\n  validity  %s\n", d.Subject, d.Issuer, d.SerialNumber, d.Validity)
	}
	for i, subject := range d.Chain {
		fmt.Fprintf(&b, "  path %d    %s\n", i, subject)
	}
	return b.String()
}
