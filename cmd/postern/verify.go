package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-lb/postern/lb"
)

type verifyCommand struct {
	TrustStore                    string    `required:"" type:"path" placeholder:"BUNDLE" help:"CA certificates, PEM."`
	CRL                           []string  `name:"crl" type:"path" sep:"none" placeholder:"FILE" help:"Revocation list, PEM or DER; may be given several times."`
	At                            time.Time `placeholder:"RFC3339" help:"Decide as of this time instead of now."`
	MaxDepth                      int       `placeholder:"N" default:"4" help:"How many certificates a client may send, 1 to 10."`
	IgnoreClientCertificateExpiry bool      `help:"As the listener's setting of that name."`
	JSON                          bool      `name:"json" help:"Print one JSON object."`
	Chain                         string    `arg:"" type:"path" placeholder:"CHAIN" help:"The client's certificates, PEM, leaf first."`
}

// Run decides with the very code that a listener uses.
func (c *verifyCommand) Run(s *streams) error {
	if c.MaxDepth < 1 { // which Explain takes for its default
		return unusable{fmt.Errorf("--max-depth is %d: give 1 to 10", c.MaxDepth)}
	}
	decision, err := lb.Explain(lb.ExplainOptions{
		Bundle: c.TrustStore, Revocations: c.CRL, At: c.At, MaxDepth: c.MaxDepth, Chain: c.Chain,
		IgnoreExpiry: c.IgnoreClientCertificateExpiry,
	})
	if err != nil {
		return unusable{err}
	}
	for _, w := range decision.Warnings {
		fmt.Fprintf(s.stderr, "warning: %s\n", w)
	}
	if c.JSON {
		err = json.NewEncoder(s.stdout).Encode(decision)
	} else {
		_, err = fmt.Fprint(s.stdout, decision.Text())
	}
	if err == nil && !decision.Accepted {
		return errNo
	}
	return err
}
