package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/lb/versions"
)

// trustStore names a trust store of a config.
type trustStore struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The config file (YAML)."`
	Name   string `arg:"" placeholder:"NAME" help:"The trust store."`
}

type trustVersions struct {
	trustStore
	JSON bool `name:"json" help:"Print one JSON object."`
}

// Run lists what the state directory has.
func (c *trustVersions) Run(s *streams) error {
	found, err := lb.Versions(c.Config, c.Name)
	if err != nil {
		return unusable{err}
	}
	if c.JSON {
		out := json.NewEncoder(s.stdout)
		out.SetIndent("", "  ")
		return out.Encode(found)
	}
	return s.printVersions(found)
}

func (s *streams) printVersions(found *lb.StoreVersions) error {
	table := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tLOADED\tCERTIFICATES\tREVOKED\tWARNINGS\tSOURCE\tSTATE")
	for i, r := range found.Versions {
		state := ""
		switch {
		case r.Problem != "":
			state = "damaged"
		case !r.Kept:
			state = "contents missing"
		case i == len(found.Versions)-1:
			state = "newest"
		}
		if found.Pin != nil && found.Pin.Version == r.Number {
			state = "pinned " + found.Pin.At.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%d\t%s\t%s\n", r.Number, r.Loaded.Format(time.RFC3339), r.Certificates, r.Revoked,
			len(r.Warnings)+r.MoreWarnings, r.Source, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range found.Versions {
		s.printWarnings(&r)
	}
	return nil
}

func (s *streams) printWarnings(r *versions.Record) {
	if r.Problem != "" {
		fmt.Fprintf(s.stdout, "version %d: damaged: %s\n", r.Number, r.Problem)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(s.stdout, "version %d: warning: %s\n", r.Number, w)
	}
	if r.MoreWarnings > 0 {
		fmt.Fprintf(s.stdout, "version %d: %d more warnings\n", r.Number, r.MoreWarnings)
	}
}

type trustRollback struct {
	trustStore
	Version int  `arg:"" optional:"" placeholder:"VERSION" help:"The version to go back to."`
	Release bool `xor:"release" help:"Follow the sources again."`
	Latest  bool `xor:"release" help:"The same as --release."`
}

// Run writes or removes the pin, which a running process notices by itself.
func (c *trustRollback) Run(s *streams) error {
	release := c.Release || c.Latest
	if release == (c.Version != 0) {
		return unusable{errors.New("give a version to go back to, or --release")}
	}
	if release {
		pinned, err := lb.Release(c.Config, c.Name)
		if err != nil {
			return unusable{err}
		}
		if !pinned {
			fmt.Fprintf(s.stdout, "%s is not pinned: it follows its sources\n", c.Name)
			return nil
		}
		fmt.Fprintf(s.stdout, "%s follows its sources again; a running process takes that up within seconds\n", c.Name)
		return nil
	}
	if err := lb.RollBack(c.Config, c.Name, c.Version); err != nil {
		return unusable{err}
	}
	fmt.Fprintf(s.stdout, "%s is pinned to version %d until `postern trust rollback --release`; a running process takes that up within seconds\n"+
		"certificates revoked since then are admitted again: its revocation lists are those of the time\n", c.Name, c.Version)
	return nil
}
