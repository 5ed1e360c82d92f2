package config

import (
	"reflect"
	"strings"

	"github.com/postern-lb/postern/internal/fault"
)

// listeners checks every listener, and their addresses against each other.
func (v *validator) listeners() {
	listeners := v.file.Listeners
	v.atMost("listeners", len(listeners), MaxListeners)
	check := listenerCheck{validator: v}
	check.groups, check.allGroups = v.index("target_groups", len(v.file.TargetGroups), func(i int) string { return v.file.TargetGroups[i].Name })
	check.stores, check.allStores = v.index("trust_stores", len(v.file.TrustStores), func(i int) string { return v.file.TrustStores[i].Name })
	names := make([]string, len(listeners))
	for i := range listeners {
		names[i] = listeners[i].Name
		check.path, check.l = fault.Index("listeners", i), &listeners[i]
		check.listener()
	}
	v.names("listeners", names)
	v.addresses()
}

// addresses refuses listeners that cannot listen beside each other, or beside
// the admin side: that must not be reachable through a listener's address.
func (v *validator) addresses() {
	type taken struct {
		address
		by string
	}
	byPort := make(map[int][]taken)
	if a, err := parseAddress(v.file.Admin.Address); err == nil && !v.unread("admin.address") {
		byPort[a.port] = append(byPort[a.port], taken{a, "admin.address"})
	}
	for i, l := range v.file.Listeners {
		path := fault.Index("listeners", i) + ".address"
		a, ok := v.address(path, l.Address)
		if !ok {
			continue
		}
		for _, t := range byPort[a.port] {
			if t.overlaps(a) {
				v.refuse(path, "%s overlaps with %s: each needs its own address or port", quoteText(l.Address), t.by)
				break
			}
		}
		byPort[a.port] = append(byPort[a.port], taken{a, path})
	}
}

// A listenerCheck checks one listener at a time.
type listenerCheck struct {
	*validator
	groups, stores       map[string]int
	allGroups, allStores bool // every name is in the map

	path string
	l    *Listener
}

func (c *listenerCheck) listener() {
	switch c.l.Protocol {
	case ListenerHTTPS:
		if len(c.l.Certificates) == 0 {
			c.refuse(c.path+".certificates", "an HTTPS listener needs at least one certificate")
		}
	case ListenerHTTP:
		c.plain()
	}
	c.mutual()
	if p := c.l.ProxyProtocol; p.Mode == ProxyRequire && len(p.TrustedSources) == 0 {
		c.refuse(c.path+".proxy_protocol.trusted_sources", "mode require needs the addresses of the proxies in front: anyone else could forge a client's address")
	}
	c.rules()
	c.actions(c.path+".default_actions", c.l.DefaultActions)
}

// plain refuses what only HTTPS can honour. Left silent, such a key would look
// like protection that is not there.
func (c *listenerCheck) plain() {
	const remedy = "set protocol to HTTPS, or leave it out"
	if len(c.l.Certificates) > 0 {
		c.refuse(c.path+".certificates", "an HTTP listener has no certificates: "+remedy)
	}
	if c.l.SSLPolicy != "" {
		c.refuse(c.path+".ssl_policy", "an HTTP listener has no security policy: "+remedy)
	}
	if c.l.MutualAuthentication.Mode != MutualOff {
		c.refuse(c.path+".mutual_authentication", "an HTTP listener cannot ask for client certificates: "+remedy)
	}
	attributes := reflect.ValueOf(c.l.Attributes)
	for _, f := range c.schema(attributes.Type()).fields {
		if strings.HasPrefix(f.key, "routing_http_request_") && !attributes.FieldByIndex(f.index).IsZero() {
			c.refuse(c.path+"."+f.key, "an HTTP listener sets no such header: "+remedy)
		}
	}
}

func (c *listenerCheck) mutual() {
	m, path := c.l.MutualAuthentication, c.path+".mutual_authentication"
	if c.unread(path + ".mode") {
		return
	}
	if m.Mode == MutualVerify {
		c.trustStore(path, m.TrustStore)
		return
	}
	for _, only := range []struct {
		key string
		set bool
	}{
		{"trust_store", m.TrustStore != ""},
		{"ignore_client_certificate_expiry", m.IgnoreClientCertificateExpiry},
		{"advertise_trust_store_ca_names", m.AdvertiseTrustStoreCANames},
		{"identity_filters", len(m.IdentityFilters) > 0},
		{"optional", m.Optional},
		{"allow_invalid", m.AllowInvalid},
	} {
		if only.set {
			c.refuse(path+"."+only.key, "has no effect in mode %s: set mode to verify, or leave it out", m.Mode)
		}
	}
}

func (c *listenerCheck) trustStore(path, name string) {
	if name == "" {
		c.refuse(path+".trust_store", "mode verify needs a trust store")
		return
	}
	if _, ok := c.stores[name]; !ok && c.allStores {
		c.reference(path+".trust_store", "trust store", name, c.stores)
	}
}

func (c *listenerCheck) rules() {
	c.atMost(c.path+".rules", len(c.l.Rules), MaxRules)
	first := make(map[int]int, len(c.l.Rules))
	for i, r := range c.l.Rules {
		path := fault.Index(c.path+".rules", i)
		if j, taken := first[r.Priority]; taken && r.Priority != 0 {
			c.refuse(path+".priority", "the priority %d is already that of %s", r.Priority, fault.Index(c.path+".rules", j))
		} else {
			first[r.Priority] = i
		}
		c.actions(path+".actions", r.Actions)
	}
}

// actions checks the actions of a rule: exactly one, since each kind there is
// ends the request (ALB, "Action types").
func (c *listenerCheck) actions(path string, actions []Action) {
	if len(actions) > 1 {
		c.refuse(path, "must have exactly one element; found %d", len(actions))
	}
	for i, a := range actions {
		if a.Forward != nil {
			c.forward(fault.Index(path, i)+".forward.target_groups", a.Forward.TargetGroups)
		}
	}
}

func (c *listenerCheck) forward(path string, groups []WeightedTargetGroup) {
	c.atMost(path, len(groups), MaxForwardGroups)
	first := make(map[string]int, len(groups))
	for i, g := range groups {
		at := fault.Index(path, i) + ".name"
		if j, taken := first[g.Name]; taken && g.Name != "" {
			c.refuse(at, "the target group %s is already %s", quoteText(g.Name), fault.Index(path, j))
			continue
		}
		first[g.Name] = i
		c.targetGroup(at, g.Name)
	}
}

// targetGroup checks one reference to a target group. Only HTTPS listeners
// speak HTTP/2 with clients (ALB, "Target groups", protocol version).
func (c *listenerCheck) targetGroup(path, name string) {
	i, ok := c.groups[name]
	if !ok {
		if c.allGroups {
			c.reference(path, "target group", name, c.groups)
		}
		return
	}
	version := c.file.TargetGroups[i].ProtocolVersion
	if version != HTTP1 && c.l.Protocol == ListenerHTTP {
		c.refuse(path, "the target group %s has protocol version %s, which only an HTTPS listener can forward to", quoteText(name), version)
	}
}
