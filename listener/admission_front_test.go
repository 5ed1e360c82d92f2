package listener

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// dialFrom opens a TCP connection from another loopback address.
func (f *front) dialFrom(ip string) net.Conn {
	f.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.Dial("tcp", f.addr)
	if err != nil {
		f.t.Skipf("no second loopback address: %v", err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	f.dialed = append(f.dialed, nc)
	return nc
}

// helloOf is the first flight of a client that goes no further.
func helloOf(t *testing.T, cfg *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, cfg).Handshake()
	hello := make([]byte, 16<<10)
	n, err := far.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// Strangers who begin handshakes and never finish them fill what there is for
// strangers, and clients that were here before do not notice.
func TestAFloodOfStrangers(t *testing.T) {
	const flood, limit, known = 2000, 256, 40
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.MaxHandshakes = limit
	f := startFront(t, cfg)
	f.get(s.client(s.acme)) // from 127.0.0.1

	hello := helloOf(t, s.client(pki.NewRoot("evil").Client("stranger")))
	for i := range flood {
		nc := f.dialFrom("127.0.0.2")
		if i%2 == 0 {
			nc.Write(hello) // half a handshake; the others stay silent
		}
	}
	eventually(t, "the flood to be cut down", func() bool {
		return len(f.conns.all()) >= flood-limit && f.admission.pending.Load() == limit
	})
	for range known {
		if a := f.get(s.client(s.acme)); a.StatusCode != 200 {
			t.Fatalf("status %d for a known client", a.StatusCode)
		}
	}
	if err := firstRead(tls.Client(f.dialFrom("127.0.0.3"), s.client(s.acme))); !isReset(err) {
		t.Errorf("one stranger more got %v, want a reset", err)
	}
	f.hangUp()
	eventually(t, "room", func() bool { return f.admission.pending.Load() == 0 })
	tc := tls.Client(f.dialFrom("127.0.0.3"), s.client(s.acme))
	if a, err := ask(tc, request()); err != nil || a.StatusCode != 200 {
		t.Errorf("after the flood a stranger got %v, %v", a, err)
	}
	refused := 0
	for _, line := range f.conns.all() {
		if strings.Contains(line, errTooManyHandshakes.Error()) {
			refused++
		}
	}
	if refused != flood-limit+1 {
		t.Errorf("the log has %d refused for want of room, want %d", refused, flood-limit+1)
	}
}

func TestAdmission(t *testing.T) {
	var a admission
	now := time.Now()
	friend, stranger := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	a.known.note(friend, now)
	for _, step := range []struct {
		client  netip.Addr
		admit   bool
		pending int64
	}{
		{stranger, true, 1}, {stranger, true, 2}, {stranger, false, 2},
		{friend, true, 3}, {stranger, false, 3}, {friend, true, 4}, {friend, false, 4},
	} {
		if got := a.enter(step.client, 2, now); got != step.admit || a.pending.Load() != step.pending {
			t.Fatalf("%s: admitted %v with %d under way, want %v with %d",
				step.client, got, a.pending.Load(), step.admit, step.pending)
		}
	}
	for range 4 {
		a.leave()
	}
	if a.pending.Load() != 0 || a.pressed(2) {
		t.Errorf("%d under way, want 0", a.pending.Load())
	}
}

func TestKnownAddresses(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		noted, asked string
		later        time.Duration
		want         bool
	}{
		{"192.0.2.1", "192.0.2.1", 0, true},
		{"192.0.2.1", "192.0.2.2", 0, false},
		{"192.0.2.1", "192.0.2.1", knownFor * time.Minute, true},
		{"192.0.2.1", "192.0.2.1", (knownFor + 1) * time.Minute, false},
		{"2001:db8::1", "2001:db8::2", 0, true},
		{"2001:db8::1", "2001:db8:0:1::1", 0, false},
		{"192.0.2.1", "2001:db8::1", 0, false},
	} {
		var k knownAddresses
		if k.has(netip.MustParseAddr(tt.asked), now) {
			t.Errorf("%s is known from the start", tt.asked)
		}
		k.note(netip.MustParseAddr(tt.noted), now)
		if got := k.has(netip.MustParseAddr(tt.asked), now.Add(tt.later)); got != tt.want {
			t.Errorf("after %s, %s is known: %v after %v, want %v", tt.noted, tt.asked, got, tt.later, tt.want)
		}
	}
}

// Only accepted clients become known.
func TestRefusedClientsStayStrangers(t *testing.T) {
	for _, on := range []Refusal{RefuseReset, RefuseAlert, RefuseForbidden} {
		s := newSite(t)
		f := startFront(t, s.config(s.verify(on)))
		here := netip.MustParseAddr("127.0.0.1")
		firstRead(tls.Client(f.dial(), s.client(pki.NewRoot("evil").Client("stranger"))))
		f.conns.wait(t, 1)
		f.hangUp()
		eventually(t, "its end", func() bool { return f.open.Load() == 0 })
		if f.admission.known.has(here, time.Now()) {
			t.Errorf("%s: known after a refusal", on)
		}
		f.get(s.client(s.acme))
		if !f.admission.known.has(here, time.Now()) {
			t.Errorf("%s: not known after a request", on)
		}
	}
}

// A client that has gone while its handshake waited costs no cryptography.
func TestGoneClientsAreDropped(t *testing.T) {
	for _, how := range []string{"closed", "reset", "still there"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		switch how {
		case "reset":
			client.(*net.TCPConn).SetLinger(0)
			client.Close()
		case "closed":
			client.Close()
		}
		if how != "still there" {
			eventually(t, "the end to arrive", func() bool { return peerGone(raw) })
		}
		p := &Policy{maxHandshakes: pressedFrom, timeouts: Timeouts{}.withDefaults()}
		c := &conn{Conn: raw, raw: raw, listener: &Listener{}, policy: p}
		if _, err := c.helloReceived(&tls.ClientHelloInfo{}); err != nil {
			t.Errorf("%s: looked though nobody waits: %v", how, err)
		}
		c.listener.admission.pending.Store(2)
		_, err = c.helloReceived(&tls.ClientHelloInfo{})
		if gone := how != "still there"; errors.Is(err, errClientGone) != gone || c.muted != gone {
			t.Errorf("%s: got %v, muted %v", how, err, c.muted)
		}
	}
}
