package listener

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/fault"
)

// forwardTo is an action list for rules whose action does not matter.
func forwardTo(group string) []ActionConfig {
	return []ActionConfig{{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{{Name: group}}}}}
}

func hostIs(values ...string) ConditionConfig {
	return ConditionConfig{HostHeader: &PatternConfig{Values: values}}
}

func pathIs(values ...string) ConditionConfig {
	return ConditionConfig{PathPattern: &PatternConfig{Values: values}}
}

func headerIs(name string, values ...string) ConditionConfig {
	return ConditionConfig{HTTPHeader: &HTTPHeaderConfig{Name: name, PatternConfig: PatternConfig{Values: values}}}
}

func methodIs(values ...string) ConditionConfig {
	return ConditionConfig{HTTPRequestMethod: &ValuesConfig{Values: values}}
}

func queryIs(values ...QueryValue) ConditionConfig {
	return ConditionConfig{QueryString: &QueryStringConfig{Values: values}}
}

func sourceIs(values ...string) ConditionConfig {
	return ConditionConfig{SourceIP: &ValuesConfig{Values: values}}
}

func ruleOf(priority int, conditions ...ConditionConfig) RuleConfig {
	return RuleConfig{Priority: priority, Conditions: conditions, Actions: forwardTo("group")}
}

