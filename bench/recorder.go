package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A window is the measured part of one round. Workers run before, during and
// after it; what they finish is counted only while it is open.
type window struct {
	opened   atomic.Bool
	limit    int64         // attempts that may be counted; 0 means any number
	counted  atomic.Int64  // used only when limit is set
	full     chan struct{} // closed when limit is reached
	schedule *schedule     // nil in a closed loop
	finished atomic.Int64  // attempts, counted or not; used only with a schedule
	tallies  []*tally
}

// maxTallies bounds the memory of a run with thousands of workers: beyond it
// they share.
const maxTallies = 16

func newWindow(limit, workers int, s *schedule) *window {
	w := &window{limit: int64(limit), full: make(chan struct{}), schedule: s}
	for range min(workers, maxTallies) {
		t := &tally{latency: newHistogram()}
		if s != nil {
			t.lag = newHistogram()
		}
		w.tallies = append(w.tallies, t)
	}
	return w
}

func (w *window) recorder(worker int) *recorder {
	return &recorder{window: w, tally: w.tallies[worker%len(w.tallies)]}
}

// admit reports whether what a worker has just finished counts.
func (w *window) admit() bool {
	if w.schedule != nil {
		w.finished.Add(1)
	}
	if !w.opened.Load() {
		return false
	}
	if w.limit == 0 {
		return true
	}
	n := w.counted.Add(1)
	if n == w.limit {
		close(w.full)
	}
	return n <= w.limit
}

// A tally holds what some workers measured.
type tally struct {
	mu        sync.Mutex
	latency   *hdrhistogram.Histogram
	lag       *hdrhistogram.Histogram // nil in a closed loop
	completed uint64
	failed    uint64
	resumed   uint64
	reopened  uint64
	retried   uint64
	bytes     uint64 // of answers' bodies
	errors    errorCounts
}

// A sample is one success.
type sample struct {
	latency time.Duration
	lag     time.Duration // how late the generator was
	bytes   int
	resumed bool
}

// A recorder is one worker's hand on a window and a tally.
type recorder struct {
	window *window
	tally  *tally
}

// running reports whether the worker should go on. A full window ends it without
// waiting for the run to notice, so that few attempts go beyond the count.
func (r *recorder) running(ctx context.Context) bool {
	w := r.window
	return ctx.Err() == nil && (w.limit == 0 || w.counted.Load() < w.limit)
}

// done notes one success.
func (r *recorder) done(s sample) {
	if !r.window.admit() {
		return
	}
	t := r.tally
	t.mu.Lock()
	t.completed++
	t.bytes += uint64(s.bytes)
	if s.resumed {
		t.resumed++
	}
	note(t.latency, s.latency, 1)
	if t.lag != nil {
		note(t.lag, s.lag, 1)
	}
	t.mu.Unlock()
}

// failed notes one failure.
func (r *recorder) failed(err error) {
	if !r.window.admit() {
		return
	}
	r.tally.mu.Lock()
	r.tally.failed++
	r.tally.errors.add(err)
	r.tally.mu.Unlock()
}

// reopening notes that the server has ended a connection as it may, and whether
// a request has to be sent again for it. It finishes no attempt.
func (r *recorder) reopening(retries bool) {
	if !r.window.opened.Load() {
		return
	}
	r.tally.mu.Lock()
	r.tally.reopened++
	if retries {
		r.tally.retried++
	}
	r.tally.mu.Unlock()
}

// so far returns what has been counted, while the window is open.
func (w *window) soFar() (completed, failed uint64) {
	for _, t := range w.tallies {
		t.mu.Lock()
		completed += t.completed
		failed += t.failed
		t.mu.Unlock()
	}
	return completed, failed
}

// merge adds other to t; both are at rest.
func (t *tally) merge(other *tally) {
	t.latency.Merge(other.latency)
	if other.lag != nil {
		if t.lag == nil {
			t.lag = newHistogram()
		}
		t.lag.Merge(other.lag)
	}
	t.completed += other.completed
	t.failed += other.failed
	t.resumed += other.resumed
	t.reopened += other.reopened
	t.retried += other.retried
	t.bytes += other.bytes
	t.errors.merge(&other.errors)
}
