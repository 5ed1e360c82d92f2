package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/lb/config"
)

type checkCommand struct {
	Config        string    `required:"" type:"path" placeholder:"FILE" help:"The config file (YAML)."`
	TrustStore    []string  `sep:"none" placeholder:"NAME=BUNDLE" help:"Check with these CA certificates in place of those of a trust store."`
	CRL           []string  `name:"crl" sep:"none" placeholder:"NAME=FILE" help:"Check with this revocation list in place of those of a trust store; may be given several times."`
	SeenClients   string    `type:"path" placeholder:"FILE" help:"Judge the clients of this file in place of that in the state directory."`
	At            time.Time `placeholder:"RFC3339" help:"Check as of this time instead of now."`
	FailOnLockout bool      `help:"Exit with 1 if a recently seen client would be locked out, or if none can be judged."`
	JSON          bool      `name:"json" help:"Print one JSON object."`
}

// checkOutput is a contract: fields may be added, none is renamed or removed.
type checkOutput struct {
	Config      string     `json:"config"`
	Good        bool       `json:"good"`
	Warnings    []string   `json:"warnings"`
	Faults      []string   `json:"faults"`
	SeenClients *lb.DryRun `json:"seen_clients,omitempty"`
}

// Run prints warnings, says whether the config can be used, and which of the clients that
// were seen lately it would lock out.
func (c *checkCommand) Run(s *streams) error {
	options := lb.CheckOptions{
		ConfigPath: c.Config, SeenClients: c.SeenClients, At: c.At, Bundles: make(map[string]string), Revocations: make(map[string][]string),
	}
	err := errors.Join(
		named("--trust-store", c.TrustStore, func(name, file string) { options.Bundles[name] = file }),
		named("--crl", c.CRL, func(name, file string) { options.Revocations[name] = append(options.Revocations[name], file) }),
	)
	if err != nil {
		return unusable{err}
	}
	report, err := lb.CheckWith(options)
	if c.JSON {
		if err := c.printJSON(s, report, err); err != nil {
			return err
		}
	} else if err == nil {
		c.print(s, report)
	}
	switch {
	case err != nil:
		return inputError(err)
	case c.FailOnLockout && (report.DryRun == nil || report.DryRun.Problem != "" || report.DryRun.LockedOut > 0):
		return errNo
	}
	return nil
}

// named reads NAME=FILE arguments.
func named(flag string, values []string, set func(name, file string)) error {
	for _, v := range values {
		name, file, ok := strings.Cut(v, "=")
		if !ok || name == "" || file == "" {
			return fmt.Errorf("%s %q: write the name of a trust store, \"=\" and a file", flag, v)
		}
		path, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		set(name, path)
	}
	return nil
}

func (c *checkCommand) print(s *streams, report *lb.CheckReport) {
	for _, w := range report.Warnings {
		fmt.Fprintf(s.stdout, "warning: %s\n", w)
	}
	fmt.Fprintf(s.stdout, "%s: good\n", c.Config)
	switch {
	case report.DryRun != nil:
		fmt.Fprint(s.stdout, report.DryRun.Text())
	case c.FailOnLockout:
		fmt.Fprintln(s.stdout, "recently seen clients: none can be judged, since the config has no state_directory; name a file with --seen-clients")
	}
}

func (c *checkCommand) printJSON(s *streams, report *lb.CheckReport, err error) error {
	out := checkOutput{Config: c.Config, Good: err == nil, Warnings: []string{}, Faults: []string{}}
	if report != nil {
		for _, w := range report.Warnings {
			out.Warnings = append(out.Warnings, w.String())
		}
		out.SeenClients = report.DryRun
	}
	if faults, ok := errors.AsType[config.Errors](err); ok {
		for _, f := range faults {
			out.Faults = append(out.Faults, f.Error())
		}
	} else if err != nil {
		out.Faults = append(out.Faults, err.Error())
	}
	return json.NewEncoder(s.stdout).Encode(out)
}
