package listener

import (
	"math"
	"net/http"
	"strings"
	"testing"
)

func weight(n int) *int { return &n }

func TestPickShares(t *testing.T) {
	table, err := CompileRules(nil, []ActionConfig{{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{
		{"a", weight(1)}, {"none", weight(0)}, {"b", weight(3)},
	}}}}, ProtocolHTTP)
	if err != nil {
		t.Fatal(err)
	}
	forward := table.fallback.Action.Forward
	got := map[string]int{}
	const draws = 4000
	const step = math.MaxUint64 / draws
	for i := range uint64(draws) { // evenly over the whole range
		got[forward.Pick(func() uint64 { return i*step + step/2 })]++
	}
	if got["a"] != 1000 || got["b"] != 3000 || len(got) != 2 {
		t.Errorf("drawn: %v", got)
	}
	if g := forward.Pick(func() uint64 { return math.MaxUint64 }); g != "b" {
		t.Errorf("the greatest random number draws %q", g)
	}
	if names := strings.Join(forward.TargetGroups(), " "); names != "a none b" {
		t.Errorf("TargetGroups = %q", names)
	}
}

func TestPickWithoutRandom(t *testing.T) {
	for want, groups := range map[string][]WeightedGroup{
		"a": {{"a", nil}},
		"b": {{"a", weight(0)}, {"b", weight(5)}},
		"":  {{"a", weight(0)}, {"b", weight(0)}},
	} {
		table, err := CompileRules(nil, []ActionConfig{{Forward: &ForwardConfig{groups}}}, ProtocolHTTP)
		if err != nil {
			t.Fatal(err)
		}
		if got := table.fallback.Action.Forward.Pick(nil); got != want {
			t.Errorf("drew %q, want %q", got, want)
		}
	}
}

