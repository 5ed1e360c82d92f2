package listener

import (
	"net/http"
	"net/netip"
	"net/textproto"

	"github.com/postern-lb/postern/internal/fault"
)

// A ConditionConfig is one condition of a rule: exactly one of the fields is
// set (ALB, "Condition types for listener rules").
type ConditionConfig struct {
	// HostHeader looks at the host name of the request, without port and
	// trailing dot. Case does not matter, neither in values nor in regexes.
	HostHeader *PatternConfig
	// PathPattern looks at the path of the request, never at the query, after
	// [NormalizePath]. Case matters.
	PathPattern *PatternConfig
	// HTTPHeader looks at the values of one header. Case does not matter.
	HTTPHeader *HTTPHeaderConfig
	// HTTPRequestMethod holds if the method is one of the values exactly.
	HTTPRequestMethod *ValuesConfig
	// QueryString looks at the key=value pairs of the query as they were sent,
	// not percent-decoded. Case does not matter.
	QueryString *QueryStringConfig
	// SourceIP holds if the TCP peer is in one of the ranges, in CIDR notation.
	SourceIP *ValuesConfig
	// ClientCertificate looks at the certificate of the client.
	ClientCertificate *ClientCertificateConfig
}

// A PatternConfig holds either Values, in which '*' stands for any number of
// characters and '?' for exactly one, or RegexValues. The condition holds if one
// of them matches.
type PatternConfig struct {
	Values []string
	// RegexValues are regular expressions in RE2 syntax without Unicode
	// classes, searched for anywhere: anchor them with ^ and $ as needed.
	RegexValues []string
}

// An HTTPHeaderConfig names the header whose values a condition looks at.
type HTTPHeaderConfig struct {
	// Name is the header's name, in any case and without wildcards.
	Name string
	PatternConfig
}

// A ValuesConfig lists values of which one must be met.
type ValuesConfig struct {
	Values []string
}

// A QueryStringConfig lists pairs of which one must be in the query.
type QueryStringConfig struct {
	Values []QueryValue
}

// A QueryValue is a pair to be found in the query. '*' and '?' are wildcards in
// both halves, a backslash before one of them takes that meaning away.
type QueryValue struct {
	Key   string // empty: the value of any key will do
	Value string // required
}

// conditionSet is the conditions of one rule, compiled. An absent condition is
// empty and holds.
type conditionSet struct {
	methods []string
	sources []netip.Prefix
	host    *matcher
	path    *matcher
	headers []headerCondition
	queries []queryCondition

	certificate *certificateCondition
}

type headerCondition struct {
	name string // canonical
	matcher
}

// matches reports whether every condition holds. The cheap ones go first.
func (c *conditionSet) matches(s *subject) bool {
	return (c.certificate == nil || s.meets(c.certificate)) && c.matchMethod(s) && c.matchSource(s) &&
		(c.host == nil || s.hostVisible && c.host.match(s.host)) &&
		(c.path == nil || s.pathVisible && c.path.match(s.path)) &&
		c.matchHeaders(s) && c.matchQueries(s)
}

func (c *conditionSet) matchMethod(s *subject) bool {
	for _, m := range c.methods {
		if m == s.method {
			return true
		}
	}
	return len(c.methods) == 0
}

func (c *conditionSet) matchSource(s *subject) bool {
	for _, p := range c.sources {
		if p.Contains(s.client) {
			return true
		}
	}
	return len(c.sources) == 0
}

func (c *conditionSet) matchHeaders(s *subject) bool {
	for i := range c.headers {
		if !c.headers[i].matchAny(s.header) {
			return false
		}
	}
	return true
}

func (c *headerCondition) matchAny(h http.Header) bool {
	for _, value := range h[c.name] {
		if visible(value) && c.match(value) {
			return true
		}
	}
	return false
}

func (c *conditionSet) matchQueries(s *subject) bool {
	for i := range c.queries {
		if !s.queryVisible || !c.queries[i].matchAny(s.query) {
			return false
		}
	}
	return true
}

// conditionCompiler gathers the conditions of one rule and counts what the
// rule as a whole may have only so many of.
type conditionCompiler struct {
	faults    *fault.List
	set       conditionSet
	values    int
	wildcards int
}

