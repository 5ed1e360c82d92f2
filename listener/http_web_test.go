package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// webWait is how long tests wait for what must come.
const webWait = 20 * time.Second

// A web is a running listener in front of real targets.
type web struct {
	t       testing.TB
	l       *Listener
	addr    string
	access  webLog
	conns   webLog
	logs    webLog // of the process
	metrics *prometheus.Registry
}

// A webLog keeps the lines written to it.
type webLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *webLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

func (l *webLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// A webPKI is made once: it is never changed, and keys are slow to make.
type webPKI struct{ root, server, client *pki.Entity }

var webCerts = sync.OnceValue(func() webPKI {
	root := pki.NewRoot("Web Root")
	return webPKI{root, root.Server("web.example", "127.0.0.1"), root.Client("web-client")}
})

// webHTTPS makes a listener an HTTPS one with HTTP/2.
func webHTTPS(cfg *Config) {
	cfg.Protocol, cfg.HTTP2, cfg.HTTP2Engine = ProtocolHTTPS, true, testEngine()
	server := webCerts().server.TLS()
	server.Leaf = webCerts().server.Cert
	cfg.Certificates = []tls.Certificate{server}
}

// webMode is webHTTPS with a mutual TLS mode.
func webMode(mode Mode) func(*Config) {
	return func(cfg *Config) {
		webHTTPS(cfg)
		cfg.MutualAuthentication.Mode = mode
		if mode != ModeVerify {
			return
		}
		bundle, err := trust.ParseBundle(webCerts().root.PEM(), time.Now())
		if err != nil {
			panic(err)
		}
		store := trust.NewStore("web", trust.Options{})
		store.Publish(bundle, nil, "1")
		cfg.MutualAuthentication.Store = store
		cfg.MutualAuthentication.Trust = &trust.Policy{}
	}
}

// webServe starts an HTTP listener whose default action forwards to the group
// "main" with one target; changes may alter all of it.
func webServe(t testing.TB, target string, changes ...func(*Config)) *web {
	t.Helper()
	w := &web{t: t, metrics: prometheus.NewRegistry()}
	cfg := Config{
		Name: "front", Address: "127.0.0.1:0", Protocol: ProtocolHTTP, ELB: "app/web/1",
		DefaultActions: forwardTo("main"),
		ConnectionLog:  &Log{Writer: &w.conns}, AccessLog: &Log{Writer: &w.access},
		Metrics:  NewMetrics(w.metrics).Listener("front"),
		Backends: map[string]targetgroup.Backend{},
	}
	if target != "" {
		cfg.Backends["main"] = webGroup(t, webGroupOf("main", target))
	}
	for _, change := range changes {
		change(&cfg)
	}
	p, err := Compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.run(p)
	return w
}

func (w *web) run(p *Policy) {
	w.t.Helper()
	w.l = New(p, slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err := w.l.Open(); err != nil {
		w.t.Fatal(err)
	}
	w.addr = w.l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.l.Run(ctx)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}

func webGroupOf(name string, targets ...string) targetgroup.Config {
	off := false
	cfg := targetgroup.Config{Name: name, HealthCheck: targetgroup.HealthCheck{Enabled: &off}}
	for _, target := range targets {
		cfg.Targets = append(cfg.Targets, targetgroup.TargetConfig{Address: target})
	}
	return cfg
}

func webGroup(t testing.TB, cfg targetgroup.Config) *targetgroup.Group {
	t.Helper()
	g, err := targetgroup.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// webBackend replaces the group of the default action.
func webBackend(t testing.TB, cfg targetgroup.Config) func(*Config) {
	return func(c *Config) { c.Backends[cfg.Name] = webGroup(t, cfg) }
}

func webIdle(idle time.Duration) func(*Config) {
	return func(cfg *Config) { cfg.Timeouts.Idle = idle }
}

// webTarget starts an HTTP/1.1 target and returns its address.
func webTarget(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.DisableGeneralOptionsHandler = true
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// webTarget2 starts a target that speaks HTTP/2 with prior knowledge.
func webTarget2(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// client returns a client that speaks one version of HTTP.
func (w *web) client(major int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(major == 1)
	protocols.SetHTTP2(major == 2)
	transport := &http.Transport{TLSClientConfig: w.clientTLS(), Protocols: protocols, DisableCompression: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *web) clientTLS() *tls.Config {
	client := webCerts().client.TLS()
	return &tls.Config{InsecureSkipVerify: true, ServerName: "web.example", Certificates: []tls.Certificate{client}}
}

func (w *web) url(path string) string {
	if w.l.policy.Load().protocol == ProtocolHTTPS {
		return "https://" + w.addr + path
	}
	return "http://" + w.addr + path
}

// do sends a request and reads the whole answer.
func (w *web) do(c *http.Client, r *http.Request) (*http.Response, string) {
	w.t.Helper()
	res, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(body)
}

func (w *web) request(method, path string, body io.Reader) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url(path), body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// dial opens a raw connection, under TLS with HTTP/1.1 if the listener has TLS.
func (w *web) dial() net.Conn {
	w.t.Helper()
	if w.l.policy.Load().protocol == ProtocolHTTPS {
		return w.dialTLS(w.clientTLS())
	}
	return w.dialTCP()
}

func (w *web) dialTCP() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(webWait))
	return conn
}

func (w *web) dialTLS(cfg *tls.Config) net.Conn {
	w.t.Helper()
	conn := tls.Client(w.dialTCP(), cfg)
	if err := conn.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// raw sends bytes on a connection of their own and returns the first answer.
func (w *web) raw(method, text string) (*http.Response, string) {
	w.t.Helper()
	conn := w.dial()
	defer conn.Close()
	go io.WriteString(conn, text) // the answer may come before all is sent
	return webAnswer(w.t, bufio.NewReader(conn), method)
}

func webAnswer(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading the answer's body: %v", err)
	}
	return res, string(body)
}

// webEventually polls until ok.
func webEventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(webWait); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A webLine holds the fields of an access log line, counted from 1.
type webLine []string

// line waits for the nth line of the access log, counted from 1, and checks that
// there are no more.
func (w *web) line(n int) webLine {
	w.t.Helper()
	webEventually(w.t, "an access log line", func() bool { return len(w.access.all()) >= n })
	lines := w.access.all()
	if len(lines) != n {
		w.t.Fatalf("%d access log lines, want %d: %q", len(lines), n, lines)
	}
	return webFields(w.t, lines[n-1])
}

func webFields(t testing.TB, line string) webLine {
	t.Helper()
	accessFields(t, line)
	fields := webLine{""}
	for rest := line; rest != ""; {
		var field string
		if strings.HasPrefix(rest, `"`) {
			field, rest, _ = strings.Cut(rest[1:], `"`)
			rest = strings.TrimPrefix(rest, " ")
		} else {
			field, rest, _ = strings.Cut(rest, " ")
		}
		fields = append(fields, field)
	}
	if len(fields) != 35 {
		t.Fatalf("%d fields, want 34: %q", len(fields)-1, line)
	}
	return fields
}

// wantLine compares fields, by their numbers in ALB's documentation.
func webWant(t testing.TB, line webLine, want map[int]string) {
	t.Helper()
	for n, value := range want {
		if line[n] != value {
			t.Errorf("field %d of the access log is %q, want %q in %q", n, line[n], value, line)
		}
	}
}
