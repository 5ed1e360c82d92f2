package lb

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
)

// CheckOptions says what is to be checked.
type CheckOptions struct {
	ConfigPath string
	// Bundles and Revocations are files to be used in place of those that the config
	// names, by trust store.
	Bundles     map[string]string
	Revocations map[string][]string
	// SeenClients is a file to be used in place of that of the config's state directory.
	SeenClients string
	At          time.Time // zero: now
}

// A CheckReport is what can be said of a config without faults.
type CheckReport struct {
	Warnings []Warning
	// DryRun is nil if there is nothing to tell of clients from: neither a state
	// directory nor a file of its own.
	DryRun *DryRun
}

// Check reads the config at path and everything it names as New would, without
// opening anything. The error is a config.Errors that holds every fault.
func Check(path string) ([]Warning, error) {
	report, err := CheckWith(CheckOptions{ConfigPath: path})
	if err != nil {
		return nil, err
	}
	return report.Warnings, nil
}

// CheckWith is Check with other files than the config's, and with the forecast of what
// becomes of the clients that were let in lately.
func CheckWith(o CheckOptions) (*CheckReport, error) {
	file, err := config.Load(o.ConfigPath)
	if err != nil {
		return nil, err
	}
	if err := o.replace(file); err != nil {
		return nil, err
	}
	b, err := newLoadBalancer(Options{ConfigPath: o.ConfigPath, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	b.checking = true
	defer b.material.certificates.stop()
	if o.At.IsZero() {
		o.At = time.Now()
	}
	b.material.now = func() time.Time { return o.At }
	b.unpinned = func(name string) bool { return o.Bundles[name] != "" || len(o.Revocations[name]) > 0 }
	removeCopies, err := b.sources.useTemporary(file)
	if err != nil {
		return nil, err
	}
	defer removeCopies()
	b.sources.refresh(context.Background(), file, true)
	p, err := b.plan(file)
	if err != nil {
		return nil, err
	}
	p.discard(b.runtime)
	return &CheckReport{Warnings: p.warnings, DryRun: p.dryRun(&o)}, nil
}

// replace puts the files of the options in the place of the config's.
func (o *CheckOptions) replace(file *config.File) error {
	var faults fault.List
	names := make(map[string]int, len(file.TrustStores))
	for i, ts := range file.TrustStores {
		names[ts.Name] = i
	}
	of := func(name string) *config.TrustStore {
		i, ok := names[name]
		if !ok {
			faults.Add("trust_stores", "none has the name %q, for which a file was given: they are %s", name,
				strings.Join(slices.Sorted(maps.Keys(names)), ", "))
			return nil
		}
		return &file.TrustStores[i]
	}
	for _, name := range slices.Sorted(maps.Keys(o.Bundles)) {
		if ts := of(name); ts != nil {
			ts.CACertificatesBundle = config.FileSource(o.Bundles[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Revocations)) {
		if ts := of(name); ts != nil {
			ts.Revocations = fileSources(o.Revocations[name])
		}
	}
	if len(faults) > 0 {
		return file.Place("", faults)
	}
	return nil
}
