package listener

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// The header comes first, TLS after it.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	s := newSite(t)
	target := newRawTarget(t)
	cfg := forwarding(t, s.config(s.verify(RefuseReset)), target.Addr().String())
	cfg.ProxyProtocol = &ProxyProtocolConfig{Mode: "require", TrustedSources: []string{"127.0.0.0/8"}}
	f := startFront(t, cfg)
	local := formatHeader(t, &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC})
	for i, test := range []struct {
		header    []byte
		client    string
		endpoint  any
		forwarded string
	}{
		{proxyHeader(t, endpointTLV(testEndpoint)), "192.0.2.7", testEndpoint, "X-Forwarded-For: 203.0.113.9, 192.0.2.7"},
		{proxyHeader6(t), "2001:db8::7", nil, "X-Forwarded-For: 203.0.113.9, 2001:db8::7"},
		{local, "127.0.0.1", nil, "X-Forwarded-For: 203.0.113.9, 127.0.0.1"},
	} {
		nc := f.dial()
		nc.Write(test.header)
		if _, err := ask(tls.Client(nc, s.client(s.acme)), request("X-Forwarded-For: 203.0.113.9")); err != nil {
			t.Fatal(err)
		}
		if got := target.headers("x-forwarded-for"); len(got) != 1 || got[0] != test.forwarded {
			t.Errorf("the target got %q, want %q", got, test.forwarded)
		}
		_, port, _ := net.SplitHostPort(f.addr)
		for _, log := range []*lines{f.conns, f.access} {
			e := log.entries(t, i+1)[i]
			if e["vpce_id"] != test.endpoint {
				t.Errorf("vpce_id is %v, want %v", e["vpce_id"], test.endpoint)
			}
		}
		e := f.conns.entries(t, i+1)[i]
		if e["client_ip"] != test.client || fmt.Sprint(e["listener_port"]) != port || e["tls_verify_status"] != "Success" {
			t.Errorf("the log has %v", e)
		}
	}
	// TLS without the header is refused before any of it is read.
	if err := firstRead(tls.Client(f.dial(), s.client(s.acme))); !isReset(err) {
		t.Errorf("without the header the client got %v", err)
	}
	if e := f.conns.entries(t, 4)[3]; e["tls_verify_status"] != "Failed:UnmappedConnectionError" || !strings.Contains(e["detail"].(string), "header_missing") {
		t.Errorf("the log has %v", e)
	}
}

// Rules apply from the next request on; connections stay, whichever net/http
// server has them.
func TestApplyWithOpenConnections(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	f := startFront(t, cfg)
	old := f.connect(s.client(s.acme))
	oldH2 := f.connectH2(s.client(s.acme))
	for i, idle := range []time.Duration{0, 0, 70 * time.Second, 80 * time.Second} {
		body := fmt.Sprint("version ", i)
		cfg.DefaultActions, cfg.Timeouts.Idle = fixed(200, body), idle
		f.apply(cfg)
		oldH2.ask(uint32(2*i+1), "/")
		if got, _, _ := oldH2.until(1); got != body {
			t.Errorf("an old HTTP/2 connection got %q, want %q", got, body)
		}
		for name, nc := range map[string]net.Conn{"old": old, "new": f.connect(s.client(s.acme))} {
			if a, err := ask(nc, request()); err != nil || a.body != body {
				t.Errorf("a connection that is %s got %v %v, want %q", name, a, err, body)
			}
		}
	}
	cfg.HTTP2 = false
	f.apply(cfg)
	tc := f.connect(with(s.client(s.acme), func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }))
	if got := tc.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("ALPN chose %q", got)
	}
	// The way in changes for new connections only.
	cfg.SecurityPolicy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
	f.apply(cfg)
	if err := firstRead(tls.Client(f.dial(), with(s.client(s.acme), upTo(tls.VersionTLS12)))); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2 got %v", err)
	}
	if _, err := ask(old, request()); err != nil {
		t.Errorf("the old connection got %v", err)
	}
}

