package listener

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/targetgroup"
)

func webNamed(t *testing.T, name string) string {
	return webTarget(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "target")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		io.WriteString(w, name)
	})
}

func TestHTTPRules(t *testing.T) {
	blue, green := webNamed(t, "blue"), webNamed(t, "green")
	rule := func(priority int, path string, a ActionConfig) RuleConfig {
		r := ruleOf(priority, pathIs(path))
		r.Actions = []ActionConfig{a}
		return r
	}
	w := webServe(t, blue, webHTTPS, webBackend(t, webGroupOf("green", green)), func(cfg *Config) {
		cfg.Rules = []RuleConfig{
			rule(10, "/weighted", ActionConfig{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{
				{Name: "main", Weight: weight(3)}, {Name: "green", Weight: weight(1)}}}}),
			rule(20, "/moved*", ActionConfig{Redirect: &RedirectConfig{StatusCode: "HTTP_301", Host: "new.example"}}),
			rule(30, "/fixed", ActionConfig{FixedResponse: &FixedResponseConfig{StatusCode: 418, ContentType: "application/json", MessageBody: `{"a":1}`}}),
			rule(40, "/nobody", ActionConfig{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{{Name: "green", Weight: weight(0)}}}}),
		}
	})
	c := w.client(1)
	count := map[string]int{}
	const requests = 400
	for range requests {
		_, body := w.do(c, w.request("GET", "/weighted", nil))
		count[body]++
	}
	if n := count["blue"]; n < 240 || n > 360 || n+count["green"] != requests { // 300, and 7 deviations
		t.Errorf("weights 3 to 1 gave %v", count)
	}
	_, port, _ := strings.Cut(w.addr, ":")
	for i, tt := range []struct {
		path, status, body, location string
		line                         map[int]string
	}{
		{"/weighted", "200 OK", "", "", map[int]string{21: "10", 23: "forward"}},
		{"/moved/x?y=1", "301 Moved Permanently", Page(301), "https://new.example:" + port + "/moved/x?y=1",
			map[int]string{5: "-", 6: "-1", 9: "301", 21: "20", 23: "redirect", 24: "https://new.example:" + port + "/moved/x?y=1"}},
		{"/fixed", "418 I'm a teapot", `{"a":1}`, "", map[int]string{5: "-", 9: "418", 10: "-", 21: "30", 23: "fixed-response"}},
		{"/nobody", "503 Service Unavailable", Page(503), "", map[int]string{5: "-", 9: "503", 21: "40", 23: "forward"}},
		{"/other", "200 OK", "blue", "", map[int]string{5: blue, 17: "main", 21: "0", 23: "forward"}},
	} {
		res, body := w.do(c, w.request("GET", tt.path, nil))
		if res.Status != tt.status || tt.body != "" && body != tt.body || res.Header.Get("Location") != tt.location {
			t.Errorf("%s: %s %q %v", tt.path, res.Status, body, res.Header)
		}
		webWant(t, w.line(requests+i+1), tt.line)
	}
}

func TestHTTPResponseAttributes(t *testing.T) {
	target := webNamed(t, "main")
	for _, major := range []int{1, 2} {
		w := webServe(t, target, webHTTPS, func(cfg *Config) {
			cfg.Responses = ResponseConfig{XFrameOptions: "DENY", StrictTransportSecurity: "max-age=1", ServerDisabled: true}
			fixed := ruleOf(1, pathIs("/fixed"))
			fixed.Actions = []ActionConfig{{FixedResponse: &FixedResponseConfig{StatusCode: 200}}}
			cfg.Rules = []RuleConfig{fixed}
		})
		for _, path := range []string{"/", "/fixed", "/a/../../b"} {
			r := w.request("GET", "/", nil)
			r.URL.Opaque = path
			res, _ := w.do(w.client(major), r)
			h := res.Header
			if len(h["Server"]) != 0 || strings.Join(h["X-Frame-Options"], "|") != "DENY" || h.Get("Strict-Transport-Security") != "max-age=1" {
				t.Errorf("HTTP/%d %s: %s %v", major, path, res.Status, h)
			}
		}
	}
}

// refusalID is the form of what a refused client is told.
var refusalID = regexp.MustCompile(`^[0-9a-f]{32}-[1-9][0-9]*$`)

func TestHTTPForbidden(t *testing.T) {
	w := webServe(t, webNamed(t, "main"), webMode(ModeVerify), func(cfg *Config) {
		cfg.MutualAuthentication.OnRefusal = RefuseForbidden
		cfg.MutualAuthentication.Store.Publish(nil, nil, "2") // trusts nobody
	})
	for i, target := range []string{"/", "*"} {
		r := w.request("OPTIONS", "/", nil)
		r.URL.Opaque = target
		res, body := w.do(w.client(1), r)
		if res.StatusCode != 403 || body != `{"message":"Forbidden"}` || !refusalID.MatchString(res.Header.Get("X-Amzn-Requestid")) {
			t.Errorf("%s: %s %v %q", target, res.Status, res.Header, body)
		}
		line := w.line(i + 1)
		webWant(t, line, map[int]string{5: "-", 9: "403", 21: "-", 23: "-"})
		if !strings.HasPrefix(line[25], "ClientCert") {
			t.Errorf("error reason %q", line[25])
		}
	}
}

func TestHTTPKeepAliveEnds(t *testing.T) {
	target := webNamed(t, "main")
	age := func(cfg *Config) { cfg.Timeouts.KeepAlive = 300 * time.Millisecond }
	w := webServe(t, target, age)
	conn := w.dial()
	r := bufio.NewReader(conn)
	for closes := range 2 {
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res, _ := webAnswer(t, r, "GET"); res.Close != (closes == 1) {
			t.Errorf("answer %d: close is %v", closes, res.Close)
		}
		time.Sleep(350 * time.Millisecond)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v, want EOF", err)
	}
	w = webServe(t, target, webHTTPS, age)
	c := w.frames()
	if status := c.ask(); status != "200" || c.goAway {
		t.Errorf("%s, GOAWAY %v", status, c.goAway)
	}
	time.Sleep(350 * time.Millisecond)
	if status := c.ask(); status != "200" {
		t.Errorf("the last request got %s", status)
	}
	if c.headers(true); c.status() != "gone" && !c.goAway {
		t.Error("no GOAWAY after client_keep_alive")
	}
}

// A backend that panics takes one request with it, in one line of either log.
type webPanic struct{ targetgroup.Backend }

func (webPanic) RoundTrip(*http.Request) (*http.Response, error) { panic("as asked") }

func TestHTTPPanic(t *testing.T) {
	for _, major := range []int{1, 2} {
		w := webServe(t, "", webHTTPS, func(cfg *Config) { cfg.Backends["main"] = webPanic{} })
		res, err := w.client(major).Do(w.request("GET", "/", nil))
		if err == nil {
			t.Errorf("HTTP/%d: %s", major, res.Status)
		}
		webWant(t, w.line(1), map[int]string{9: "500", 10: "-", 21: "0"})
		if lines := w.logs.all(); len(lines) != 1 || !strings.Contains(lines[0], "as asked") {
			t.Errorf("HTTP/%d: the process log has %q", major, lines)
		}
	}
}
