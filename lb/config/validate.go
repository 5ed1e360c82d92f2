package config

import (
	"fmt"
	"regexp"

	"github.com/postern-lb/postern/internal/fault"
)

// Limits of one file. Where ALB has an adjustable quota (ALB, "Quotas for your
// Application Load Balancers"), ours is well above it. What one listener rule or
// one target group may hold is limited by the packages that these belong to.
const (
	// MaxListeners bounds listeners; ALB's quota is 50.
	MaxListeners = 1_000
	// MaxRules bounds the rules of one listener; ALB's quota is 100.
	MaxRules = 10_000
	// MaxTargetGroups bounds target groups; ALB's quota is 100 a load balancer.
	MaxTargetGroups = 3_000
	// MaxTrustStores bounds trust stores; ALB's quota is 20.
	MaxTrustStores = 1_000
	// MaxRevocations bounds the revocation sources of one trust store; ALB's quota is 30.
	MaxRevocations = 1_000
	// MaxForwardGroups bounds the target groups of one forward action, as ALB
	// does (ALB, "Action types").
	MaxForwardGroups = 5
	// MaxNameLength bounds names, in characters; ALB's are up to 32.
	MaxNameLength = 64
)

// name is what a listener, a target group, a trust store or the load balancer
// may be called. Names stand in logs, metrics and URLs.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// A validator checks what the keys of a file say about each other. It goes
// over values that the decoder could not read, too, and keeps silent about
// those.
type validator struct {
	file *File
	*decoder
}

func validate(file *File, d *decoder) {
	v := &validator{file: file, decoder: d}
	v.admin()
	v.name("load_balancer.name", file.LoadBalancer.Name)
	v.listeners()
	v.targetGroups()
	v.trustStores()
	v.logs()
}

// refuse notes a fault of the value at path, unless the decoder has noted one
// for it already.
func (v *validator) refuse(path, format string, args ...any) {
	if v.unread(path) {
		return
	}
	at := v.places[""]
	for p := path; p != ""; p = parent(p) {
		if found, ok := v.places[p]; ok {
			at = found
			break
		}
	}
	v.note(at, path, format, args...)
}

// unread reports whether the value at path, or one that holds it, could not be
// decoded.
func (v *validator) unread(path string) bool {
	for ; path != ""; path = parent(path) {
		if v.faulty[path] {
			return true
		}
	}
	return v.faulty[""]
}

func (v *validator) name(path, s string) {
	if s == "" {
		v.refuse(path, "must not be empty")
		return
	}
	if len(s) > MaxNameLength || !name.MatchString(s) {
		v.refuse(path, "must be 1 to %d letters, digits, hyphens, underscores and dots, the first a letter or a digit; found %s", MaxNameLength, quoteText(s))
	}
}

// names checks the names of the list at path.
func (v *validator) names(path string, names []string) {
	first := make(map[string]int, len(names))
	for i, s := range names {
		at := fault.Index(path, i) + ".name"
		v.name(at, s)
		if j, taken := first[s]; taken && s != "" {
			v.refuse(at, "the name %s is already that of %s", quoteText(s), fault.Index(path, j))
			continue
		}
		first[s] = i
	}
}

func (v *validator) atMost(path string, n, limit int) {
	if n > limit {
		v.refuse(path, "must have at most %d elements; found %d", limit, n)
	}
}

// address checks the address at path; ok is false if it is not to be compared.
func (v *validator) address(path, s string) (a address, ok bool) {
	if v.unread(path) {
		return address{}, false
	}
	a, err := parseAddress(s)
	if err != nil {
		v.refuse(path, "%v", err)
	}
	return a, err == nil
}

func (v *validator) admin() {
	admin := v.file.Admin
	a, ok := v.address("admin.address", admin.Address)
	if ok && !a.isLoopback() && !admin.AllowRemote && !v.unread("admin.allow_remote") {
		v.refuse("admin.address", "%s is not a loopback address, and the admin side has no log-in: use 127.0.0.1, or set admin.allow_remote to true", quoteText(admin.Address))
	}
	if ok && !a.isLoopback() && admin.Profiling && !v.unread("admin.profiling") {
		v.refuse("admin.profiling", "a profile costs CPU and tells of the process, so it is for loopback only: leave it out, or set admin.address to 127.0.0.1")
	}
}

func (v *validator) targetGroups() {
	groups := v.file.TargetGroups
	v.atMost("target_groups", len(groups), MaxTargetGroups)
	names := make([]string, len(groups))
	for i := range groups {
		names[i] = groups[i].Name
		v.targets(fault.Index("target_groups", i)+".targets", groups[i].Targets)
	}
	v.names("target_groups", names)
}

// targets checks the addresses of one group; package targetgroup counts them.
func (v *validator) targets(path string, targets []Target) {
	first := make(map[address]int, len(targets))
	admin, adminErr := parseAddress(v.file.Admin.Address)
	for i, t := range targets {
		at := fault.Index(path, i) + ".address"
		a, ok := v.address(at, t.Address)
		if !ok {
			continue
		}
		if a.host == "" || a.port == 0 {
			v.refuse(at, "a target needs a host and a port from 1 to 65535; found %s", quoteText(t.Address))
			continue
		}
		if adminErr == nil && admin.reachedAs(a) && !v.unread("admin.address") {
			v.refuse(at, "%s is the admin side, which has no log-in and must not be reachable through a listener", quoteText(t.Address))
			continue
		}
		if j, taken := first[a]; taken {
			v.refuse(at, "the target %s is already %s", quoteText(t.Address), fault.Index(path, j))
			continue
		}
		first[a] = i
	}
}

func (v *validator) trustStores() {
	stores := v.file.TrustStores
	v.atMost("trust_stores", len(stores), MaxTrustStores)
	names := make([]string, len(stores))
	for i, s := range stores {
		names[i] = s.Name
		v.source(fault.Index("trust_stores", i)+".ca_certificates_bundle", s.CACertificatesBundle)
		v.revocations(fault.Index("trust_stores", i)+".revocations", s.Revocations)
	}
	v.names("trust_stores", names)
}

func (v *validator) revocations(path string, sources []Source) {
	v.atMost(path, len(sources), MaxRevocations)
	first := make(map[string]int, len(sources))
	for i, s := range sources {
		at := fault.Index(path, i)
		v.source(at, s)
		id := s.identity()
		if j, taken := first[id]; taken && id != "" {
			v.refuse(at, "%s is already %s", quoteText(s.String()), fault.Index(path, j))
			continue
		}
		first[id] = i
	}
}

func (v *validator) logs() {
	c, a := v.file.Logs.Connection, v.file.Logs.Access
	if c != nil && a != nil && c.Path == a.Path && c.Path != "-" {
		v.refuse("logs.access.path", "the connection log is written to %s already: each log needs a file of its own", quoteText(a.Path))
	}
}

// reference notes that nothing in a list has the name that stands at path.
func (v *validator) reference(path, kind, s string, known map[string]int) {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	v.refuse(path, "no %s has the name %s%s", kind, quoteText(s), nearest(s, names))
}

// index maps names to their places in a list. complete is false if a name of
// the list could not be read, so that a reference may be to that.
func (v *validator) index(path string, n int, nameOf func(int) string) (known map[string]int, complete bool) {
	known = make(map[string]int, n)
	complete = !v.unread(path)
	for i := range n {
		if v.unread(fmt.Sprintf("%s[%d].name", path, i)) {
			complete = false
			continue
		}
		known[nameOf(i)] = i
	}
	return known, complete
}
