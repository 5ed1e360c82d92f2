package listener

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// closedWithin is the promise: what is no longer acceptable is gone by then. The
// slack is for a machine that is busy with other things.
const (
	closedWithin = time.Second
	slack        = 4 * time.Second
)

// ended reads until the connection ends, which must be soon.
func ended(t *testing.T, nc net.Conn, since time.Time) []byte {
	t.Helper()
	nc.SetReadDeadline(since.Add(closedWithin + slack))
	rest, err := io.ReadAll(nc)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Errorf("the connection is still open after %v", time.Since(since))
	}
	return rest
}

// An h2 is a connection that speaks HTTP/2 frame by frame.
type h2 struct {
	*tls.Conn
	*http2.Framer
	t *testing.T
}

// connectH2 opens an HTTP/2 connection on which one request was answered.
func (f *front) connectH2(cfg *tls.Config) *h2 {
	f.t.Helper()
	tc := f.connect(with(cfg, func(cfg *tls.Config) { cfg.NextProtos = []string{"h2"} }))
	io.WriteString(tc, http2.ClientPreface)
	c := &h2{tc, http2.NewFramer(tc, tc), f.t}
	c.WriteSettings()
	return c
}

// ask sends a request for path on a stream.
func (c *h2) ask(stream uint32, path string) {
	c.t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", frontHost}, {":path", path}} {
		enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	if err != nil {
		c.t.Fatal(err)
	}
}

// until reads frames until a stream ends (goAway false) or the connection does.
// It returns the body and whether a GOAWAY came.
func (c *h2) until(stream uint32) (body string, complete, goAway bool) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(closedWithin + slack))
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				c.t.Error("the connection is still open")
			}
			return body, complete, goAway
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			goAway = goAway || frame.ErrCode == http2.ErrCodeNo
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				c.WriteSettingsAck()
			}
		case *http2.DataFrame:
			body += string(frame.Data())
			complete = complete || frame.StreamEnded()
			if stream != 0 && complete {
				return body, complete, goAway
			}
		}
	}
}

// A slowTarget answers when it is told to.
func slowTarget(t *testing.T) (address string, asked chan string, release chan struct{}) {
	asked, release = make(chan string, 16), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			io.WriteString(w, "quick")
			return
		}
		asked <- r.URL.Path
		select {
		case <-release:
			io.WriteString(w, strings.Repeat("slow", 1000))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked, release
}

// distrust lists the ways in which a client that was let in stops being welcome.
func distrust(t *testing.T) map[string]func(s *site, f *front) {
	filter, err := trust.NewFilter(trust.FilterConfig{SubjectCN: []string{"other-*"}})
	if err != nil {
		t.Fatal(err)
	}
	reload := func(s *site, f *front, m MutualAuthentication) {
		cfg := s.config(m)
		cfg.DefaultActions, cfg.Backends = f.config.DefaultActions, f.config.Backends
		f.apply(cfg)
	}
	return map[string]func(*site, *front){
		"revoked": func(s *site, f *front) {
			s.store.SetRevocations(s.revokes(s.sub, s.acme))
			f.Recheck()
		},
		"store replaced": func(s *site, f *front) {
			s.publish(s.store, nil, pki.NewRoot("Another Root"), s.otherRoot)
			f.Recheck()
		},
		"filters": func(s *site, f *front) {
			m := s.verify(RefuseReset)
			m.Trust = &trust.Policy{Filters: []trust.Filter{filter}}
			reload(s, f, m)
		},
		"another store": func(s *site, f *front) {
			m := s.verify(RefuseForbidden)
			m.Store = s.newStore("others", s.otherRoot)
			reload(s, f, m)
		},
	}
}

func TestLiveConnectionsAreJudgedAgain(t *testing.T) {
	for name, change := range distrust(t) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.publish(s.store, nil, s.root, s.otherRoot)
			address, asked, release := slowTarget(t)
			f := startFront(t, forwarding(t, s.config(s.verify(RefuseReset)), address))
			acme := s.client(s.acme)

			welcome := f.connect(s.client(s.otherRoot.Client("other-1")))
			silent := f.connect(acme) // has asked nothing yet
			idle := f.connect(acme)
			askQuick(t, welcome)
			askQuick(t, idle)
			idleH2 := f.connectH2(acme)
			idleH2.ask(1, "/quick")
			idleH2.until(1)
			busy, busyH2 := f.connect(acme), f.connectH2(acme)
			io.WriteString(busy, "GET /slow1 HTTP/1.1\r\nHost: front.example\r\n\r\n")
			<-asked
			busyH2.ask(1, "/slow2")
			<-asked
			eventually(t, "all connections", func() bool { return len(f.live.list()) == 6 })

			since := time.Now()
			change(s, f)
			if rest := ended(t, silent, since); len(rest) > 0 {
				t.Errorf("a connection without requests was sent %q", rest)
			}
			if rest := ended(t, idle, since); len(rest) > 0 {
				t.Errorf("an idle connection was sent %q", rest)
			}
			if _, _, goAway := idleH2.until(0); !goAway {
				t.Error("an idle HTTP/2 connection got no GOAWAY")
			}
			close(release)
			if rest := ended(t, busy, since); !bytes.Contains(rest, []byte("Connection: close")) || !bytes.HasSuffix(rest, []byte("slow\r\n0\r\n\r\n")) {
				t.Errorf("the response in flight was %.300q", rest)
			}
			if body, complete, goAway := busyH2.until(0); !complete || !goAway || len(body) != 4000 {
				t.Errorf("the HTTP/2 response in flight: %d bytes, complete %v, GOAWAY %v", len(body), complete, goAway)
			}
			askQuick(t, welcome)
			if told := f.told.text(); strings.Count(told, "no longer accepted") != 5 {
				t.Errorf("the operator was told\n%s", told)
			}
		})
	}
}

