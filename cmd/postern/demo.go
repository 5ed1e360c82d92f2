package main

import (
	"github.com/postern-lb/postern/cmd/postern/internal/demo"
)

type demoCommand struct {
	Dir  string `type:"path" placeholder:"DIR" help:"Keep certificates, config and logs here instead of in a temporary folder."`
	Once bool   `help:"Run the commands, tell what came back, and exit 0 only if every one behaved."`
}

// Run shows the demo until it is interrupted, or once.
func (c *demoCommand) Run(s *streams) error {
	return demo.Run(s.ctx, demo.Options{Dir: c.Dir, Once: c.Once, Out: s.stdout})
}