func mustCompileRules(t testing.TB, rules ...RuleConfig) *RuleTable {
	t.Helper()
	table, err := CompileRules(rules, forwardTo("default"), ProtocolHTTPS)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// ruleRequest makes a request as net/http's server would.
func ruleRequest(method, host, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestConditions(t *testing.T) {
	regexHost := ConditionConfig{HostHeader: &PatternConfig{RegexValues: []string{`^(.*)\.example\.com$`}}}
	regexPath := ConditionConfig{PathPattern: &PatternConfig{RegexValues: []string{`^\/api\/(.*)$`, `b.d`}}}
	regexHeader := ConditionConfig{HTTPHeader: &HTTPHeaderConfig{Name: "x-a", PatternConfig: PatternConfig{RegexValues: []string{`^v[0-9]+$`}}}}
	get := func(host, target string, headers ...string) *http.Request {
		return ruleRequest("GET", host, target, headers...)
	}
	client := "192.0.2.7"
	for _, tt := range []struct {
		name      string
		condition ConditionConfig
		request   *http.Request
		client    string
		want      bool
	}{
		{"host exact", hostIs("example.com"), get("example.com", "/"), client, true},
		{"host other", hostIs("example.com"), get("example.org", "/"), client, false},
		{"host case", hostIs("Example.COM"), get("eXample.com", "/"), client, true},
		{"host port", hostIs("example.com"), get("example.com:8443", "/"), client, true},
		{"host trailing dot", hostIs("example.com"), get("example.com.:8443", "/"), client, true},
		{"host wildcard", hostIs("*.example.com"), get("test.example.com", "/"), client, true},
		{"host wildcard spans dots", hostIs("*.example.com"), get("a.b.example.com", "/"), client, true},
		{"host wildcard not the domain", hostIs("*.example.com"), get("example.com", "/"), client, false},
		{"host one character", hostIs("a?.example.com"), get("a1.example.com", "/"), client, true},
		{"host one character missing", hostIs("a?.example.com"), get("a.example.com", "/"), client, false},
		{"host second value", hostIs("a.com", "b.com"), get("b.com", "/"), client, true},
		{"host Kelvin sign", hostIs("k.com"), get("\u212a.com", "/"), client, false},
		{"host regex", regexHost, get("A.EXAMPLE.com", "/"), client, true},
		{"host regex anchored", regexHost, get("a.example.com.evil.org", "/"), client, false},
		{"path exact", pathIs("/ping"), get("a.com", "/ping?x"), client, true},
		{"path case", pathIs("/ping"), get("a.com", "/Ping"), client, false},
		{"path longer", pathIs("/ping"), get("a.com", "/pings"), client, false},
		{"path wildcard needs its slash", pathIs("/img/*"), get("a.com", "/img"), client, false},
		{"path wildcard empty", pathIs("/img/*"), get("a.com", "/img/"), client, true},
		{"path wildcard spans slashes", pathIs("/*.png"), get("a.com", "/a/b.png"), client, true},
		{"path middle", pathIs("/a/*/c/*/e"), get("a.com", "/a/b/c/d/e"), client, true},
		{"path middle overlap", pathIs("/ab*ba"), get("a.com", "/aba"), client, false},
		{"path not the query", pathIs("/*x"), get("a.com", "/a?x"), client, false},
		{"path dot segments", pathIs("/admin*"), get("a.com", "/x/../admin"), client, true},
		{"path encoded dot segments", pathIs("/admin*"), get("a.com", "/x/%2e%2E/admin"), client, true},
		{"path encoded letters", pathIs("/admin*"), get("a.com", "/%61dmin"), client, true},
		{"path stays encoded", pathIs("/a/b"), get("a.com", "/a%2fb"), client, false},
		{"path absolute form", pathIs("/ping"), get("a.com", "http://a.com/ping"), client, true},
		{"path of bare authority", pathIs("/"), get("a.com", "http://a.com?x=/y"), client, true},
		{"path regex", regexPath, get("a.com", "/api/x"), client, true},
		{"path regex not anchored", regexPath, get("a.com", "/a/bxd/"), client, true},
		{"path regex case", regexPath, get("a.com", "/API/x"), client, false},
		{"header", headerIs("User-Agent", "*Chrome*"), get("a.com", "/", "User-Agent", "Mozilla CHROME/1"), client, true},
		{"header any value", headerIs("x-a", "b"), get("a.com", "/", "X-A", "a", "X-A", "B"), client, true},
		{"header absent", headerIs("x-a", "*"), get("a.com", "/"), client, false},
		{"header control character", headerIs("x-a", "*"), get("a.com", "/", "X-A", "a\tb"), client, false},
		{"header backslash is no escape", headerIs("x-a", `\*`), get("a.com", "/", "X-A", `\z`), client, true},
		{"header regex case", regexHeader, get("a.com", "/", "X-A", "V12"), client, true},
		{"method", methodIs("GET", "HEAD"), ruleRequest("HEAD", "a.com", "/"), client, true},
		{"method other", methodIs("GET"), ruleRequest("HEAD", "a.com", "/"), client, false},
		{"method case", methodIs("GET"), ruleRequest("get", "a.com", "/"), client, false},
		{"query pair", queryIs(QueryValue{"version", "v1"}), get("a.com", "/?a=b&VERSION=V1"), client, true},
		{"query key only elsewhere", queryIs(QueryValue{"version", "v1"}), get("a.com", "/?v1=version"), client, false},
		{"query any key", queryIs(QueryValue{"", "*example*"}), get("a.com", "/?q=anexample1"), client, true},
		{"query not decoded", queryIs(QueryValue{"q", "a"}), get("a.com", "/?q=%61"), client, false},
		{"query wildcard key", queryIs(QueryValue{"v?r", "1"}), get("a.com", "/?ver=1"), client, true},
		{"query escaped star", queryIs(QueryValue{"q", `a\*`}), get("a.com", "/?q=a*"), client, true},
		{"query escaped star is literal", queryIs(QueryValue{"q", `a\*`}), get("a.com", "/?q=ab"), client, false},
		{"query escaped question mark", queryIs(QueryValue{"q", `a\?`}), get("a.com", "/?q=a?"), client, true},
		{"query other backslash", queryIs(QueryValue{"q", `a\b`}), get("a.com", `/?q=a\b`), client, true},
		{"query value with equals", queryIs(QueryValue{"q", "a=b"}), get("a.com", "/?q=a=b"), client, true},
		{"query without equals", queryIs(QueryValue{"q", "*"}), get("a.com", "/?q"), client, true},
		{"query absent", queryIs(QueryValue{"", "*"}), get("a.com", "/"), client, false},
		{"source in range", sourceIs("192.0.2.0/24"), get("a.com", "/"), client, true},
		{"source outside", sourceIs("192.0.2.0/29", "10.0.0.0/8"), get("a.com", "/"), "192.0.2.8", false},
		{"source mapped", sourceIs("192.0.2.0/24"), get("a.com", "/"), "::ffff:192.0.2.7", true},
		{"source IPv6 with zone", sourceIs("fe80::/10"), get("a.com", "/"), "fe80::1%eth0", true},
		{"source not forwarded", sourceIs("10.0.0.0/8"), get("a.com", "/", "X-Forwarded-For", "10.0.0.1"), client, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule := mustCompileRules(t, ruleOf(10, tt.condition)).Match(tt.request, netip.MustParseAddr(tt.client))
			if got := rule.Priority == 10; got != tt.want {
				t.Errorf("matched = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMatchOrder(t *testing.T) {
	table := mustCompileRules(t,
		ruleOf(30, pathIs("/a*")),
		ruleOf(10, pathIs("/a/b"), methodIs("GET")),
		ruleOf(20, pathIs("/a/*"), hostIs("x.com")),
	)
	for _, tt := range []struct {
		request *http.Request
		want    int
	}{
		{ruleRequest("GET", "x.com", "/a/b"), 10},
		{ruleRequest("POST", "x.com", "/a/b"), 20},
		{ruleRequest("POST", "y.com", "/a/b"), 30},
		{ruleRequest("POST", "y.com", "/b"), 0},
	} {
		if got := table.Match(tt.request, netip.Addr{}).Priority; got != tt.want {
			t.Errorf("%s %s%s: rule %d, want %d", tt.request.Method, tt.request.Host, tt.request.URL, got, tt.want)
		}
	}
	if got := table.Match(ruleRequest("GET", "y.com", "/b"), netip.Addr{}).Action.Forward.Pick(nil); got != "default" {
		t.Errorf("default rule forwards to %q", got)
	}
	if got := strings.Join(table.TargetGroups(), " "); got != "default group" {
		t.Errorf("TargetGroups = %q", got)
	}
}

// TestMatchBareRequest matches requests that no server makes: nothing panics.
func TestMatchBareRequest(t *testing.T) {
	table := mustCompileRules(t, ruleOf(1, pathIs("/")), ruleOf(2, headerIs("a", "*"), queryIs(QueryValue{"a", "b"})))
	if got := table.Match(&http.Request{}, netip.Addr{}).Priority; got != 1 {
		t.Errorf("rule %d, want 1", got)
	}
	var empty RuleTable
	if got := empty.Match(&http.Request{RequestURI: "%", Host: "["}, netip.Addr{}); got.Priority != 0 {
		t.Errorf("rule %d, want 0", got.Priority)
	}
}

func TestCompileRulesFaults(t *testing.T) {
	long := strings.Repeat("a", MaxConditionLength+1)
	regexes := func(values ...string) ConditionConfig {
		return ConditionConfig{PathPattern: &PatternConfig{RegexValues: values}}
	}
	for _, tt := range []struct {
		name  string
		rules []RuleConfig
		path  string
	}{
		{"priority 0", []RuleConfig{ruleOf(0, pathIs("/"))}, "rules[0].priority"},
		{"priority too high", []RuleConfig{ruleOf(MaxRulePriority+1, pathIs("/"))}, "rules[0].priority"},
		{"priority twice", []RuleConfig{ruleOf(7, pathIs("/")), ruleOf(7, pathIs("/"))}, "rules[1].priority"},
		{"no conditions", []RuleConfig{ruleOf(1)}, "rules[0].conditions"},
		{"no kind", []RuleConfig{ruleOf(1, ConditionConfig{})}, "rules[0].conditions[0]"},
		{"two kinds", []RuleConfig{ruleOf(1, ConditionConfig{HostHeader: &PatternConfig{}, SourceIP: &ValuesConfig{}})}, "rules[0].conditions[0]"},
		{"two hosts", []RuleConfig{ruleOf(1, hostIs("a.b"), hostIs("a.b"))}, "rules[0].conditions[1].host_header"},
		{"two paths", []RuleConfig{ruleOf(1, pathIs("/"), pathIs("/"))}, "rules[0].conditions[1].path_pattern"},
		{"two methods", []RuleConfig{ruleOf(1, methodIs("GET"), methodIs("PUT"))}, "rules[0].conditions[1].http_request_method"},
		{"two sources", []RuleConfig{ruleOf(1, sourceIs("::/0"), sourceIs("::/0"))}, "rules[0].conditions[1].source_ip"},
		{"four values", []RuleConfig{ruleOf(1, pathIs("/a", "/b", "/c", "/d"))}, "rules[0].conditions[0].path_pattern.values"},
		{"no values", []RuleConfig{ruleOf(1, pathIs())}, "rules[0].conditions[0].path_pattern.values"},
		{"six values in all", []RuleConfig{ruleOf(1, pathIs("/a", "/b", "/c"), hostIs("a.b", "b.b", "c.b"))}, "rules[0].conditions"},
		{"six wildcards", []RuleConfig{ruleOf(1, pathIs("/*?*"), queryIs(QueryValue{"*", "*?"}))}, "rules[0].conditions"},
		{"empty value", []RuleConfig{ruleOf(1, pathIs("/a", ""))}, "rules[0].conditions[0].path_pattern.values[1]"},
		{"long value", []RuleConfig{ruleOf(1, pathIs(long))}, "rules[0].conditions[0].path_pattern.values[0]"},
		{"path character", []RuleConfig{ruleOf(1, pathIs("/a b"))}, "rules[0].conditions[0].path_pattern.values[0]"},
		{"values and regexes", []RuleConfig{ruleOf(1, ConditionConfig{PathPattern: &PatternConfig{Values: []string{"/"}, RegexValues: []string{"/"}}})}, "rules[0].conditions[0].path_pattern"},
		{"host without dot", []RuleConfig{ruleOf(1, hostIs("localhost"))}, "rules[0].conditions[0].host_header.values[0]"},
		{"host wildcard at the end", []RuleConfig{ruleOf(1, hostIs("example.*"))}, "rules[0].conditions[0].host_header.values[0]"},
		{"host with dot at the end", []RuleConfig{ruleOf(1, hostIs("example.com."))}, "rules[0].conditions[0].host_header.values[0]"},
		{"host with port", []RuleConfig{ruleOf(1, hostIs("example.com:80"))}, "rules[0].conditions[0].host_header.values[0]"},
		{"header Host", []RuleConfig{ruleOf(1, headerIs("host", "a"))}, "rules[0].conditions[0].http_header.http_header_name"},
		{"header wildcard name", []RuleConfig{ruleOf(1, headerIs("x (a)", "a"))}, "rules[0].conditions[0].http_header.http_header_name"},
		{"header long name", []RuleConfig{ruleOf(1, headerIs(strings.Repeat("a", MaxConditionNameLen+1), "a"))}, "rules[0].conditions[0].http_header.http_header_name"},
		{"header no name", []RuleConfig{ruleOf(1, headerIs("", "a"))}, "rules[0].conditions[0].http_header.http_header_name"},
		{"header value", []RuleConfig{ruleOf(1, headerIs("a", "ü"))}, "rules[0].conditions[0].http_header.values[0]"},
		{"method wildcard", []RuleConfig{ruleOf(1, methodIs("GET", "P*"))}, "rules[0].conditions[0].http_request_method.values[1]"},
		{"method long", []RuleConfig{ruleOf(1, methodIs(strings.Repeat("A", MaxConditionNameLen+1)))}, "rules[0].conditions[0].http_request_method.values[0]"},
		{"query no value", []RuleConfig{ruleOf(1, queryIs(QueryValue{"a", ""}))}, "rules[0].conditions[0].query_string.values[0].value"},
		{"query key character", []RuleConfig{ruleOf(1, queryIs(QueryValue{"a#", "b"}))}, "rules[0].conditions[0].query_string.values[0].key"},
		{"source no range", []RuleConfig{ruleOf(1, sourceIs("10.0.0.1"))}, "rules[0].conditions[0].source_ip.values[0]"},
		{"source host bits", []RuleConfig{ruleOf(1, sourceIs("10.0.0.1/8"))}, "rules[0].conditions[0].source_ip.values[0]"},
		{"source broadcast", []RuleConfig{ruleOf(1, sourceIs("255.255.255.255/32"))}, "rules[0].conditions[0].source_ip.values[0]"},
		{"source mapped", []RuleConfig{ruleOf(1, sourceIs("::ffff:10.0.0.0/104"))}, "rules[0].conditions[0].source_ip.values[0]"},
		{"regex look-ahead", []RuleConfig{ruleOf(1, regexes("a(?=b)"))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex look-behind", []RuleConfig{ruleOf(1, regexes("(?<!a)b"))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex back-reference", []RuleConfig{ruleOf(1, regexes(`(a)\1`))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex atomic group", []RuleConfig{ruleOf(1, regexes(`(?>a)`))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex possessive", []RuleConfig{ruleOf(1, regexes(`a++`))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex Unicode class", []RuleConfig{ruleOf(1, regexes("a", `[\p{L}]`))}, "rules[0].conditions[0].path_pattern.regex_values[1]"},
		{"regex Unicode class after quote", []RuleConfig{ruleOf(1, regexes(`\Qa\E\PL`))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex too big", []RuleConfig{ruleOf(1, regexes(`(a{1,99}b{1,99}){20}`))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex long", []RuleConfig{ruleOf(1, regexes(long))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
		{"regex empty", []RuleConfig{ruleOf(1, regexes(""))}, "rules[0].conditions[0].path_pattern.regex_values[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, err := CompileRules(tt.rules, forwardTo("default"), ProtocolHTTP)
			if table != nil {
				t.Error("a table came with the error")
			}
			checkFaults(t, err, tt.path)
		})
	}
}

// checkFaults fails unless err holds exactly one fault at each path.
func checkFaults(t *testing.T, err error, paths ...string) {
	t.Helper()
	var got []string
	for _, f := range fault.All(err) {
		got = append(got, f.Path)
	}
	if !slices.Equal(got, paths) {
		t.Errorf("faults:\n%v\nwant them at %q", err, paths)
	}
}

// TestCompileRulesReportsAll checks that one pass finds every fault.
func TestCompileRulesReportsAll(t *testing.T) {
	_, err := CompileRules([]RuleConfig{
		ruleOf(1, sourceIs("1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8", "4.0.0.0/8", "5.0.0.0/8", "x")),
		{Priority: 1, Conditions: []ConditionConfig{pathIs("/")}},
	}, nil, ProtocolHTTP)
	checkFaults(t, err,
		"rules[0].conditions[0].source_ip.values", "rules[0].conditions[0].source_ip.values[5]", "rules[0].conditions",
		"rules[1].priority", "rules[1].actions", "default_actions")
}

func TestRegexesAccepted(t *testing.T) {
	for _, value := range []string{`\\p`, `\Q\p{L}\E`, `[[:alpha:]]+`, `^(?:a|b){1,20}$`, `\Qa`, `(?P<name>x)`} {
		if _, problem := compileRegex(value, true); problem != "" {
			t.Errorf("%s: %s", value, problem)
		}
	}
}

func TestLimitsReached(t *testing.T) {
	full := strings.Repeat("a", MaxConditionLength)
	_, err := CompileRules([]RuleConfig{
		ruleOf(MaxRulePriority, pathIs(full, "/**", "/???"), methodIs(strings.Repeat("A", MaxConditionNameLen)), sourceIs("::/0")),
		ruleOf(1, sourceIs("1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8", "4.0.0.0/8", "5.0.0.0/8")),
	}, forwardTo("default"), ProtocolHTTP)
	if err != nil {
		t.Error(err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := mustCompileRules(t, benchRules(100)...)
	r := ruleRequest("GET", "tenant7.example.com", "/api/v57/items/3?a=b&c=d")
	if n := testing.AllocsPerRun(100, func() { table.Match(r, netip.Addr{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// benchRules makes rules of the kinds that tables mostly hold: a path prefix, a
// host with a path, a host with a wildcard, and a header.
func benchRules(n int) []RuleConfig {
	rules := make([]RuleConfig, n)
	for i := range rules {
		switch i % 4 {
		case 0:
			rules[i] = ruleOf(i+1, pathIs(fmt.Sprintf("/api/v%d/*", i)))
		case 1:
			rules[i] = ruleOf(i+1, hostIs(fmt.Sprintf("tenant%d.example.com", i)), pathIs("/static/*", "/img/*"))
		case 2:
			rules[i] = ruleOf(i+1, hostIs(fmt.Sprintf("*.t%d.example.com", i)))
		case 3:
			rules[i] = ruleOf(i+1, pathIs(fmt.Sprintf("/exact/%d", i)), headerIs("X-Tenant", "a*", "b*"), methodIs("GET"))
		}
	}
	return rules
}

// BenchmarkMatch measures one look-up in a table of mixed rules. Request "last"
// meets the last path rule, "none" the default rule. Linear tries every rule in
// turn, without the index. It shows nothing of regexes.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 4, 10, 100, 1000} {
		configs := benchRules(n)
		last := (n - 1) / 4 * 4
		requests := map[string]*http.Request{
			"last": ruleRequest("GET", "www.example.com", fmt.Sprintf("/api/v%d/items?page=2", last)),
			"none": ruleRequest("GET", "www.example.org", "/some/other/path?page=2"),
		}
		client := netip.MustParseAddr("192.0.2.1")
		for name, r := range requests {
			for _, linear := range []bool{false, true} {
				table := mustCompileRules(b, configs...)
				if linear {
					table.index = ruleIndex{rest: make([]int, n)}
					for i := range n {
						table.index.rest[i] = i
					}
				}
				b.Run(fmt.Sprintf("rules=%d/request=%s/linear=%v", n, name, linear), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						table.Match(r, client)
					}
				})
			}
		}
	}
}