func askQuick(t *testing.T, nc net.Conn) {
	t.Helper()
	if a, err := ask(nc, "GET /quick HTTP/1.1\r\nHost: front.example\r\n\r\n"); err != nil || a.body != "quick" {
		t.Fatalf("got %v, %v", a, err)
	}
}

// A response that takes too long is cut.
func TestLongResponsesAreCut(t *testing.T) {
	s := newSite(t)
	address, asked, _ := slowTarget(t)
	f := startFront(t, forwarding(t, s.config(s.verify(RefuseReset)), address))
	busy, busyH2 := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
	io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: front.example\r\n\r\n")
	busyH2.ask(1, "/slow")
	<-asked
	<-asked
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	since := time.Now()
	if n := f.Recheck(); n != 2 {
		t.Errorf("Recheck closes %d connections, want 2", n)
	}
	if rest := ended(t, busy, since); len(rest) > 0 {
		t.Errorf("got %q", rest)
	}
	busyH2.until(0)
	eventually(t, "both to be counted out", func() bool { return f.open.Load() == 0 })
}

// A revocation that comes while the handshake runs is not overlooked.
func TestRevokedDuringTheHandshake(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseReset)))
	p := compiled(t, f.config, f.policy)
	p.tlsBase.KeyLogWriter = writerFunc(func([]byte) { // runs between the decision and the end of the handshake
		s.store.SetRevocations(s.revokes(s.sub, s.acme))
		f.Recheck()
	})
	f.Apply(p)
	tc := f.connect(with(s.client(s.acme), upTo(tls.VersionTLS12)))
	ended(t, tc, time.Now())
	eventually(t, "the connection to be counted out", func() bool { return f.open.Load() == 0 })
}

// Connections last, and lists are long: a connection must not keep the lists that
// were in force when it was made.
func TestConnectionsKeepNoRevocations(t *testing.T) {
	s := newSite(t)
	set := s.revokes(s.sub, s.sub.Client("other"))
	gone := make(chan struct{})
	runtime.AddCleanup(set, func(gone chan struct{}) { close(gone) }, gone)
	s.store.SetRevocations(set)
	set = nil
	f := startFront(t, s.config(s.verify(RefuseReset)))
	tc := f.connect(s.client(s.acme))
	if _, err := ask(tc, request()); err != nil {
		t.Fatal(err)
	}
	s.store.SetRevocations(nil)
	f.Recheck()
	eventually(t, "the lists of old to be collected", func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	if _, err := ask(tc, request()); err != nil {
		t.Errorf("the connection has ended: %v", err)
	}
}

type writerFunc func([]byte)

func (w writerFunc) Write(b []byte) (int, error) { w(b); return len(b), nil }

// A certificate that ends while its holder is connected ends the connection.
func TestExpiredWhileConnected(t *testing.T) {
	s := newSite(t)
	clock := new(clock)
	cfg := s.config(s.verify(RefuseReset))
	cfg.now = clock.now
	f := startFront(t, cfg)
	brief := f.connect(s.client(s.sub.Client("brief", pki.Window(time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))))
	long := f.connect(s.client(s.acme))
	for _, tc := range []net.Conn{brief, long} {
		if _, err := ask(tc, request()); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.CloseExpired(clock.now()); n != 0 {
		t.Errorf("%d connections closed before anything has expired", n)
	}
	clock.advance(2 * time.Hour)
	if n := f.CloseExpired(clock.now()); n != 1 {
		t.Errorf("%d connections closed, want 1", n)
	}
	ended(t, brief, time.Now())
	if _, err := ask(long, request()); err != nil {
		t.Errorf("the other client got %v", err)
	}
}

// With ignore_client_certificate_expiry the same client stays.
func TestExpiryIgnoredWhileConnected(t *testing.T) {
	s := newSite(t)
	clock := new(clock)
	m := s.verify(RefuseReset)
	m.Trust = &trust.Policy{IgnoreExpiry: true}
	cfg := s.config(m)
	cfg.now = clock.now
	f := startFront(t, cfg)
	tc := f.connect(s.client(s.sub.Client("brief", pki.Window(time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))))
	clock.advance(2 * time.Hour)
	if n := f.CloseExpired(clock.now()); n != 0 {
		t.Errorf("%d connections closed", n)
	}
	if _, err := ask(tc, request()); err != nil {
		t.Errorf("the client got %v", err)
	}
}
