package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-lb/postern/lb"
)

type trustInspect struct {
	At     time.Time `placeholder:"RFC3339" help:"Warn as of this time instead of now."`
	JSON   bool      `name:"json" help:"Print one JSON object."`
	Bundle string    `arg:"" type:"path" placeholder:"BUNDLE" help:"CA certificates, PEM."`
}

// Run prints what is in the bundle.
func (c *trustInspect) Run(s *streams) error {
	report, err := lb.InspectBundle(c.Bundle, c.At)
	if err != nil {
		return unusable{err}
	}
	return s.report(report, c.JSON)
}

type trustDiff struct {
	At    time.Time `placeholder:"RFC3339" help:"Warn as of this time instead of now."`
	JSON  bool      `name:"json" help:"Print one JSON object."`
	Older string    `arg:"" type:"path" placeholder:"OLDER" help:"CA certificates, PEM."`
	Newer string    `arg:"" type:"path" placeholder:"NEWER" help:"CA certificates, PEM."`
}

// Run prints how the bundles differ.
func (c *trustDiff) Run(s *streams) error {
	if c.At.IsZero() {
		c.At = time.Now() // the same for both
	}
	older, err := lb.InspectBundle(c.Older, c.At)
	if err != nil {
		return unusable{err}
	}
	newer, err := lb.InspectBundle(c.Newer, c.At)
	if err != nil {
		return unusable{err}
	}
	diff := lb.DiffBundles(older, newer)
	return s.answer(diff, c.JSON, diff.Same)
}

// report prints something that has a text and a JSON form.
func (s *streams) report(r interface{ Text() string }, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(s.stdout).Encode(r)
	}
	_, err := fmt.Fprint(s.stdout, r.Text())
	return err
}

// answer is report for what is good or not.
func (s *streams) answer(r interface{ Text() string }, asJSON, good bool) error {
	if err := s.report(r, asJSON); err != nil || good {
		return err
	}
	return errNo
}
