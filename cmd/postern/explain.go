package main

import (
	"time"

	"github.com/postern-lb/postern/lb"
)

type explainCommand struct {
	Config   string    `required:"" type:"path" placeholder:"FILE" help:"The config file (YAML)."`
	Listener string    `required:"" placeholder:"NAME" help:"The listener whose trust store, policy and filters decide."`
	At       time.Time `placeholder:"RFC3339" help:"Decide as of this time instead of now."`
	JSON     bool      `name:"json" help:"Print one JSON object."`
	Chain    string    `arg:"" type:"path" placeholder:"CHAIN" help:"The client's certificates, PEM, leaf first."`
}

// Run replays the decision of a listener and prints each step.
func (c *explainCommand) Run(s *streams) error {
	decision, err := lb.ExplainListener(lb.ListenerOptions{
		ConfigPath: c.Config, Listener: c.Listener, Chain: c.Chain, At: c.At,
	})
	if err != nil {
		return unusable{err}
	}
	return s.decided(&decision.Decision, decision, c.JSON)
}
