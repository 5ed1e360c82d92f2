package config

import "github.com/postern-lb/postern/internal/fault"

// Warnings returns what is allowed but seldom meant: target groups and trust
// stores that no listener uses, and an admin side that other machines reach.
// They have positions as faults do and are sorted by them.
func (f *File) Warnings() Errors {
	stores, groups := make(map[string]bool), make(map[string]bool)
	for i := range f.Listeners {
		l := &f.Listeners[i]
		stores[l.MutualAuthentication.TrustStore] = true
		for _, name := range l.TargetGroups() {
			groups[name] = true
		}
	}
	var warnings fault.List
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