func TestActionFaults(t *testing.T) {
	forward := func(groups ...WeightedGroup) ActionConfig {
		return ActionConfig{Forward: &ForwardConfig{groups}}
	}
	redirect := func(cfg RedirectConfig) ActionConfig {
		if cfg.StatusCode == "" {
			cfg.StatusCode = "HTTP_301"
		}
		return ActionConfig{Redirect: &cfg}
	}
	fixed := func(status int, contentType, body string) ActionConfig {
		return ActionConfig{FixedResponse: &FixedResponseConfig{status, contentType, body}}
	}
	query := func(q string) *string { return &q }
	tooLong := "/" + strings.Repeat("a", MaxRedirectPart)
	for _, tt := range []struct {
		name     string
		action   ActionConfig
		protocol Protocol
		path     string // below default_actions[0]; empty if the action is good
	}{
		{"no kind", ActionConfig{}, ProtocolHTTP, "."},
		{"two kinds", ActionConfig{Forward: &ForwardConfig{}, Redirect: &RedirectConfig{}}, ProtocolHTTP, "."},
		{"no groups", forward(), ProtocolHTTP, "forward.target_groups"},
		{"six groups", forward(WeightedGroup{"a", nil}, WeightedGroup{"b", nil}, WeightedGroup{"c", nil}, WeightedGroup{"d", nil}, WeightedGroup{"e", nil}, WeightedGroup{"f", nil}), ProtocolHTTP, "forward.target_groups"},
		{"five groups", forward(WeightedGroup{"a", nil}, WeightedGroup{"b", nil}, WeightedGroup{"c", nil}, WeightedGroup{"d", nil}, WeightedGroup{"e", nil}), ProtocolHTTP, ""},
		{"no name", forward(WeightedGroup{}), ProtocolHTTP, "forward.target_groups[0].name"},
		{"name twice", forward(WeightedGroup{"a", nil}, WeightedGroup{"a", nil}), ProtocolHTTP, "forward.target_groups[1].name"},
		{"weight 1000", forward(WeightedGroup{"a", weight(MaxGroupWeight + 1)}), ProtocolHTTP, "forward.target_groups[0].weight"},
		{"weight 999", forward(WeightedGroup{"a", weight(MaxGroupWeight)}), ProtocolHTTP, ""},
		{"weight -1", forward(WeightedGroup{"a", weight(-1)}), ProtocolHTTP, "forward.target_groups[0].weight"},
		{"to HTTPS", redirect(RedirectConfig{Protocol: "HTTPS", Port: "443"}), ProtocolHTTP, ""},
		{"same URL", redirect(RedirectConfig{}), ProtocolHTTP, "redirect"},
		{"same URL in words", redirect(RedirectConfig{Protocol: "#{protocol}", Host: "#{host}", Port: "#{port}", Path: "/#{path}", Query: query("a=b")}), ProtocolHTTP, "redirect"},
		{"same protocol", redirect(RedirectConfig{Protocol: "HTTPS"}), ProtocolHTTPS, "redirect"},
		{"HTTPS to HTTP", redirect(RedirectConfig{Protocol: "HTTP"}), ProtocolHTTPS, "redirect.protocol"},
		{"other protocol", redirect(RedirectConfig{Protocol: "https", Host: "a.com"}), ProtocolHTTP, "redirect.protocol"},
		{"status", redirect(RedirectConfig{StatusCode: "HTTP_307", Port: "1"}), ProtocolHTTP, "redirect.status_code"},
		{"port 0", redirect(RedirectConfig{Port: "0"}), ProtocolHTTP, "redirect.port"},
		{"port 65536", redirect(RedirectConfig{Port: "65536"}), ProtocolHTTP, "redirect.port"},
		{"port with sign", redirect(RedirectConfig{Port: "+80"}), ProtocolHTTP, "redirect.port"},
		{"host with slash", redirect(RedirectConfig{Host: "a.com/b"}), ProtocolHTTP, "redirect.host"},
		{"host with line end", redirect(RedirectConfig{Host: "a.com\r\nX: y"}), ProtocolHTTP, "redirect.host"},
		{"host placeholder", redirect(RedirectConfig{Host: "#{path}.com"}), ProtocolHTTP, "redirect.host"},
		{"path without slash", redirect(RedirectConfig{Path: "#{path}"}), ProtocolHTTP, "redirect.path"},
		{"path with query", redirect(RedirectConfig{Path: "/a?b"}), ProtocolHTTP, "redirect.path"},
		{"path with backslash", redirect(RedirectConfig{Path: `/\evil.com`}), ProtocolHTTP, "redirect.path"},
		{"path placeholder", redirect(RedirectConfig{Path: "/#{query}"}), ProtocolHTTP, "redirect.path"},
		{"path placeholder open", redirect(RedirectConfig{Path: "/#{path"}), ProtocolHTTP, "redirect.path"},
		{"path too long", redirect(RedirectConfig{Path: tooLong}), ProtocolHTTP, "redirect.path"},
		{"path long", redirect(RedirectConfig{Path: tooLong[:MaxRedirectPart]}), ProtocolHTTP, ""},
		{"query question mark", redirect(RedirectConfig{Port: "1", Query: query("?a")}), ProtocolHTTP, "redirect.query"},
		{"query all placeholders", redirect(RedirectConfig{Port: "1", Query: query("#{protocol}#{host}#{port}#{path}#{query}")}), ProtocolHTTP, ""},
		{"fixed", fixed(204, "", ""), ProtocolHTTP, ""},
		{"fixed 301", fixed(301, "", ""), ProtocolHTTP, "fixed_response.status_code"},
		{"fixed 600", fixed(600, "", ""), ProtocolHTTP, "fixed_response.status_code"},
		{"fixed type", fixed(200, "image/png", ""), ProtocolHTTP, "fixed_response.content_type"},
		{"fixed body", fixed(200, "text/html", strings.Repeat("ü", MaxFixedResponseBody)), ProtocolHTTP, ""},
		{"fixed long body", fixed(200, "text/html", strings.Repeat("a", MaxFixedResponseBody+1)), ProtocolHTTP, "fixed_response.message_body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := CompileRules(nil, []ActionConfig{tt.action}, tt.protocol)
			switch tt.path {
			case "":
				checkFaults(t, err)
			case ".":
				checkFaults(t, err, "default_actions[0]")
			default:
				checkFaults(t, err, "default_actions[0]."+tt.path)
			}
		})
	}
}

func mustRedirect(t testing.TB, cfg RedirectConfig, protocol Protocol) *Redirect {
	t.Helper()
	cfg.StatusCode = "HTTP_302"
	table, err := CompileRules(nil, []ActionConfig{{Redirect: &cfg}}, protocol)
	if err != nil {
		t.Fatal(err)
	}
	return table.fallback.Action.Redirect
}

