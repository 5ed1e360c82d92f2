package listener

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestNormalizePath(t *testing.T) {
	for _, tt := range []struct {
		path, want string
		climbs     bool
	}{
		{"/", "/", false},
		{"/a/b", "/a/b", false},
		{"/a/./b", "/a/b", false},
		{"/a/../b", "/b", false},
		{"/a/b/..", "/a/", false},
		{"/a/.", "/a/", false},
		{"/..", "/", true},
		{"/a/../../b", "/b", true},
		{"/a/%2e%2E/b", "/b", false},
		{"/%2e%2e/b", "/b", true},
		{"/a//../b", "/a/b", false},
		{"/.a/..b/...", "/.a/..b/...", false},
		{"//", "//", false},
		{"/%61%7E", "/a~", false},
		{"/caf%c3%A9", "/caf%C3%A9", false},
		{"/%2f..%2f", "/%2F..%2F", false},
		{"/%2561", "/%2561", false},
		{"/%zz%4", "/%zz%4", false},
		{"", "", false},
		{"*", "*", false},
		{"a/..", "/", false},
	} {
		if got := NormalizePath(tt.path); got != tt.want {
			t.Errorf("NormalizePath(%q) = %q, want %q", tt.path, got, tt.want)
		}
		if got := PathClimbs(tt.path); got != tt.climbs {
			t.Errorf("PathClimbs(%q) = %v", tt.path, got)
		}
	}
}

