package listener

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// This file is what the tests of whole listeners share: a listener on a port of
// its own, a throw-away PKI, clients, and the logs.

// patience is how long a test waits for what must happen. It bounds a failure; no
// test that passes waits that long.
const patience = 20 * time.Second

const (
	frontHost = "front.example"
	sideHost  = "side.example" // also in the certificate of every front
)

// A site is a PKI with a trust store.
type site struct {
	t          *testing.T
	serverRoot *pki.Entity
	server     *pki.Entity
	root, sub  *pki.Entity // of the clients
	otherRoot  *pki.Entity // not in the store
	acme       *pki.Entity // a client in order
	store      *trust.Store
}

func newSite(t *testing.T) *site {
	s := &site{t: t, serverRoot: pki.NewRoot("Server Root"), root: pki.NewRoot("Partner Root"), otherRoot: pki.NewRoot("Other Root")}
	s.server = s.serverRoot.Server(frontHost, sideHost, "127.0.0.1")
	s.sub = s.root.Intermediate("Partner CA 1")
	s.acme = s.sub.Client("acme-1", pki.DNS("acme.partner.example"))
	s.store = s.newStore("partners", s.root)
	return s
}

// newStore returns a trust store that holds the given CAs.
func (s *site) newStore(name string, cas ...*pki.Entity) *trust.Store {
	store := trust.NewStore(name, trust.Options{Log: slog.New(slog.DiscardHandler)})
	s.publish(store, nil, cas...)
	return store
}

// publish replaces what a store holds.
func (s *site) publish(store *trust.Store, set *crl.Set, cas ...*pki.Entity) {
	s.t.Helper()
	var bundle []byte
	for _, ca := range cas {
		bundle = append(bundle, ca.PEM()...)
	}
	b, err := trust.ParseBundle(bundle, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	store.Publish(b, set, "test")
}

// revokes returns a list of ca as a set.
func (s *site) revokes(ca *pki.Entity, who ...*pki.Entity) *crl.Set {
	s.t.Helper()
	list, err := crl.Parse(ca.CRL(1, who...))
	if err != nil {
		s.t.Fatal(err)
	}
	set, err := crl.NewSet([]crl.Source{{Name: "test.crl", List: list}}, []*x509.Certificate{ca.Cert, s.root.Cert})
	if err != nil {
		s.t.Fatal(err)
	}
	return set
}

// verify is the setting of a listener that asks s.store.
func (s *site) verify(on Refusal) MutualAuthentication {
	return MutualAuthentication{Mode: ModeVerify, Store: s.store, Trust: &trust.Policy{}, OnRefusal: on}
}

// config is a listener that answers every request with 200 and "here".
func (s *site) config(m MutualAuthentication) Config {
	return Config{
		Name: "front", Address: "127.0.0.1:0", Protocol: ProtocolHTTPS, ELB: "app/postern/50dc6c495c0c9188",
		Certificates: []tls.Certificate{s.server.TLS()}, MutualAuthentication: m, HTTP2: true, HTTP2Engine: testEngine(),
		Timeouts: Timeouts{Drain: patience}, DefaultActions: fixed(200, "here"),
	}
}

func fixed(status int, body string) []ActionConfig {
	return []ActionConfig{{FixedResponse: &FixedResponseConfig{StatusCode: status, MessageBody: body}}}
}

// client is the configuration of a client that presents who, or nothing.
func (s *site) client(who *pki.Entity) *tls.Config {
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: frontHost}
	cfg.RootCAs.AddCert(s.serverRoot.Cert)
	if who != nil {
		cfg = presenting(cfg, who.TLS())
	}
	return cfg
}

// presenting makes a client present a certificate whatever the server asks for.
func presenting(cfg *tls.Config, cert tls.Certificate) *tls.Config {
	cfg = cfg.Clone()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	return cfg
}

func with(cfg *tls.Config, change func(*tls.Config)) *tls.Config {
	cfg = cfg.Clone()
	change(cfg)
	return cfg
}

func upTo(version uint16) func(*tls.Config) {
	return func(cfg *tls.Config) { cfg.MaxVersion = version }
}

// A front is a running listener.
type front struct {
	*Listener
	t      *testing.T
	addr   string
	config Config
	policy *Policy
	conns  *lines
	access *lines
	told   *lines // what an operator sees
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
	dialed []net.Conn
}

// startFront runs a listener until the test ends. Logs are JSON unless cfg has
// its own.
func startFront(t *testing.T, cfg Config) *front {
	t.Helper()
	f := &front{t: t, conns: &lines{}, access: &lines{}, told: &lines{}, ended: make(chan error, 1)}
	if cfg.ConnectionLog == nil {
		cfg.ConnectionLog, cfg.AccessLog = &Log{Writer: f.conns, JSON: true}, &Log{Writer: f.access, JSON: true}
	}
	f.config, f.policy = cfg, compiled(t, cfg, nil)
	f.Listener = New(f.policy, slog.New(slog.NewTextHandler(f.told, nil)))
	if err := f.Open(); err != nil {
		t.Fatal(err)
	}
	f.addr = f.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() { f.ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		f.hangUp()
		f.stop()
	})
	return f
}

