package targetgroup

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkPick isolates the choice of a target in a group whose targets are all
// equally busy, which is the longest search for least_outstanding_requests. It
// shows nothing of the contention between cores on the counters.
func BenchmarkPick(b *testing.B) {
	for _, algorithm := range []Algorithm{RoundRobin, LeastOutstandingRequests, WeightedRandom} {
		for _, n := range []int{3, 100} {
			b.Run(fmt.Sprintf("algorithm=%s/targets=%d", algorithm, n), func(b *testing.B) {
				busy := make([]int64, n)
				for i := range busy {
					busy[i] = 1
				}
				r := testRoster(algorithm, testTargets(busy...))
				b.ReportAllocs()
				var turn uint64
				for b.Loop() {
					r.pick(turn)
					turn++
				}
			})
		}
	}
}

// BenchmarkRoundTrip sets a group beside the bare transport that it uses, over
// loopback with kept-alive connections: the difference is what the group costs.
// The target runs in the same process, so the whole is no measure of a proxy.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	b.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "http://")
	g, err := New(Config{Name: "bench", Targets: []TargetConfig{{Address: address}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	cfg := Config{}.WithDefaults()
	for _, body := range []string{"", "some data"} {
		for name, rt := range map[string]http.RoundTripper{"bare": newTransport(&cfg, address, nil), "group": g} {
			b.Run(fmt.Sprintf("body=%d/transport=%s", len(body), name), func(b *testing.B) {
				benchmarkRoundTrip(b, rt, s.URL, body)
			})
		}
	}
}

func benchmarkRoundTrip(b *testing.B, rt http.RoundTripper, url, body string) {
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, url, nil)
		req.Header["User-Agent"] = []string{"bench"}
		if body != "" {
			req.Body, req.ContentLength = &opaqueBody{*strings.NewReader(body)}, int64(len(body))
		}
		res, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// An opaqueBody is a body that net/http does not know to be in memory, as that of
// a server's request is not: it writes the headers by themselves first.
type opaqueBody struct{ strings.Reader }

func (*opaqueBody) Close() error { return nil }

// BenchmarkBookkeeping is what a group does for a request besides sending it:
// picking, entering and leaving the target, and the idle timer.
func BenchmarkBookkeeping(b *testing.B) {
	g, err := New(Config{Name: "bench", Targets: []TargetConfig{{Address: "127.0.0.1:1"}, {Address: "127.0.0.1:2"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	req := httptest.NewRequest(http.MethodGet, "http://bench.example/", nil)
	req.Header["User-Agent"] = []string{"bench"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var x Exchange
		for pb.Next() {
			if err := g.dispatch(&x.call, req.Context()); err != nil {
				b.Error(err)
				return
			}
			x.call.outgoing(req, g.scheme)
			x.call.finish()
			x.Reset()
		}
	})
}