// naiveGlob is the reference: the definition of a glob, tried in every way.
func naiveGlob(pattern []globToken, text string) bool {
	if len(pattern) == 0 {
		return text == ""
	}
	if pattern[0].star {
		for i := 0; i <= len(text); i++ {
			if naiveGlob(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	}
	return text != "" && (pattern[0].any || pattern[0].b == text[0]) && naiveGlob(pattern[1:], text[1:])
}

type globToken struct {
	star, any bool
	b         byte
}

// naiveTokens reads a pattern.
func naiveTokens(pattern string, escapes bool) []globToken {
	var tokens []globToken
	for i := 0; i < len(pattern); i++ {
		switch next := pattern[min(i+1, len(pattern)-1)]; {
		case escapes && pattern[i] == '\\' && i+1 < len(pattern) && (next == '*' || next == '?'):
			i++
			tokens = append(tokens, globToken{b: next})
		case pattern[i] == '*':
			tokens = append(tokens, globToken{star: true})
		default:
			tokens = append(tokens, globToken{any: pattern[i] == '?', b: pattern[i]})
		}
	}
	return tokens
}

func naiveValue(pattern, text string, fold, escapes bool) bool {
	if fold {
		pattern, text = asciiLower(pattern), asciiLower(text)
	}
	return naiveGlob(naiveTokens(pattern, escapes), text)
}

func asciiLower(s string) string {
	return string(regexp.MustCompile("[A-Z]").ReplaceAllFunc([]byte(s), func(b []byte) []byte {
		return []byte{b[0] + 32}
	}))
}

// naivePath is the reference of NormalizePath: decode, then resolve segments.
func naivePath(target string) string {
	path := regexp.MustCompile(`^[^?#]*`).FindString(target)
	if m := regexp.MustCompile(`^[^/]*?://[^/]*`).FindString(path); m != "" && path[0] != '/' {
		path = path[len(m):]
	}
	if path == "" {
		return "/"
	}
	path = regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(path, func(escape string) string {
		b := unhex(escape[1])<<4 | unhex(escape[2])
		if regexp.MustCompile(`^[A-Za-z0-9._~-]$`).Match([]byte{b}) {
			return string(rune(b))
		}
		return strings.ToUpper(escape)
	})
	var kept []string
	segments := strings.Split(path, "/")
	for i, segment := range segments[1:] {
		last := i == len(segments)-2
		if segment == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if segment == ".." || segment == "." {
			segment = ""
			if !last {
				continue
			}
		}
		kept = append(kept, segment)
	}
	if len(segments) == 1 {
		return path
	}
	return segments[0] + "/" + strings.Join(kept, "/")
}

// naiveMatch is the reference of RuleTable.Match: it reads the configs, rule by
// rule, in order of priority, and shares no code with what is tested.
func naiveMatch(rules []RuleConfig, r *http.Request, client netip.Addr) int {
	best := 0
	for i := range rules {
		holds := true
		for j := range rules[i].Conditions {
			holds = holds && naiveCondition(&rules[i].Conditions[j], r, client)
		}
		if holds && (best == 0 || rules[i].Priority < best) {
			best = rules[i].Priority
		}
	}
	return best
}

func naiveCondition(c *ConditionConfig, r *http.Request, client netip.Addr) bool {
	switch {
	case c.HostHeader != nil:
		host, err := NormalizeHost(r.Host) // has tests of its own
		return err == nil && isASCII(r.Host) && naivePattern(c.HostHeader, host, true)
	case c.PathPattern != nil:
		return naivePattern(c.PathPattern, naivePath(r.RequestURI), false)
	case c.HTTPHeader != nil:
		for name, values := range r.Header {
			for _, value := range values {
				if strings.EqualFold(name, c.HTTPHeader.Name) && naivePattern(&c.HTTPHeader.PatternConfig, value, true) {
					return true
				}
			}
		}
		return false
	case c.HTTPRequestMethod != nil:
		return strings.Contains(" "+strings.Join(c.HTTPRequestMethod.Values, " ")+" ", " "+r.Method+" ")
	case c.QueryString != nil:
		return naiveQuery(c.QueryString, r.RequestURI)
	}
	for _, value := range c.SourceIP.Values {
		if netip.MustParsePrefix(value).Contains(client) {
			return true
		}
	}
	return false
}

func naivePattern(c *PatternConfig, text string, fold bool) bool {
	if regexp.MustCompile(`[\x00-\x1f\x7f]`).MatchString(text) {
		return false
	}
	for _, value := range c.Values {
		if naiveValue(value, text, fold, false) {
			return true
		}
	}
	for _, value := range c.RegexValues {
		if fold {
			value = "(?i:" + value + ")"
		}
		if regexp.MustCompile(value).MatchString(text) {
			return true
		}
	}
	return false
}

func naiveQuery(c *QueryStringConfig, target string) bool {
	m := regexp.MustCompile(`^[^?#]*\?([^#]*)`).FindStringSubmatch(target)
	if m == nil || regexp.MustCompile(`[\x00-\x1f\x7f]`).MatchString(m[1]) {
		return false
	}
	for pair := range strings.SplitSeq(m[1], "&") {
		key, value, _ := strings.Cut(pair, "=")
		for _, want := range c.Values {
			if pair != "" && naiveValue(want.Value, value, true, true) &&
				(want.Key == "" || naiveValue(want.Key, key, true, true)) {
				return true
			}
		}
	}
	return false
}

// FuzzMatch compares Match with the reference, for a table that holds the fuzzed
// patterns alone and mixed, with and without the index.
func FuzzMatch(f *testing.F) {
	f.Add("*.example.com", "/a/*", "*b?", "k*", `v\*`, `^a.*b$`, "GET", "A.example.com:8443", "/a/../a/%62?k1=v*&b", "xbz", true)
	f.Add("a?b.c", "*", "?", "", "*", `.`, "PUT", "[::1]:80", "http://h/x#y?z", "\t", false)
	f.Add("a.b", "/a", "a", "a", "a", "a", "GET", "a.b.", "/a?a=a", "a", true)
	f.Add("a.b", "a/b://c*", "a", "", "a", "b$", "GET", "a.b", "a/b://c/d", "a", false)
	f.Add("*a.b", "/aa*a?b*", "*aa*", "a=b", "=", `(?i)B|\.`, "", "", "//..//%2e%2E/.?=&&==", "", false)
	f.Fuzz(func(t *testing.T, host, path, header, key, value, regex, method, reqHost, target, reqHeader string, many bool) {
		if len(host)+len(path)+len(header)+len(key)+len(value) > 80 || len(target)+len(reqHost)+len(reqHeader) > 200 {
			t.Skip("the reference takes exponential time")
		}
		rules := fuzzRules(host, path, header, QueryValue{key, value}, regex)
		if many {
			rules = append(rules, randomRules(rand.New(rand.NewPCG(1, 2)), 12)...)
		}
		for i := range rules {
			rules[i].Priority = len(rules) - i
		}
		table, err := CompileRules(rules, forwardTo("default"), ProtocolHTTP)
		if err != nil {
			t.Skip("not a valid table")
		}
		if target == "" {
			target = "/"
		}
		r := &http.Request{Method: method, Host: reqHost, RequestURI: target, Header: http.Header{"X-A": {reqHeader, "z"}}}
		client := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(target))})
		if got, want := table.Match(r, client).Priority, naiveMatch(rules, r, client); got != want {
			t.Errorf("rule %d, want %d", got, want)
		}
	})
}

