package lb

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
	"github.com/postern-lb/postern/trust"
)

// A hold says whether a trust store follows its sources. The zero hold does.
type hold struct {
	pin     *versions.Pin
	waiting string // what the sources have instead, if it is something else; a sentence
}

// pinned returns the version that is held, or 0.
func (h hold) pinned() int {
	if h.pin == nil {
		return 0
	}
	return h.pin.Version
}

// planStore reads what one trust store is to be: what its sources have, or the version
// that it is pinned to. It returns nil if that has faults.
func (p *plan) planStore(b *LoadBalancer, ts config.TrustStore, at string) *plannedStore {
	r := p.reading
	out := &plannedStore{store: b.runtime.store(ts.Name), policy: ts.RevocationPolicy,
		history: b.histories.open(ts, p.desired.StateDirectory, b.checking)}
	var err error
	if out.pin, err = versions.ReadPin(out.history.Folder()); err != nil {
		r.faults.Add(at, "%v: pin the trust store again with `postern trust rollback`, or release it with --release", err)
		return nil
	}
	if b.unpinned != nil && b.unpinned(ts.Name) {
		out.pin = nil
	}
	before := len(r.faults)
	out.storeMaterial = b.material.store(ts, at, r)
	if out.pin != nil {
		p.planPinned(b, out, at, before)
	}
	out.probes = p.planProbes(b, ts, out.store, at)
	out.rules = p.planRevocationPolicy(ts, out.storeMaterial, b.runtime.governs(ts), at+".revocation_policy", b.material.now())
	if out.storeMaterial == nil {
		return nil
	}
	return out
}

// planPinned puts the pinned version in the place of what the sources have, which is
// only reported: its faults, those from before on, do not keep the version back.
func (p *plan) planPinned(b *LoadBalancer, s *plannedStore, at string, before int) {
	r, newer := p.reading, s.storeMaterial
	s.storeMaterial = nil
	version, known := s.history.Find(s.pin.Version)
	if !known {
		r.faults.Add(at, "pinned to version %d, which is not among those kept: see `postern trust versions`", s.pin.Version)
		return
	}
	if newer != nil && hex.EncodeToString(newer.digest[:]) == version.Digest {
		s.storeMaterial = newer
		return
	}
	if newer == nil {
		s.waiting = "what the sources have cannot be used"
		for _, f := range r.faults[before:] {
			r.warnings = append(r.warnings, Warning{Path: f.Path, Problem: f.Problem})
		}
		r.faults = r.faults[:before]
	} else {
		s.waiting = "newer material waits, " + newer.version
	}
	r.warnings = append(r.warnings, Warning{Path: at, Problem: fmt.Sprintf("version pinned to %d, %s", s.pin.Version, s.waiting)})
	if running := b.runtime.material(s.store.Name(), version); running != nil {
		s.storeMaterial = running
		r.addMaterialWarnings(running, version, at, b.now())
		return
	}
	m, err := b.material.version(s.history, version, at, r)
	if err != nil {
		r.faults.Add(at, "pinned to version %d: %v: pin another version with `postern trust rollback`, or release it with --release", s.pin.Version, err)
		return
	}
	s.storeMaterial = m
}

// version reads a version that was kept, and compares it with its digest. Faults that
// are not the error's are in r.
func (m *material) version(h *versions.History, v versions.Record, path string, r *reading) (*storeMaterial, error) {
	if err := h.Verify(v); err != nil {
		return nil, err
	}
	var bundle *trust.Bundle
	var lists []revocation
	for _, f := range v.Files {
		var err error
		switch f.Kind {
		case versions.Bundle:
			bundle, err = m.keptBundle(h.Blob(f.SHA256))
		case versions.Revocation:
			var l revocation
			l, err = m.keptList(h.Blob(f.SHA256), f.Name)
			lists = append(lists, l)
		}
		if err != nil {
			return nil, fmt.Errorf("%s as it was then: %w", f.Name, err)
		}
	}
	for _, l := range lists {
		r.lists[l.sum] = l.List
	}
	out := m.assemble(bundle, lists, path, r)
	if out == nil {
		return nil, errors.New("its revocation lists do not fit its bundle")
	}
	if hex.EncodeToString(out.digest[:]) != v.Digest {
		return nil, errors.New("its contents do not have its digest")
	}
	out.version = v.Source
	return out, nil
}

