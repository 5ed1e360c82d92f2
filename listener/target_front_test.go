package listener

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/postern-lb/postern/internal/pki"
)

// ask2 sends one HTTP/2 request with exactly these pseudo-headers, which no client
// library would, and returns the status; empty if the stream was reset.
func ask2(t *testing.T, tc *tls.Conn, authority, path string) string {
	t.Helper()
	var block headerBlock
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", authority}, {":path", path}} {
		block.add(h[0], h[1])
	}
	io.WriteString(tc, http2.ClientPreface)
	framer := http2.NewFramer(tc, tc)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.bytes, EndStream: true, EndHeaders: true})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf(":authority %q, :path %q: %v", authority, path, err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return ""
		}
	}
}

// A headerBlock is a block of HTTP/2 headers.
type headerBlock struct{ bytes []byte }

// Write implements io.Writer.
func (b *headerBlock) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

func (b *headerBlock) add(name, value string) {
	hpack.NewEncoder(b).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
}

// A :path in absolute form names a second host. The target would be told that one,
// while rules and the check for misdirected requests had seen :authority.
func TestHTTP2PathNamesNoHost(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.ForeignHosts = []string{"other.example"}
	f := startFront(t, cfg)
	for path, want := range map[string]string{
		"/": "200", "https://other.example/": "400", "http://" + frontHost + "/": "400", "/a#/../b": "400", "*": "400",
	} {
		tc := f.connect(presentingHTTP2(s.client(s.acme)))
		if got := ask2(t, tc, frontHost, path); got != want {
			t.Errorf(":path %q: got status %q, want %s", path, got, want)
		}
		tc.Close()
	}
}

func presentingHTTP2(cfg *tls.Config) *tls.Config {
	return with(cfg, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
}

// What the normaliser refuses is no spelling of any host, so it would be nobody's:
// neither misdirected nor the host of a rule. A target might still know whose.
func TestHostsThatNobodyOwns(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.ForeignHosts = []string{"other.example"}
	f := startFront(t, cfg)
	for _, host := range []string{"other.example:99999", "other.example:000443", "other.example..", ".other.example", "other.example:65536"} {
		tc := f.connect(s.client(s.acme))
		if a, err := ask(tc, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil || a.StatusCode != http.StatusBadRequest {
			t.Errorf("host %q: got %v %v, want 400", host, a, err)
		}
		tc.Close()
	}
}

// A number sign begins a fragment for the rules and is a character of the path for
// the target: what stands behind it must not get past a rule.
func TestRulesSeeTheWholePath(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseReset)))
	for _, target := range []string{"/a#/../admin", "/a#/../../etc", "/a#?role=admin", "http://" + frontHost + "/a#b", "/#"} {
		tc := f.connect(s.client(s.acme))
		if a, err := ask(tc, "GET "+target+" HTTP/1.1\r\nHost: "+frontHost+"\r\n\r\n"); err != nil || a.StatusCode != http.StatusBadRequest {
			t.Errorf("target %q: got %v %v, want 400", target, a, err)
		}
		tc.Close()
	}
}

// The target must see the path that the rules have seen. A double quote makes
// net/url print a path from its decoded form, in which "..%2F" is a step up.
func TestTargetGetsTheEscapesOfTheClient(t *testing.T) {
	seen := make(chan string, 1)
	target := webTarget(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RequestURI })
	w := webServe(t, target, func(*Config) {})
	for path, want := range map[string]string{
		`/public"/..%2f..%2fadmin`:  `/public%22/..%2f..%2fadmin`,
		`/a%2Fb^c%41%2e`:            `/a%2Fb%5Ec%41%2e`,
		"/a%2Fb!$&'()*+,;=:@[]-._~": "/a%2Fb!$&'()*+,;=:@[]-._~",
		`/a"b`:                      `/a%22b`,
		"//a%2F/b":                  "//a%2F/b",
	} {
		if res, _ := w.raw("GET", "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); res.StatusCode != 200 {
			t.Errorf("path %q: got %v", path, res.Status)
			continue
		}
		if got := <-seen; got != want {
			t.Errorf("path %q: the target got %q, want %q", path, got, want)
		}
	}
}

// Net/http has an answer of its own for "OPTIONS *".
func TestOptionsOfTheServerAreNoException(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseForbidden)))
	options := "OPTIONS * HTTP/1.1\r\nHost: " + frontHost + "\r\n\r\n"
	for want, who := range map[int]*pki.Entity{http.StatusForbidden: nil, http.StatusOK: s.acme} {
		tc := f.connect(s.client(who))
		if a, err := ask(tc, options); err != nil || a.StatusCode != want || (a.body == "here") != (want == http.StatusOK) {
			t.Errorf("got %v %v, want %d", a, err, want)
		}
		tc.Close()
	}
	f.access.wait(t, 2)
}

func TestOptionsOfTheServerAreForwarded(t *testing.T) {
	// The target is net/http too, which answers without its handler.
	w := webServe(t, webTarget(t, func(http.ResponseWriter, *http.Request) {}), func(*Config) {})
	if res, _ := w.raw("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); res.StatusCode != 200 {
		t.Errorf("got %v", res.Status)
	}
	if line := w.line(1); line[17] != "main" {
		t.Errorf("the request went to %q", line[17])
	}
}
