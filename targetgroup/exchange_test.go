package targetgroup

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDiscardedExchangesAreFreed holds that nothing, the idle timer above all, keeps an
// exchange that was not used again.
func TestDiscardedExchangesAreFreed(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer target.Close()
	g, err := New(Config{Name: "g", Targets: []TargetConfig{{Address: target.Listener.Addr().String()}}, IdleTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var freed atomic.Int64
	const n = 50
	for i := range n {
		x := new(Exchange)
		runtime.AddCleanup(x, func(int) { freed.Add(1) }, i)
		req, _ := http.NewRequest("POST", "http://target/", io.NopCloser(strings.NewReader("some body")))
		res, err := g.Do(x, req)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // before its end
			x.Discard()
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if i%2 == 1 { // after Reset, whatever that says
			x.Reset()
			x.Discard()
		}
	}
	for end := time.Now().Add(10 * time.Second); freed.Load() < n-1; runtime.GC() { // the last may be on the stack
		if time.Now().After(end) {
			t.Fatalf("%d of %d exchanges were freed", freed.Load(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestExchangeServesAgainAfterNoTargetTookIt holds that a request that found its target
// closed leaves the exchange fit for the next.
func TestExchangeServesAgainAfterNoTargetTookIt(t *testing.T) {
	g, err := New(Config{Name: "g", Targets: []TargetConfig{{Address: "127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	g.targets[0].admit(false) // as it is between a roster's publication and its use
	var x Exchange
	req, _ := http.NewRequest("GET", "http://target/", nil)
	if res, err := g.Do(&x, req); err == nil {
		res.Body.Close()
		t.Fatal("a closed target took a request")
	}
	if !x.Reset() {
		t.Error("the exchange cannot be used again")
	}
}
