package listener

import (
	"crypto/x509"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/postern-lb/postern/trust"
)

// chainOf returns a chain of n certificates, the first of which has a number.
func chainOf(number, n int) []*x509.Certificate {
	out := make([]*x509.Certificate, n)
	for i := range out {
		out[i] = &x509.Certificate{Raw: binary.BigEndian.AppendUint64(nil, uint64(number+i))}
	}
	return out
}

// Connections come, are served and go in any order; the index must have them all,
// those of one chain beside each other.
func TestLiveIndexAgainstAModel(t *testing.T) {
	var l live
	random := rand.New(rand.NewPCG(1, 2))
	var beginning, served []*conn
	for range 20_000 {
		switch n := random.IntN(3); {
		case n == 0 || len(beginning) == 0:
			c := &conn{}
			if number := random.IntN(60); number > 0 {
				c.verdict, c.presented = &trust.Verdict{Accepted: true}, chainOf(number/2, 1+number%2)
			}
			l.add(c)
			beginning = append(beginning, c)
		case n == 1:
			c := take(random, &beginning)
			l.serve(c)
			served = append(served, c)
		default:
			from := &beginning
			if len(served) > random.IntN(200) {
				from = &served
			}
			if c := take(random, from); !l.remove(c) || l.remove(c) {
				t.Fatal("a connection is not removed exactly once")
			}
		}
		if random.IntN(100) == 0 {
			compareLive(t, &l, beginning, served)
		}
	}
	for _, c := range slices.Concat(beginning, served) {
		l.remove(c)
	}
	if len(l.clients) > 0 || l.open != 0 || l.anonymous.conns != nil || l.beginning.conns != nil {
		t.Errorf("%d clients, %d connections are left", len(l.clients), l.open)
	}
	<-l.drained()
}

func take(random *rand.Rand, list *[]*conn) *conn {
	i := random.IntN(len(*list))
	c := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return c
}

func compareLive(t *testing.T, l *live, beginning, served []*conn) {
	t.Helper()
	if got := l.starting(); !sameConns(got, beginning) {
		t.Fatalf("%d connections begin, want %d", len(got), len(beginning))
	}
	got := l.list()
	if !sameConns(got, served) {
		t.Fatalf("%d connections are served, want %d", len(got), len(served))
	}
	over := make(map[*peer]bool)
	for i, c := range got {
		if i > 0 && got[i-1].peer != c.peer {
			over[got[i-1].peer] = true
		}
		if over[c.peer] {
			t.Fatal("the connections of a client are not beside each other")
		}
		if !slices.EqualFunc(c.presented, c.peer.conns.presented, (*x509.Certificate).Equal) {
			t.Fatal("a client has connections with different chains")
		}
	}
}

func sameConns(a, b []*conn) bool {
	set := make(map[*conn]bool)
	for _, c := range a {
		set[c] = true
	}
	for _, c := range b {
		if !set[c] {
			return false
		}
	}
	return len(a) == len(b) && len(set) == len(a)
}

// Chains whose keys are equal are told apart.
func TestLiveIndexWithEqualKeys(t *testing.T) {
	var l live
	var conns []*conn
	for range 3 { // the same leaf, of which the key is made, in company that grows
		for n := 1; n <= 3; n++ {
			c := &conn{verdict: &trust.Verdict{Accepted: true}, presented: chainOf(7, n)}
			l.add(c)
			l.serve(c)
			conns = append(conns, c)
		}
	}
	compareLive(t, &l, nil, conns)
	if len(l.clients) != 1 {
		t.Fatalf("%d keys, want 1", len(l.clients))
	}
	for i, c := range conns {
		l.remove(c)
		compareLive(t, &l, nil, conns[i+1:])
	}
	if len(l.clients) != 0 {
		t.Errorf("%d keys are left", len(l.clients))
	}
}

// TestLiveIndexIsSmall holds the index to its promise: less than 100 bytes a
// connection if each has a client of its own, the links in the connection included.
func TestLiveIndexIsSmall(t *testing.T) {
	const n, links = 10_000, 24
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = &conn{verdict: &trust.Verdict{Accepted: true}, presented: chainOf(10*i, 1)}
	}
	var l live
	before := heap()
	for _, c := range conns {
		l.add(c)
		l.serve(c)
	}
	each := links + int(heap()-before)/n
	t.Logf("%d bytes a connection", each)
	if each >= 100 || each <= links {
		t.Errorf("the index takes %d bytes a connection", each)
	}
	runtime.KeepAlive(conns)
	runtime.KeepAlive(&l)
}

// heap is how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