func compileConditions(faults *fault.List, path string, cfgs []ConditionConfig) conditionSet {
	c := conditionCompiler{faults: faults}
	if len(cfgs) == 0 {
		faults.Add(path, "is empty: what should hold for every request belongs in default_actions")
	}
	for i := range cfgs {
		c.add(fault.Index(path, i), &cfgs[i])
	}
	if c.values > MaxRuleValues {
		faults.Add(path, "hold %d values, more than the %d that a rule may have: split the rule", c.values, MaxRuleValues)
	}
	if c.wildcards > MaxRuleWildcards {
		faults.Add(path, "hold %d wildcards, more than the %d that a rule may have: split the rule", c.wildcards, MaxRuleWildcards)
	}
	return c.set
}

func (c *conditionCompiler) add(path string, cfg *ConditionConfig) {
	kinds := 0
	for _, set := range []bool{cfg.HostHeader != nil, cfg.PathPattern != nil, cfg.HTTPHeader != nil,
		cfg.HTTPRequestMethod != nil, cfg.QueryString != nil, cfg.SourceIP != nil, cfg.ClientCertificate != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		c.faults.Add(path, "names %d kinds of condition: give exactly one of host_header, path_pattern, "+
			"http_header, http_request_method, query_string, source_ip, client_certificate", kinds)
		return
	}
	switch {
	case cfg.HostHeader != nil:
		path = fault.Join(path, "host_header")
		c.once(path, c.set.host != nil)
		c.set.host = c.patterns(path, cfg.HostHeader, patternRules{fold: true, lower: true, check: checkHostPattern})
	case cfg.PathPattern != nil:
		path = fault.Join(path, "path_pattern")
		c.once(path, c.set.path != nil)
		c.set.path = c.patterns(path, cfg.PathPattern, patternRules{check: checkPathPattern})
	case cfg.HTTPHeader != nil:
		c.addHeader(fault.Join(path, "http_header"), cfg.HTTPHeader)
	case cfg.HTTPRequestMethod != nil:
		c.addMethods(fault.Join(path, "http_request_method"), cfg.HTTPRequestMethod)
	case cfg.QueryString != nil:
		c.addQuery(fault.Join(path, "query_string"), cfg.QueryString)
	case cfg.SourceIP != nil:
		c.addSources(fault.Join(path, "source_ip"), cfg.SourceIP)
	case cfg.ClientCertificate != nil:
		c.addCertificate(fault.Join(path, "client_certificate"), cfg.ClientCertificate)
	}
}

func (c *conditionCompiler) once(path string, again bool) {
	if again {
		c.faults.Add(path, "is the second of its kind in the rule: add its values to the first")
	}
}

// count notes the values of one condition and complains if there are none or
// more than limit.
func (c *conditionCompiler) count(path string, n, limit int) {
	c.values += n
	switch {
	case n == 0:
		c.faults.Add(path, "is empty: give from 1 to %d values", limit)
	case n > limit:
		c.faults.Add(path, "has %d values, more than the %d that a condition may have: split the rule", n, limit)
	}
}

func (c *conditionCompiler) addHeader(path string, cfg *HTTPHeaderConfig) {
	checkConditionHeaderName(c.faults, fault.Join(path, "http_header_name"), cfg.Name)
	m := c.patterns(path, &cfg.PatternConfig, patternRules{fold: true, check: checkHeaderPattern})
	c.set.headers = append(c.set.headers, headerCondition{
		name:    textproto.CanonicalMIMEHeaderKey(cfg.Name),
		matcher: *m,
	})
}

func (c *conditionCompiler) addMethods(path string, cfg *ValuesConfig) {
	c.once(path, c.set.methods != nil)
	path = fault.Join(path, "values")
	c.count(path, len(cfg.Values), MaxConditionValues)
	for i, value := range cfg.Values {
		if problem := checkMethod(value); problem != "" {
			c.faults.Add(fault.Index(path, i), "%q %s", value, problem)
		}
		c.set.methods = append(c.set.methods, value)
	}
}

func (c *conditionCompiler) addSources(path string, cfg *ValuesConfig) {
	c.once(path, c.set.sources != nil)
	path = fault.Join(path, "values")
	c.count(path, len(cfg.Values), MaxSourceIPValues)
	for i, value := range cfg.Values {
		prefix, problem := parseSource(value)
		if problem != "" {
			c.faults.Add(fault.Index(path, i), "%q %s", value, problem)
		}
		c.set.sources = append(c.set.sources, prefix)
	}
}
