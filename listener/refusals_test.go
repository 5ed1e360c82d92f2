package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// record is one of a client with so many bytes of certificates.
func record(id string, der int) *RefusalRecord {
	return &RefusalRecord{ID: id, Chain: []*x509.Certificate{{Raw: make([]byte, der)}}}
}

func TestRefusalsAreBoundedByNumberAndBytes(t *testing.T) {
	rs := NewRefusals(3)
	for i := range 5 {
		rs.add(record(fmt.Sprint(i), 100))
	}
	if rs.Len() != 3 || rs.Find("1") != nil || rs.Find("2") == nil || rs.Find("4") == nil {
		t.Errorf("%d kept", rs.Len())
	}
	rs.Resize(MaxRefusals + 1)
	if rs.limit != MaxRefusals {
		t.Errorf("limit %d", rs.limit)
	}
	for i := range 1000 {
		rs.add(record(fmt.Sprint("large", i), trust.MaxChainBytes))
	}
	want := MaxRefusalBytes / (parsedFactor*trust.MaxChainBytes + refusalBytes)
	if rs.Len() != want || rs.bytes > MaxRefusalBytes || len(rs.byID) != want {
		t.Errorf("%d kept, %d by id, in %d bytes; want %d in at most %d", rs.Len(), len(rs.byID), rs.bytes, want, MaxRefusalBytes)
	}
	rs.Resize(0)
	rs.add(record("x", 1))
	if rs.Len() != 0 || len(rs.byID) != 0 || rs.bytes != 0 || !rs.off() {
		t.Errorf("%d kept in %d bytes by nobody's wish", rs.Len(), rs.bytes)
	}
}

func TestRefusalsAreFoundByEitherID(t *testing.T) {
	rs := NewRefusals(1)
	c := &conn{traceID: NewConnTraceID()}
	rs.add(record(c.refusalID(), 1))
	first, second := c.newRefusalID(), c.newRefusalID()
	if first == second {
		t.Error("two answers with one id")
	}
	for _, id := range []string{c.traceID, c.refusalID(), first, second} {
		if rs.Find(id) == nil {
			t.Errorf("%s is not found", id)
		}
	}
	for _, id := range []string{"", "TID_", "-", strings.Repeat("0", 32), strings.Repeat(c.refusalID(), 100)} {
		if rs.Find(id) != nil {
			t.Errorf("%q finds a record", id)
		}
	}
}

// TestRefusalsHoldOnToNoList: a record must not keep a revocation list in memory that
// was replaced, nor the bundle.
func TestRefusalsHoldOnToNoList(t *testing.T) {
	s := newSite(t)
	revoked := s.sub.Client("revoked")
	set := s.revokes(s.sub, revoked)
	s.store.SetRevocations(set)
	list, snapshot := weak.Make(set), weak.Make(s.store.Snapshot())
	cfg := s.config(s.verify(RefuseReset))
	cfg.Refusals = NewRefusals(10)
	f := startFront(t, cfg)
	if err := firstRead(tls.Client(f.dial(), s.client(revoked))); err == nil {
		t.Fatal("let in")
	}
	f.hangUp()
	eventually(t, "a record", func() bool { return cfg.Refusals.Len() == 1 })
	kept := cfg.Refusals.List(1, func(*RefusalRecord) bool { return true })[0]
	if kept.Explanation == nil || kept.Reason != trust.ClientCertCrlHit || kept.Client != netip.MustParseAddr("127.0.0.1") {
		t.Fatalf("kept %+v", kept)
	}
	bundle, err := trust.ParseBundle(pki.NewRoot("new").PEM(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	set = nil
	s.store.Publish(bundle, nil, "2")
	eventually(t, "the list and the bundle to be let go", func() bool {
		runtime.GC()
		return list.Value() == nil && snapshot.Value() == nil
	})
	runtime.KeepAlive(kept)
}

// TestRefusalsHaveClosedConnections: who was let in and is put out is on record too.
func TestRefusalsHaveClosedConnections(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.Refusals = NewRefusals(10)
	f := startFront(t, cfg)
	tc := f.connect(s.client(s.acme))
	if _, err := ask(tc, request()); err != nil {
		t.Fatal(err)
	}
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	if n := f.Recheck(); n != 1 {
		t.Fatalf("%d connections closed", n)
	}
	kept := cfg.Refusals.List(2, func(*RefusalRecord) bool { return true })
	if len(kept) != 1 || !kept[0].Closed || kept[0].Reason != trust.ClientCertCrlHit || kept[0].Explanation == nil || kept[0].Subject == "" {
		t.Errorf("kept %+v", kept)
	}
}

// BenchmarkKeepRefusal is what a record adds to a refused handshake: in a flood, when
// no more are explained, and before. It leaves out the handshake itself.
func BenchmarkKeepRefusal(b *testing.B) {
	root, now := pki.NewRoot("root"), time.Now()
	bundle, err := trust.ParseBundle(root.PEM(), now)
	if err != nil {
		b.Fatal(err)
	}
	store := trust.NewStore("partners", trust.Options{})
	store.Publish(bundle, nil, "1")
	chain := pki.NewRoot("unknown").Intermediate("sub").Client("c").Chain()
	for _, explained := range []bool{false, true} {
		b.Run(fmt.Sprintf("explained=%v", explained), func(b *testing.B) {
			rs := NewRefusals(256)
			rs.explain.limit = map[bool]int{false: 0, true: 1 << 30}[explained]
			p := &Policy{name: "front", refusals: rs, now: time.Now, mtls: MutualAuthentication{Mode: ModeVerify, Store: store}}
			b.ReportAllocs()
			for b.Loop() {
				c := &conn{policy: p, traceID: NewConnTraceID(), presented: chain, verdict: store.Verify(chain, nil, now)}
				c.keepRefusal(c.verdict.Reason, c.verdict.Detail)
			}
		})
	}
}
