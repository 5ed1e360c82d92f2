package yield_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/postern-lb/postern/internal/yield"
)

// TestNetworkGetsATurn yields on the only processor while a server and a client
// of this process exchange bytes over a socket. Each yield lets the exchange go
// on; with runtime.Gosched in its place nearly none does.
func TestNetworkGetsATurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const exchanges, most = 500, 10_000
	done := make(chan struct{})
	go exchange(t, exchanges, done)
	var turn yield.Turn
	defer turn.Close()
	for yields := 0; ; yields++ {
		select {
		case <-done:
			t.Logf("%d exchanges in %d yields", exchanges, yields)
			return
		default:
		}
		if yields == most {
			t.Fatalf("%d yields were not enough for %d exchanges", yields, exchanges)
		}
		turn.Yield()
	}
}

// exchange sends a byte back and forth n times.
func exchange(t *testing.T, n int, done chan<- struct{}) {
	defer close(done)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return
	}
	defer ln.Close()
	go echo(ln)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	b := make([]byte, 1)
	for range n {
		if _, err := c.Write(b); err != nil {
			t.Error(err)
			return
		}
		if _, err := c.Read(b); err != nil {
			t.Error(err)
			return
		}
	}
}

func echo(ln net.Listener) {
	c, err := ln.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
		c.Write(b)
	}
}

func TestNilAndClosed(t *testing.T) {
	var none *yield.Turn
	none.Yield()
	none.Close()
	var turn yield.Turn
	turn.Close()
	turn.Yield()
	turn.Close()
	turn.Yield()
	turn.Close()
}

// BenchmarkYield is a turn that nobody else takes.
func BenchmarkYield(b *testing.B) {
	var turn yield.Turn
	defer turn.Close()
	b.ReportAllocs()
	for b.Loop() {
		turn.Yield()
	}
}