func (m *material) keptBundle(blob string) (*trust.Bundle, error) {
	data, err := readFile(blob, maxBundleFile)
	if err != nil {
		return nil, err
	}
	return trust.ParseBundle(data, m.now())
}

func (m *material) keptList(blob, name string) (revocation, error) {
	f, size, err := openFile(blob, maxRevocationFile)
	if err != nil {
		return revocation{}, err
	}
	defer f.Close()
	list, sum, err := m.list(f, size)
	return revocation{crl.Source{Name: name, List: list}, blob, sum}, err
}

// addMaterialWarnings notes what is questionable about a version that was not read
// again.
func (r *reading) addMaterialWarnings(m *storeMaterial, v versions.Record, path string, now time.Time) {
	for _, w := range materialWarnings(m, v.Files, now) {
		r.warnings = append(r.warnings, Warning{Path: path, Problem: fmt.Sprintf("version %d: %s", v.Number, w)})
	}
}

// materialWarnings returns what is questionable about a trust store.
func materialWarnings(m *storeMaterial, files []versions.File, now time.Time) []versions.Warning {
	out := []versions.Warning{}
	bundle := ""
	for _, f := range files {
		if f.Kind == versions.Bundle {
			bundle = f.Name
		}
	}
	for _, w := range m.bundle.WarningsAt(now) {
		out = append(out, versions.Warning{Code: string(w.Code), Subject: w.Subject, File: bundle, Problem: w.Problem})
	}
	for _, w := range m.set.Warnings(now) {
		out = append(out, versions.Warning{Code: "crl-" + string(w.Kind), File: w.Source, Problem: w.Detail})
	}
	return out
}

// applyVersion numbers what was put in force, and tells of it and of a rollback. The
// caller holds mu.
func (rt *runtime) applyVersion(name string, running *runningStore, planned *plannedStore, changed bool) {
	before := *running
	running.material, running.history, running.hold = planned.storeMaterial, planned.history, planned.hold
	running.version = planned.pinned()
	if planned.pin == nil {
		version, _ := planned.history.Add(planned.record(time.Now()))
		running.version = version.Number
	}
	switch log := rt.logger.With("trust_store", name, "from", before.version, "to", running.version); {
	case planned.pin != nil && before.version == 0:
		log.Warn("trust store is pinned to a version", "pinned_at", planned.pin.At)
	case planned.pin != nil && planned.pinned() != before.pinned():
		log.Warn("trust store rolled back: it is pinned to a version", "pinned_at", planned.pin.At)
	case planned.pin == nil && before.pin != nil:
		log.Warn("trust store released: it follows its sources again")
	}
	if changed || before.version != running.version {
		rt.logger.Info("trust store in force", "trust_store", name, "version", running.version, "source_version", planned.version,
			"certificates", len(planned.bundle.Certificates), "revoked", planned.set.Entries())
	}
}

// record describes what is planned, but for its number.
func (s *plannedStore) record(now time.Time) versions.Record {
	r := versions.Record{
		Digest: hex.EncodeToString(s.digest[:]), Loaded: now.UTC().Truncate(time.Second), Source: s.version,
		Certificates: len(s.bundle.Certificates), Revoked: s.set.Entries(),
	}
	for _, c := range s.contents {
		r.Files = append(r.Files, c.File)
	}
	r.Warnings = materialWarnings(s.storeMaterial, r.Files, now)
	return r
}

// versionNumbers returns which version of each trust store is in force.
func (rt *runtime) versionNumbers() map[string]int {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make(map[string]int, len(rt.stores))
	for name, s := range rt.stores {
		out[name] = s.version
	}
	return out
}

// material returns what a trust store has in force if that is version v, else nil.
func (rt *runtime) material(store string, v versions.Record) *storeMaterial {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s := rt.stores[store]
	if s == nil || s.material == nil || hex.EncodeToString(s.digest[:]) != v.Digest {
		return nil
	}
	return s.material
}
