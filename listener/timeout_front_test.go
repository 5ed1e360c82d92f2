package listener

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// short is a timeout that a test waits for. What the listener does after it is
// looked for with patience.
const short = 150 * time.Millisecond

// silence reports how long the server took to end a connection on which nothing
// comes, and how it did.
func silence(t *testing.T, nc net.Conn) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	nc.SetReadDeadline(began.Add(patience))
	_, err := io.Copy(io.Discard, nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the server keeps a silent connection open")
	}
	return time.Since(began), err
}

// helloOnly sends a ClientHello and no more.
func helloOnly(t *testing.T, nc net.Conn, cfg *tls.Config) {
	t.Helper()
	mute := &muteAfterFirst{Conn: nc}
	go tls.Client(mute, cfg).Handshake()
	eventually(t, "the ClientHello", mute.sent)
}

// A muteAfterFirst passes writes on and reads nothing.
type muteAfterFirst struct {
	net.Conn
	done flag
}

func (c *muteAfterFirst) sent() bool { return c.done.isSet() }

func (c *muteAfterFirst) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.done.set()
	return n, err
}

func (c *muteAfterFirst) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSilentClients(t *testing.T) {
	s := newSite(t)
	proxied := s.config(s.verify(RefuseReset))
	proxied.ProxyProtocol = &ProxyProtocolConfig{Mode: "require", TrustedSources: []string{"127.0.0.0/8"}, HeaderTimeout: short}
	hello := s.config(s.verify(RefuseReset))
	hello.Timeouts.ClientHello = short
	handshake := s.config(s.verify(RefuseReset))
	handshake.Timeouts.Handshake = short
	alerting := s.config(s.verify(RefuseAlert))
	alerting.Timeouts.Handshake = short
	trickle := func(nc net.Conn) { // would keep a deadline away that begins anew with each byte
		for range 100 {
			if _, err := nc.Write([]byte{1}); err != nil {
				return
			}
			time.Sleep(short / 10)
		}
	}
	for _, test := range []struct {
		name   string
		cfg    Config
		begin  func(*testing.T, net.Conn)
		reset  bool
		detail string
	}{
		{"no PROXY header", proxied, func(*testing.T, net.Conn) {}, true, "header_timeout"},
		{"half a PROXY header", proxied, func(t *testing.T, nc net.Conn) { nc.Write(proxyHeader(t)[:13]) }, true, "header_timeout"},
		{"no ClientHello", hello, func(*testing.T, net.Conn) {}, false, "timeout"},
		{"half a ClientHello", hello, func(t *testing.T, nc net.Conn) { nc.Write([]byte{22, 3, 1, 2, 0, 1, 0}) }, false, "timeout"},
		{"a ClientHello that trickles in", hello, func(t *testing.T, nc net.Conn) {
			nc.Write([]byte{22, 3, 1, 2, 0})
			go trickle(nc)
		}, false, "timeout"},
		{"TLS 1.2 and no second flight", handshake, func(t *testing.T, nc net.Conn) { helloOnly(t, nc, with(s.client(s.acme), upTo(tls.VersionTLS12))) }, true, "timeout"},
		{"TLS 1.3 and no second flight", handshake, func(t *testing.T, nc net.Conn) { helloOnly(t, nc, s.client(s.acme)) }, true, "timeout"},
		{"no second flight, with alerts", alerting, func(t *testing.T, nc net.Conn) { helloOnly(t, nc, s.client(s.acme)) }, false, "timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFront(t, test.cfg)
			nc := f.dial()
			test.begin(t, nc)
			took, err := silence(t, nc)
			if took < short/3 {
				t.Errorf("closed after %v, before its time", took)
			}
			// Bytes that arrive while the server hangs up turn an orderly end into a reset.
			trickles := strings.Contains(test.name, "trickles")
			if isReset(err) != test.reset && !trickles {
				t.Errorf("the connection ended with %v", err)
			}
			nc.Close()
			f.stop()
			e := f.conns.entries(t, 1)[0]
			if detail, _ := e["detail"].(string); !strings.Contains(detail, test.detail) || e["tls_verify_status"] != "Failed:UnmappedConnectionError" {
				t.Errorf("the log has %v", e)
			}
		})
	}
}

