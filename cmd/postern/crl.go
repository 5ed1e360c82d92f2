package main

import (
	"fmt"
	"time"

	"github.com/postern-lb/postern/lb"
)

// crlCommand groups what is about revocation lists.
type crlCommand struct {
	Inspect crlInspect `cmd:"" help:"Say what is in a revocation list."`
	Diff    crlDiff    `cmd:"" help:"Compare two revocation lists; exit code 1 if they differ."`
}

type crlInspect struct {
	TrustStore string    `type:"path" placeholder:"BUNDLE" help:"CA certificates, PEM, to check the signature by; exit code 1 if it is bad."`
	At         time.Time `placeholder:"RFC3339" help:"As of this time instead of now."`
	JSON       bool      `name:"json" help:"Print one JSON object."`
	File       string    `arg:"" type:"path" placeholder:"FILE" help:"Revocation list, PEM or DER."`
}

// Run prints what is in the list.
func (c *crlInspect) Run(s *streams) error {
	report, err := lb.InspectCRL(c.File, lb.CRLOptions{Bundle: c.TrustStore, At: c.At})
	if err != nil {
		return unusable{err}
	}
	return s.answer(report, c.JSON, report.Good())
}

type crlDiff struct {
	TrustStore string    `type:"path" placeholder:"BUNDLE" help:"CA certificates, PEM, to check the signatures by."`
	At         time.Time `placeholder:"RFC3339" help:"As of this time instead of now."`
	Limit      int       `default:"20" placeholder:"N" help:"How many serials of each kind to show, 0 to 10000."`
	JSON       bool      `name:"json" help:"Print one JSON object."`
	Older      string    `arg:"" type:"path" placeholder:"OLDER" help:"Revocation list, PEM or DER."`
	Newer      string    `arg:"" type:"path" placeholder:"NEWER" help:"Revocation list, PEM or DER."`
}

// Run prints how the lists differ.
func (c *crlDiff) Run(s *streams) error {
	if c.Limit < 0 || c.Limit > lb.MaxShownSerials {
		return unusable{fmt.Errorf("--limit is %d: give 0 to %d", c.Limit, lb.MaxShownSerials)}
	}
	o := lb.CRLOptions{Bundle: c.TrustStore, At: c.At}
	older, err := lb.InspectCRL(c.Older, o)
	if err != nil {
		return unusable{err}
	}
	newer, err := lb.InspectCRL(c.Newer, o)
	if err != nil {
		return unusable{err}
	}
	diff := lb.DiffCRLs(older, newer, c.Limit)
	return s.answer(diff, c.JSON, diff.Same && older.Good() && newer.Good())
}
