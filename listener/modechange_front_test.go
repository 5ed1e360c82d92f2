package listener

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// A connection that was opened while no certificate was verified does not live on
// under verify mode: its client was never judged, and targets were never told
// who it is.
func TestConnectionsFromBeforeVerifyModeEnd(t *testing.T) {
	for _, before := range []MutualAuthentication{{}, {Mode: ModePassthrough}} {
		s := newSite(t)
		f := startFront(t, s.config(before))
		tc, h2 := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
		if _, err := ask(tc, request()); err != nil {
			t.Fatal(err)
		}
		h2.ask(1, "/")
		h2.until(1)
		since := time.Now()
		f.apply(s.config(s.verify(RefuseReset)))
		ended(t, tc, since)
		if _, _, goAway := h2.until(0); !goAway {
			t.Errorf("mode %q: no GOAWAY", before.Mode)
		}
	}
}

// Nor does the other way: targets would be told of a certificate by a listener that
// no longer verifies any.
func TestConnectionsFromVerifyModeEnd(t *testing.T) {
	for _, mode := range []Mode{ModePassthrough, ModeOff} {
		s := newSite(t)
		f := startFront(t, s.config(s.verify(RefuseReset)))
		tc := f.connect(s.client(s.acme))
		if _, err := ask(tc, request()); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		f.apply(s.config(MutualAuthentication{Mode: mode}))
		ended(t, tc, since)
	}
}

// A client that is told 403 at every request is told so to the end of its
// connection, though its certificate has become acceptable.
func TestForbiddenConnectionsStaySo(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseForbidden)))
	cfg := s.client(s.otherRoot.Client("other-1"))
	tc := f.connect(cfg)
	f.conns.wait(t, 1) // the decision has been made
	s.publish(s.store, nil, s.root, s.otherRoot)
	if n := f.Recheck(); n != 0 {
		t.Errorf("Recheck closes %d connections", n)
	}
	if a, err := ask(tc, request()); err != nil || a.StatusCode != 403 {
		t.Errorf("got %v %v", a, err)
	}
	if a := f.get(cfg); a.StatusCode != 200 {
		t.Errorf("a new connection got %d", a.StatusCode)
	}
}

// After a store was replaced, the chain that counts is the new one, with its end.
func TestExpiryFollowsTheNewChain(t *testing.T) {
	s := newSite(t)
	clock := new(clock)
	cfg := s.config(s.verify(RefuseReset))
	cfg.now = clock.now
	f := startFront(t, cfg)
	tc := f.connect(s.client(s.acme))
	eventually(t, "the connection", func() bool { return len(f.live.list()) == 1 })
	// The same key and name, but for an hour only.
	short := pki.NewRoot("Partner Root", pki.Key(s.root.Key), pki.Window(time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	s.publish(s.store, nil, short)
	if n := f.Recheck(); n != 0 {
		t.Fatalf("%d connections closed", n)
	}
	clock.advance(2 * time.Hour)
	if n := f.CloseExpired(clock.now()); n != 1 {
		t.Errorf("%d connections closed, want 1", n)
	}
	ended(t, tc, time.Now())
}

// An upgraded connection is no HTTP any more, and ends all the same.
func TestUpgradedConnectionsAreJudgedAgain(t *testing.T) {
	s := newSite(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(nc, rw)
	}))
	defer target.Close()
	f := startFront(t, forwarding(t, s.config(s.verify(RefuseReset)), target.Listener.Addr().String()))
	tc := f.connect(s.client(s.acme))
	r := bufio.NewReader(tc)
	io.WriteString(tc, request("Connection: Upgrade", "Upgrade: websocket"))
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v %v", answer, err)
	}
	io.WriteString(tc, "echo")
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	since := time.Now()
	f.Recheck()
	ended(t, tc, since)
	eventually(t, "the connection to be counted out", func() bool { return f.open.Load() == 0 })
}

// In passthrough nothing is checked but the size.
func TestPassthroughBoundsTheChain(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(MutualAuthentication{Mode: ModePassthrough}))
	for _, test := range []struct {
		certificates int
		ok           bool
	}{{60, true}, {200, false}} {
		cert := s.acme.TLS()
		for len(cert.Certificate) < test.certificates {
			cert.Certificate = append(cert.Certificate, s.sub.Cert.Raw)
		}
		n := len(f.conns.all())
		_, err := ask(f.tls(presenting(s.client(nil), cert)), request())
		if (err == nil) != test.ok {
			t.Errorf("%d certificates: got %v", test.certificates, err)
		}
		want := "Success"
		if !test.ok {
			want = "Failed:ClientCertMaxSizeExceeded"
		}
		if e := f.conns.entries(t, n+1)[n]; e["tls_verify_status"] != want {
			t.Errorf("%d certificates: the log has %v", test.certificates, e)
		}
	}
}

// An HTTP listener has lines too, and none of TLS.
func TestConnectionLogOfHTTP(t *testing.T) {
	s := newSite(t)
	cfg := s.config(MutualAuthentication{})
	cfg.Protocol, cfg.Certificates = ProtocolHTTP, nil
	f := startFront(t, cfg)
	var nc net.Conn = f.dial()
	for range 2 {
		if _, err := ask(nc, request()); err != nil {
			t.Fatal(err)
		}
	}
	e := f.conns.entries(t, 1)[0]
	for _, requests := range f.access.entries(t, 2) {
		if requests["conn_trace_id"] != e["conn_trace_id"] || requests["conn_trace_id"] == nil {
			t.Errorf("connection %v, request %v", e["conn_trace_id"], requests["conn_trace_id"])
		}
	}
	if e["tls_verify_status"] != nil || e["tls_protocol"] != nil || e["client_ip"] != "127.0.0.1" {
		t.Errorf("the log has %v", e)
	}
}