// The handshake has a time of its own: a ClientHello in the last moment leaves it whole.
func TestHandshakeTimeStartsWithTheHello(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.Timeouts.ClientHello, cfg.Timeouts.Handshake = short, patience
	f := startFront(t, cfg)
	slow := &slowReader{Conn: f.dial(), pause: 2 * short}
	if _, err := ask(tls.Client(slow, s.client(s.acme)), request()); err != nil {
		t.Errorf("a client that took %v for the handshake got %v", slow.pause, err)
	}
}

// A slowReader takes its time before it looks at the server's first flight.
type slowReader struct {
	net.Conn
	pause time.Duration
	once  flag
}

func (c *slowReader) Read(b []byte) (int, error) {
	if !c.once.isSet() {
		c.once.set()
		time.Sleep(c.pause)
	}
	return c.Conn.Read(b)
}

func TestSlowHeadersAndIdleConnections(t *testing.T) {
	s := newSite(t)
	slow := s.config(s.verify(RefuseReset))
	slow.Timeouts.RequestHeaders = short
	idle := s.config(s.verify(RefuseReset))
	idle.Timeouts.Idle = short
	for _, test := range []struct {
		name  string
		cfg   Config
		begin func(*testing.T, *front) net.Conn
	}{
		{"no request at all", slow, func(t *testing.T, f *front) net.Conn { return f.connect(s.client(s.acme)) }},
		{"half a request", slow, func(t *testing.T, f *front) net.Conn {
			tc := f.connect(s.client(s.acme))
			io.WriteString(tc, "GET / HTTP/1.1\r\nHost: front.example\r\nX-Slow: ")
			return tc
		}},
		{"no second request", idle, func(t *testing.T, f *front) net.Conn {
			tc := f.connect(s.client(s.acme))
			if _, err := ask(tc, request()); err != nil {
				t.Fatal(err)
			}
			return tc
		}},
		{"no second request over HTTP/2", idle, func(t *testing.T, f *front) net.Conn {
			c := f.connectH2(s.client(s.acme))
			c.ask(1, "/")
			c.until(1)
			return c
		}},
		{"nothing after the settings of HTTP/2", idle, func(t *testing.T, f *front) net.Conn { return f.connectH2(s.client(s.acme)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFront(t, test.cfg)
			silence(t, test.begin(t, f))
			eventually(t, "the connection to be counted out", func() bool { return f.open.Load() == 0 })
		})
	}
}

// What is over max_connections is reset, and counted.
func TestMaxConnections(t *testing.T) {
	s := newSite(t)
	reg := prometheus.NewRegistry()
	cfg := s.config(s.verify(RefuseReset))
	cfg.MaxConnections, cfg.Metrics = 2, NewMetrics(reg).Listener("front")
	f := startFront(t, cfg)
	first, second := f.connect(s.client(s.acme)), f.dial() // the second says nothing, and counts all the same
	eventually(t, "both connections", func() bool { return f.open.Load() == 2 })
	for range 3 {
		nc, err := net.Dial("tcp", f.addr)
		if err == nil {
			_, err = silence(t, nc)
			nc.Close()
		}
		if !isReset(err) {
			t.Errorf("one too many got %v, want a reset", err)
		}
	}
	if _, err := ask(first, request()); err != nil {
		t.Errorf("the first client got %v", err)
	}
	if n := series(t, reg)["rejected_connection_count{}"]; n != 3 {
		t.Errorf("%v connections counted as rejected, want 3: %v", n, series(t, reg))
	}
	second.Close()
	eventually(t, "a place", func() bool { return f.open.Load() == 1 })
	f.get(s.client(s.acme))
	f.hangUp()
	f.stop()
	if n := f.open.Load(); n != 0 || series(t, reg)["active_connection_count{}"] != 0 {
		t.Errorf("%d connections are open, metrics %v", n, series(t, reg))
	}
}
