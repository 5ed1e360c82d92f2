package config

import "github.com/postern-lb/postern/internal/fault"

// Warnings returns what is allowed but seldom meant: target groups and trust
// stores that no listener uses, an admin side that other machines reach, and
// settings of mutual authentication that its mode does not look at. They have positions as faults do and are sorted by them.
func (f *File) Warnings() Errors {
	var warnings fault.List
	stores, groups := make(map[string]bool), make(map[string]bool)
	for i := range f.Listeners {
		l := &f.Listeners[i]
		stores[l.MutualAuthentication.TrustStore] = true
		for _, name := range l.TargetGroups() {
			groups[name] = true
		}
		warnUnused(&warnings, fault.Index("listeners", i)+".mutual_authentication", &l.MutualAuthentication)
	}
	if a, err := parseAddress(f.Admin.Address); err == nil && !a.isLoopback() {
		warnings.Add("admin.address", "the admin side has no log-in and is reachable from other machines at %s", quoteText(f.Admin.Address))
	}
	for i, g := range f.TargetGroups {
		if !groups[g.Name] {
			warnings.Add(fault.Index("target_groups", i), "no listener forwards to the target group %s; its targets are not checked", quoteText(g.Name))
		}
	}
	for i, s := range f.TrustStores {
		if !stores[s.Name] {
			warnings.Add(fault.Index("trust_stores", i), "no listener uses the trust store %s", quoteText(s.Name))
		}
	}
	return f.Place("", warnings.Err())
}

// warnUnused notes settings that only another mode has a use for. What would look
// like protection is refused (see listenerCheck.mutual); these may wait for the mode
// to be switched on again.
func warnUnused(warnings *fault.List, path string, m *MutualAuthentication) {
	for _, only := range []struct {
		key    string
		unused bool
	}{
		{"on_refusal", m.Mode != MutualVerify && m.OnRefusal != RefusalReset},
		{"max_chain_depth", m.Mode != MutualVerify && m.MaxChainDepth != DefaultMaxChainDepth},
		{"session_resumption", m.Mode == MutualOff && m.SessionResumption == Off},
	} {
		if only.unused {
			warnings.Add(path+"."+only.key, "has no effect in mode %s", m.Mode)
		}
	}
}