func TestLocation(t *testing.T) {
	none, mixed := "", "p=#{protocol}&h=#{host}&o=#{port}&x=#{path}&#{query}"
	https := RedirectConfig{Protocol: "HTTPS", Port: "443"}
	for _, tt := range []struct {
		name         string
		cfg          RedirectConfig
		host, target string
		status       int
		want         string
	}{
		{"to HTTPS", https, "example.com", "/path?x=1", 302, "https://example.com:443/path?x=1"},
		{"port dropped", https, "example.com:80", "/", 302, "https://example.com:443/"},
		{"case kept", https, "Example.com", "/A", 302, "https://Example.com:443/A"},
		{"IPv6", https, "[2001:db8::1]:80", "/", 302, "https://[2001:db8::1]:443/"},
		{"as sent", https, "a.com", "/%2e%2E/%c3?%41", 302, "https://a.com:443/%2e%2E/%c3?%41"},
		{"empty query", https, "a.com", "/a?", 302, "https://a.com:443/a"},
		{"double slash", https, "a.com", "//evil.com/", 302, "https://a.com:443//evil.com/"},
		{"absolute form", https, "a.com", "http://b.com/x?y", 302, "https://a.com:443/x?y"},
		{"not ASCII", https, "a.com", "/\xff\"?\x7f", 302, "https://a.com:443/%FF\"?%7F"},
		{"line end", https, "a.com", "/a\r\nX: y", 302, "https://a.com:443/a%0D%0AX:%20y"},
		{"own host", RedirectConfig{Host: "www.#{host}"}, "a.com", "/", 302, "http://www.a.com:8080/"},
		{"no query", RedirectConfig{Path: "/new/#{path}", Query: &none}, "a.com", "/a?b", 302, "http://a.com:8080/new/a"},
		{"all placeholders", RedirectConfig{Path: "/#{host}/#{port}/#{path}", Query: &mixed}, "a.com", "/x?q", 302,
			"http://a.com:8080/a.com/8080/x?p=http&h=a.com&o=8080&x=x&q"},
		{"host with user", https, "a.com@evil.com", "/", 400, ""},
		{"host with slash", https, "evil.com/", "/", 400, ""},
		{"host with line end", https, "a.com\r\nX: y", "/", 400, ""},
		{"host with backslash", https, `evil.com\.a.com`, "/", 400, ""},
		{"bad bracket", https, "[::1", "/", 400, ""},
		{"bracketed name", https, "[evil.com]", "/", 400, ""},
		{"no host", https, "", "/", 400, ""},
		{"no host needed", RedirectConfig{Host: "b.com"}, "\r\n", "/", 302, "http://b.com:8080/"},
		{"too long", https, "a.com", "/" + strings.Repeat("a", MaxLocation), 507, ""},
		{"too long once encoded", https, "a.com", "/" + strings.Repeat("\xff", MaxLocation/2), 507, ""},
		{"long", RedirectConfig{Host: "b.com"}, "a.com", "/" + strings.Repeat("a", MaxLocation-len("http://b.com:8080/")), 302,
			"http://b.com:8080/" + strings.Repeat("a", MaxLocation-len("http://b.com:8080/"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Method: "GET", Host: tt.host, RequestURI: tt.target}
			status, location := mustRedirect(t, tt.cfg, ProtocolHTTP).Location(r, 8080)
			if status != tt.status || location != tt.want {
				t.Errorf("%d %q, want %d %q", status, location, tt.status, tt.want)
			}
		})
	}
}

// FuzzLocation checks that no client can end the header, nor change the host or
// the scheme, of a redirect whose host is fixed, and that any host that gets
// through is one.
func FuzzLocation(f *testing.F) {
	f.Add("a.com", "/a?b#c")
	f.Add("a.com:80", "//evil.com\r\nX: y")
	f.Add("[::1]", "http://x@evil.com")
	own := mustRedirect(f, RedirectConfig{Host: "b.com", Path: "/#{host}/#{path}"}, ProtocolHTTPS)
	theirs := mustRedirect(f, RedirectConfig{Port: "8443"}, ProtocolHTTPS)
	f.Fuzz(func(t *testing.T, host, target string) {
		r := &http.Request{Method: "GET", Host: host, RequestURI: target}
		for prefix, redirect := range map[string]*Redirect{"https://b.com:443/": own, "https://": theirs} {
			status, location := redirect.Location(r, 443)
			if (location == "") != (status != 302) {
				t.Errorf("%d with %q", status, location)
			}
			if location == "" {
				continue
			}
			if !strings.HasPrefix(location, prefix) || !visible(location) || !isASCII(location) || strings.Contains(location, " ") {
				t.Errorf("location %q", location)
			}
			authority, _, _ := strings.Cut(strings.TrimPrefix(location, "https://"), "/")
			if strings.ContainsAny(authority, `@?#\`) {
				t.Errorf("authority %q", authority)
			}
		}
	})
}