// fuzzRules puts each value in a rule of its own where it is valid there.
func fuzzRules(host, path, header string, query QueryValue, regex string) []RuleConfig {
	var rules []RuleConfig
	for _, conditions := range [][]ConditionConfig{
		{hostIs(host), pathIs(path), methodIs("GET")},
		{pathIs(path), headerIs("x-a", header)},
		{queryIs(query)},
		{hostIs(host)},
		{headerIs("x-a", header), queryIs(query), sourceIs("192.0.2.0/28")},
		{pathIs(path, "/b*")},
		{{PathPattern: &PatternConfig{RegexValues: []string{regex}}}, hostIs(host)},
		{{HostHeader: &PatternConfig{RegexValues: []string{regex}}}},
		{{HTTPHeader: &HTTPHeaderConfig{Name: "X-a", PatternConfig: PatternConfig{RegexValues: []string{regex}}}}},
	} {
		rule := ruleOf(1, conditions...)
		if _, err := CompileRules([]RuleConfig{rule}, forwardTo("default"), ProtocolHTTP); err == nil {
			rules = append(rules, rule)
		}
	}
	return rules
}

// randomText returns up to n characters of alphabet.
func randomText(random *rand.Rand, alphabet string, n int) string {
	b := make([]byte, random.IntN(n+1))
	for i := range b {
		b[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(b)
}

// randomRules makes valid rules over a small alphabet, so that many match.
func randomRules(random *rand.Rand, n int) []RuleConfig {
	rules := make([]RuleConfig, 0, n)
	for len(rules) < n {
		var conditions []ConditionConfig
		if random.IntN(2) == 0 {
			conditions = append(conditions, hostIs(randomText(random, "ab.*?", 4)+".com", randomText(random, "ab.", 3)+".com"))
		}
		if random.IntN(2) == 0 {
			conditions = append(conditions, pathIs("/"+randomText(random, "ab/*?", 5), randomText(random, "/a/b", 4)+"*"))
		}
		if random.IntN(4) == 0 {
			conditions = append(conditions, methodIs("GET"))
		}
		rule := ruleOf(1, conditions...)
		if _, err := CompileRules([]RuleConfig{rule}, forwardTo("d"), ProtocolHTTP); err == nil {
			rule.Priority = len(rules) + 1
			rules = append(rules, rule)
		}
	}
	random.Shuffle(n, func(i, j int) { rules[i].Priority, rules[j].Priority = rules[j].Priority, rules[i].Priority })
	return rules
}

// TestMatchRandomTables compares the index with the reference on tables large
// enough for the index to be in use.
func TestMatchRandomTables(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	matched := 0
	for range 60 {
		rules := randomRules(random, 5+random.IntN(40))
		table, err := CompileRules(rules, forwardTo("d"), ProtocolHTTP)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			r := &http.Request{Method: "GET", Host: randomText(random, "ab.", 5) + ".com", RequestURI: "/" + randomText(random, "ab/.", 6)}
			want := naiveMatch(rules, r, netip.Addr{})
			if got := table.Match(r, netip.Addr{}).Priority; got != want {
				t.Fatalf("%s%s: rule %d, want %d", r.Host, r.RequestURI, got, want)
			}
			if want > 0 {
				matched++
			}
		}
	}
	if matched < 500 {
		t.Errorf("only %d of 2400 requests met a rule: the test has no teeth", matched)
	}
}

// TestGlobTime bounds the work on a value that invites backtracking. A matcher
// that tried every way would not end.
func TestGlobTime(t *testing.T) {
	g := newGlob("*a*a*a*a*b", globOptions{fold: true})
	if g.match(strings.Repeat("a", MaxRequestHeader)) {
		t.Error("matched")
	}
	if !g.match(strings.Repeat("a", MaxRequestHeader) + "B") {
		t.Error("not matched")
	}
}

// BenchmarkGlob measures one value against one pattern.
func BenchmarkGlob(b *testing.B) {
	for name, tt := range map[string]struct{ pattern, text string }{
		"exact":  {"/widgets/list", "/widgets/list"},
		"prefix": {"/widgets/*", "/widgets/4711/parts"},
		"middle": {"/a/*/c/*.png", "/a/bbbbbbbb/c/dddddddd.png"},
	} {
		g := newGlob(tt.pattern, globOptions{})
		b.Run("pattern="+name, func(b *testing.B) {
			for b.Loop() {
				g.match(tt.text)
			}
		})
	}
}