func TestDrain(t *testing.T) {
	s := newSite(t)
	address, asked, release := slowTarget(t)
	f := startFront(t, forwarding(t, s.config(s.verify(RefuseReset)), address))
	idle, idleH2 := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
	askQuick(t, idle)
	idleH2.ask(1, "/quick")
	idleH2.until(1)
	busy, busyH2 := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
	io.WriteString(busy, request())
	busyH2.ask(1, "/slow")
	<-asked
	<-asked
	f.cancel()
	eventually(t, "the socket to close", func() bool {
		nc, err := net.Dial("tcp", f.addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	ended(t, idle, time.Now())
	if _, _, goAway := idleH2.until(0); !goAway {
		t.Error("an idle HTTP/2 connection got no GOAWAY")
	}
	select {
	case <-f.ended:
		t.Fatal("Run ended while requests were in flight")
	default:
	}
	close(release)
	rest := ended(t, busy, time.Now())
	if !strings.Contains(string(rest), "Connection: close\r\n") || !strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("the response in flight was %.300q", rest)
	}
	if body, complete, goAway := busyH2.until(0); !complete || !goAway || len(body) != 4000 {
		t.Errorf("the HTTP/2 response in flight: %d bytes, complete %v, GOAWAY %v", len(body), complete, goAway)
	}
	f.stop()
	f.access.entries(t, 4)
}

// What does not end in the drain timeout is cut, a handshake that hangs too.
func TestDrainEnds(t *testing.T) {
	s := newSite(t)
	address, asked, _ := slowTarget(t)
	cfg := forwarding(t, s.config(s.verify(RefuseReset)), address)
	cfg.Timeouts.Drain, cfg.Timeouts.ClientHello = short, time.Hour
	f := startFront(t, cfg)
	busy, silent := f.connect(s.client(s.acme)), f.dial()
	io.WriteString(busy, request())
	<-asked
	eventually(t, "both connections", func() bool { return f.open.Load() == 2 })
	f.stop()
	ended(t, busy, time.Now())
	ended(t, silent, time.Now())
	if n := f.open.Load(); n != 0 {
		t.Errorf("%d connections are still counted", n)
	}
}

// Nothing of a listener runs after Run has ended, however its connections ended.
func TestRunLeavesNoGoroutine(t *testing.T) {
	s := newSite(t)
	address, asked, release := slowTarget(t)
	cfg := forwarding(t, s.config(s.verify(RefuseReset)), address)
	cfg.MaxConnections = 40
	f := startFront(t, cfg)
	acme := s.client(s.acme)
	for range 3 {
		askQuick(t, f.connect(acme))
		firstRead(tls.Client(f.dial(), s.client(nil)))
		f.dial().Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		f.dial() // silent
		io.WriteString(f.connect(acme), "GET /quick HTTP/1.1\r\nHost: front.example\r\n\r\n")
		f.connectH2(acme).ask(1, "/quick")
	}
	busy := f.connectH2(acme)
	busy.ask(1, "/slow")
	<-asked
	cfg.Timeouts.Idle = 90 * time.Second
	f.apply(cfg) // a second net/http server
	f.connect(acme)
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	f.Recheck()
	close(release)
	f.hangUp()
	f.stop()
	if n := f.open.Load() + int64(len(f.live.list())); n != 0 {
		t.Errorf("%d connections are still counted", n)
	}
	eventually(t, "the goroutines to end:\n"+leftovers(), func() bool { return leftovers() == "" })
}

// leftovers returns the stacks of goroutines that a listener started.
func leftovers() string {
	buf := make([]byte, 1<<20)
	var out []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, mark := range []string{"listener.(*Listener).", "listener.(*serving).", "listener.(*feed).", "listener.(*conn)."} {
			if strings.Contains(stack, mark) {
				out = append(out, stack)
				break
			}
		}
	}
	return strings.Join(out, "\n\n")
}

// The address in the log is the one that the client reached, in IPv6 too.
func TestListenerOnIPv6(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.Address = "[::1]:0"
	probe, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		t.Skip("no IPv6 here")
	}
	probe.Close()
	f := startFront(t, cfg)
	f.get(s.client(s.acme))
	e := f.conns.entries(t, 1)[0]
	if e["client_ip"] != netip.IPv6Loopback().String() || e["ip_address"] != netip.IPv6Loopback().String() {
		t.Errorf("the log has %v", e)
	}
}

// A socket that is lost while it should serve is an error of Run, so that package
// lb ends the process and does not go on deaf.
func TestRunTellsOfALostSocket(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseReset)))
	f.get(s.client(s.acme))
	f.Listener.mu.Lock()
	f.ln.Close()
	f.Listener.mu.Unlock()
	f.hangUp()
	select {
	case err := <-f.ended:
		if err == nil || !strings.Contains(err.Error(), "the socket was closed") {
			t.Errorf("Run ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("Run goes on without its socket")
	}
	f.ended <- nil // for stop
}