func compiled(t *testing.T, cfg Config, before *Policy) *Policy {
	t.Helper()
	p, err := Compile(cfg, before)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apply puts cfg in force, with the logs of before.
func (f *front) apply(cfg Config) {
	f.t.Helper()
	cfg.ConnectionLog, cfg.AccessLog = f.policy.connLog, f.policy.accessLog
	f.policy = compiled(f.t, cfg, f.policy)
	f.Apply(f.policy)
}

// stop ends the listener and waits until nothing of it runs any more, so that the
// logs are complete.
func (f *front) stop() {
	f.once.Do(func() {
		f.t.Helper()
		f.cancel()
		select {
		case err := <-f.ended:
			if err != nil {
				f.t.Errorf("Run ended with %v", err)
			}
		case <-time.After(patience):
			f.t.Errorf("Run did not end after its context had")
		}
	})
}

// dial opens a TCP connection that is closed with the front, at the latest.
func (f *front) dial() *tap {
	f.t.Helper()
	raw, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	raw.SetDeadline(time.Now().Add(patience))
	f.dialed = append(f.dialed, raw)
	return &tap{Conn: raw}
}

// hangUp closes what dial opened.
func (f *front) hangUp() {
	for _, nc := range f.dialed {
		nc.Close()
	}
	f.dialed = nil
}

// connect does a handshake that must succeed for the client.
func (f *front) connect(cfg *tls.Config) *tls.Conn {
	f.t.Helper()
	tc := tls.Client(f.dial(), cfg)
	if err := tc.Handshake(); err != nil {
		f.t.Fatalf("handshake: %v", err)
	}
	return tc
}

// get is one request over HTTP/1.1 on a new connection; it must be answered.
func (f *front) get(cfg *tls.Config) *reply {
	f.t.Helper()
	tc := f.connect(cfg)
	defer tc.Close()
	a, err := ask(tc, request())
	if err != nil {
		f.t.Fatalf("asking: %v", err)
	}
	state := tc.ConnectionState()
	a.resumed = state.DidResume
	return a
}

// http2Client returns a client that keeps one HTTP/2 connection.
func (f *front) http2Client(cfg *tls.Config) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	tr := &http.Transport{
		TLSClientConfig: cfg, Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", f.addr) },
	}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// request is a plain GET, changed as the caller likes.
func request(lines ...string) string {
	return "GET /x HTTP/1.1\r\nHost: " + frontHost + "\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// A reply is an HTTP response whose body was read.
type reply struct {
	*http.Response
	body    string
	resumed bool
}

// ask sends a request and reads its answer.
func ask(nc net.Conn, raw string) (*reply, error) {
	if _, err := io.WriteString(nc, raw); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	return &reply{Response: r, body: string(body)}, err
}

// A tap keeps the bytes that came from the server.
type tap struct {
	net.Conn
	mu   sync.Mutex
	read []byte
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, b[:n]...)
	return n, err
}

// records returns the TLS records that came, as type and length of each. The last
// may be cut: a reset can overtake what the client has not read.
func (c *tap) records() [][2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out [][2]int
	for b := c.read; len(b) >= recordHeaderLen; {
		n := int(b[3])<<8 + int(b[4])
		out = append(out, [2]int{int(b[0]), n})
		b = b[min(recordHeaderLen+n, len(b)):]
	}
	return out
}

// lines is a log in memory.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) all() []string {
	text := strings.TrimSuffix(l.text(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// wait returns the lines once there are n.
func (l *lines) wait(t *testing.T, n int) []string {
	t.Helper()
	eventually(t, "the log's lines", func() bool { return len(l.all()) >= n })
	return l.all()
}

// entries decodes the lines, which must be n.
func (l *lines) entries(t *testing.T, n int) []map[string]any {
	t.Helper()
	all := l.wait(t, n)
	if len(all) != n {
		t.Fatalf("the log has %d lines, want %d:\n%s", len(all), n, strings.Join(all, "\n"))
	}
	out := make([]map[string]any, n)
	for i, line := range all {
		if err := json.Unmarshal([]byte(line), &out[i]); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
	}
	return out
}

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// A clock is the real one, moved forward by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// A flag is set once, and looked at from anywhere.
type flag struct{ atomic.Bool }

func (f *flag) set()        { f.Store(true) }
func (f *flag) isSet() bool { return f.Load() }

// tls is a client that has not done its handshake yet.
func (f *front) tls(cfg *tls.Config) *tls.Conn {
	f.t.Helper()
	return tls.Client(f.dial(), cfg)
}
