package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/lb/config"
)

type verifyCommand struct {
	TrustStore                    string    `required:"" type:"path" placeholder:"BUNDLE" help:"CA certificates, PEM."`
	CRL                           []string  `name:"crl" type:"path" sep:"none" placeholder:"FILE" help:"Revocation list, PEM or DER; may be given several times."`
	At                            time.Time `placeholder:"RFC3339" help:"Decide as of this time instead of now."`
	MaxDepth                      int       `placeholder:"N" default:"4" help:"How many certificates a client may send, 1 to 10."`
	IgnoreClientCertificateExpiry bool      `help:"As the listener's setting of that name."`
	RevocationPolicy              struct {
		Missing string        `enum:"allow,deny" default:"allow" help:"What it means that no list covers a certificate: allow or deny."`
		Expired string        `enum:"allow,grace,deny" default:"allow" help:"What it means that the lists have expired: allow, grace or deny."`
		Grace   time.Duration `placeholder:"6h" help:"How long, with grace."`
		Scope   string        `enum:"chain,leaf" default:"chain" help:"Look up every certificate, or the client's own only: chain or leaf."`
	} `embed:"" prefix:"revocation-"`
	JSON  bool   `name:"json" help:"Print one JSON object."`
	Chain string `arg:"" type:"path" placeholder:"CHAIN" help:"The client's certificates, PEM, leaf first."`
}

// Run decides with the very code that a listener uses.
func (c *verifyCommand) Run(s *streams) error {
	if c.MaxDepth < 1 { // which Explain takes for its default
		return unusable{fmt.Errorf("--max-depth is %d: give 1 to 10", c.MaxDepth)}
	}
	decision, err := lb.Explain(lb.ExplainOptions{
		Bundle: c.TrustStore, Revocations: c.CRL, At: c.At, MaxDepth: c.MaxDepth, Chain: c.Chain,
		IgnoreExpiry: c.IgnoreClientCertificateExpiry,
		RevocationPolicy: config.RevocationPolicy{
			Missing: config.MissingRevocation(c.RevocationPolicy.Missing), Expired: config.ExpiredRevocation(c.RevocationPolicy.Expired),
			Grace: c.RevocationPolicy.Grace, Scope: config.RevocationScope(c.RevocationPolicy.Scope),
		},
	})
	if err != nil {
		return unusable{err}
	}
	return s.decided(decision, decision, c.JSON)
}

// decided prints a decision, whole as JSON or else its text, and says how the command ends.
func (s *streams) decided(d *lb.Decision, whole interface{ Text() string }, asJSON bool) (err error) {
	for _, w := range d.Warnings {
		fmt.Fprintf(s.stderr, "warning: %s\n", w)
	}
	if asJSON {
		err = json.NewEncoder(s.stdout).Encode(whole)
	} else {
		_, err = fmt.Fprint(s.stdout, whole.Text())
	}
	if err == nil && !d.Accepted {
		return errNo
	}
	return err
}
