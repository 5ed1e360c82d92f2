package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A window is the measured part of a run. Workers run before, during and after
// it; what they finish is counted only while it is open.
type window struct {
	opened  atomic.Bool
	limit   int64         // attempts that may be counted; 0 means any number
	counted atomic.Int64  // used only when limit is set
	full    chan struct{} // closed when limit is reached
}

// admit reports whether what a worker has just finished counts.
func (w *window) admit() bool {
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

// A recorder holds what one worker measured. Only its worker touches it until
// the run has ended.
type recorder struct {
	window   *window
	latency  histogram
	lag      histogram // how late the generator itself was, at a fixed rate
	resumed  uint64
	reopened uint64
	bytes    uint64 // of bodies
	errors   errorCounts
}

// running reports whether the worker should go on. A full window ends it without
// waiting for measure to notice, so that few attempts go beyond the count.
func (r *recorder) running(ctx context.Context) bool {
	w := r.window
	return ctx.Err() == nil && (w.limit == 0 || w.counted.Load() < w.limit)
}

// done notes one success, and reports whether it counts.
func (r *recorder) done(latency time.Duration) bool {
	if !r.window.admit() {
		return false
	}
	r.latency.add(latency)
	return true
}

// failed notes one failure.
func (r *recorder) failed(err error) {
	if r.window.admit() {
		r.errors.add(err)
	}
}

// An outcome is what all recorders hold together, and the clocks of the window.
type outcome struct {
	recorder
	elapsed      time.Duration
	serverCPU    time.Duration
	generatorCPU time.Duration
}

// clocks are the three clocks that are read at both ends of a window.
type clocks struct {
	wall      time.Time
	server    time.Duration
	generator time.Duration
}

// readClocks reads the server's clock only if pid is set. The generator's own is
// left at zero where it cannot be read: it is a help to the reader, not a result.
func readClocks(pid int) (clocks, error) {
	var c clocks
	var err error
	if pid != 0 {
		c.server, err = TreeCPU(pid)
	}
	c.generator, _ = ProcessCPU(os.Getpid())
	c.wall = time.Now()
	return c, err
}

// run starts work once for each connection, opens the window after the warm-up,
// closes it when its time or count is over, ends the workers and waits for them.
// work must return soon after its context is done. l has its defaults.
func (l Load) run(ctx context.Context, work func(ctx context.Context, id int, r *recorder)) (*outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &window{limit: int64(l.Count), full: make(chan struct{})}
	recorders := make([]recorder, l.Connections)
	var workers sync.WaitGroup
	out, err := l.measure(ctx, w, func() {
		for id := range recorders {
			recorders[id].window = w
			workers.Go(func() { work(ctx, id, &recorders[id]) })
		}
	})
	cancel()
	workers.Wait()
	if err != nil {
		return nil, err
	}
	for i := range recorders {
		out.add(&recorders[i])
	}
	return out, nil
}

// measure starts the workers, opens and closes the window and reads the clocks
// at both ends. Without a warm-up the window is open before the first worker
// starts, so that a count is exact.
func (l Load) measure(ctx context.Context, w *window, start func()) (*outcome, error) {
	if l.Warmup > 0 {
		start()
		if err := wait(ctx, l.Warmup, nil); err != nil {
			return nil, fmt.Errorf("warming up: %w", err)
		}
	}
	before, err := readClocks(l.ServerPID)
	if err != nil {
		return nil, err
	}
	w.opened.Store(true)
	if l.Warmup == 0 {
		start()
	}
	err = wait(ctx, l.Duration, w.full)
	w.opened.Store(false)
	if err != nil {
		return nil, fmt.Errorf("measuring: %w", err)
	}
	after, err := readClocks(l.ServerPID)
	if err != nil {
		return nil, err
	}
	return &outcome{
		elapsed:      after.wall.Sub(before.wall),
		serverCPU:    after.server - before.server,
		generatorCPU: after.generator - before.generator,
	}, nil
}

// wait returns nil after d or when enough is closed, an error when ctx is done.
func wait(ctx context.Context, d time.Duration, enough <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-enough:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (o *outcome) add(r *recorder) {
	o.latency.merge(&r.latency)
	o.lag.merge(&r.lag)
	o.resumed += r.resumed
	o.reopened += r.reopened
	o.bytes += r.bytes
	o.errors.merge(&r.errors)
}
