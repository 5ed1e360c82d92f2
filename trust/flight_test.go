package trust

import (
	"crypto/x509"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// slowly is a search that waits for the gate and counts.
func slowly(gate <-chan struct{}, running, most, total *atomic.Int32) func(*anchors, []*x509.Certificate) ([]path, error) {
	return func(a *anchors, chain []*x509.Certificate) ([]path, error) {
		n := running.Add(1)
		defer running.Add(-1)
		total.Add(1)
		for {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		<-gate
		return a.search(chain)
	}
}

func TestConcurrentEqualChainsAreVerifiedOnce(t *testing.T) {
	root := pki.NewRoot("root")
	chain, other := root.Client("acme-1").Chain(), root.Client("beta").Chain()
	b, now := memoBundle(t, root), time.Now()
	acme, err := NewFilter(FilterConfig{SubjectCN: []string{"acme-*"}})
	if err != nil {
		t.Fatal(err)
	}
	beta, err := NewFilter(FilterConfig{SubjectCN: []string{"beta"}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var running, most, total atomic.Int32
		gate := make(chan struct{})
		s := NewStore("s", Options{MaxConcurrent: 10, search: slowly(gate, &running, &most, &total)})
		s.Publish(b, nil, "")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				// Company shares the search, not the decision.
				if i%2 == 0 {
					wantHit(t, s.Verify(chain, &Policy{Filters: []Filter{acme}}, now), false)
				} else {
					wantRefusal(t, s.Verify(chain, &Policy{Filters: []Filter{beta}}, now), ClientCertRejected)
				}
			})
		}
		wg.Go(func() { wantHit(t, s.Verify(other, nil, now), false) })
		synctest.Wait()
		if got := s.Stats().InFlight; got != 2 {
			t.Errorf("%d searches in flight for two chains", got)
		}
		close(gate)
		wg.Wait()
		if got := total.Load(); got != 2 {
			t.Errorf("%d searches for two chains", got)
		}
	})
}

func TestVerificationsAreBounded(t *testing.T) {
	root := pki.NewRoot("root")
	var chains [][]*x509.Certificate
	for range 6 {
		chains = append(chains, root.Client("c").Chain())
	}
	known := root.Client("known").Chain()
	b, now := memoBundle(t, root), time.Now()
	synctest.Test(t, func(t *testing.T) {
		var running, most, total atomic.Int32
		gate := make(chan struct{}, 10)
		s := NewStore("s", Options{MaxConcurrent: 2, VerifyWait: time.Second, search: slowly(gate, &running, &most, &total)})
		s.Publish(b, nil, "")
		gate <- struct{}{}
		wantHit(t, s.Verify(known, nil, now), false)

		var wg sync.WaitGroup
		var busy atomic.Int32
		for _, chain := range chains {
			wg.Go(func() {
				if v := s.Verify(chain, nil, now); v.Busy && v.Reason == UnmappedConnectionError {
					busy.Add(1)
				} else {
					wantHit(t, v, false)
				}
			})
		}
		synctest.Wait()
		// Strangers take all turns; a known client is not held up.
		wantHit(t, s.Verify(known, nil, now), true)
		time.Sleep(2 * time.Second)
		close(gate)
		wg.Wait()
		if most.Load() != 2 || busy.Load() != 4 || s.Stats().Busy != 4 {
			t.Errorf("%d searches at once, %d refused as busy, stats %+v", most.Load(), busy.Load(), s.Stats())
		}
		// Turns were given back.
		for _, chain := range chains {
			if v := s.Verify(chain, nil, now); !v.Accepted {
				t.Errorf("afterwards: %s", v.Detail)
			}
		}
	})
}

func TestPanicIsARefusal(t *testing.T) {
	root := pki.NewRoot("root")
	s := memoStore(t, Options{
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
		search: func(*anchors, []*x509.Certificate) ([]path, error) { panic("x509: index out of range") },
	}, root)
	for i := range 3 {
		wantRefusal(t, s.Verify(root.Client("c").Chain(), nil, time.Now()), ClientCertInvalid)
		if st := s.Stats(); st.Panics != uint64(i+1) || st.InFlight != 0 || st.Entries != 0 {
			t.Errorf("stats %+v", st)
		}
	}
}

// Whoever chooses the certificates cannot make two chains share a search.
func TestFlightKeyKeepsCertificatesApart(t *testing.T) {
	cert := func(der string) *x509.Certificate { return &x509.Certificate{Raw: []byte(der)} }
	seen := make(map[string]int)
	for i, chain := range [][]*x509.Certificate{
		{cert("ab")}, {cert("a"), cert("b")}, {cert("b"), cert("a")}, {cert("ab"), cert("")}, {cert("")}, {cert(""), cert("ab")},
	} {
		key := flightKey(chain)
		if first, ok := seen[key]; ok {
			t.Errorf("chains %d and %d have the same key", first, i)
		}
		seen[key] = i
	}
}
