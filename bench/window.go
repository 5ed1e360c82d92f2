package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// A Progress is what a run can say of itself while it lasts.
type Progress struct {
	Round, Rounds int // from 1
	Warming       bool
	Elapsed, Of   time.Duration // of the round's warm-up or window
	Completed     uint64        // in this window
	Failed        uint64
	PerSecond     float64 // completed, since the last call
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

// An outcome is what one round, or all of them together, measured.
type outcome struct {
	*tally
	pending      uint64
	elapsed      time.Duration
	serverCPU    time.Duration
	generatorCPU time.Duration
	series       []Point
}

// A work function is one worker. It must return soon after its context is done;
// p is its own and r too.
type work func(ctx context.Context, id int, p *pacer, r *recorder)

// run measures each round and returns their outcomes. l has its defaults.
func (l Load) run(ctx context.Context, work work) ([]outcome, error) {
	var rounds []outcome
	for number := 1; number <= l.Rounds; number++ {
		out, err := l.round(ctx, number, work)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, *out)
	}
	return rounds, nil
}

// round starts work once for each connection, opens the window after the
// warm-up, closes it when its time or count is over, ends the workers and waits
// for them.
func (l Load) round(ctx context.Context, number int, work work) (*outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pacers := make([]*pacer, l.Connections)
	schedule := newSchedule(l.Rate)
	for i := range pacers {
		var err error
		if pacers[i], err = newPacer(ctx, schedule); err != nil {
			return nil, err
		}
		defer pacers[i].close()
	}
	w := newWindow(l.Count, l.Connections, schedule)
	var workers sync.WaitGroup
	out, err := l.measure(ctx, &sampler{window: w, load: &l, round: number}, func() {
		for id := range l.Connections {
			workers.Go(func() { work(ctx, id, pacers[id], w.recorder(id)) })
		}
	})
	cancel()
	workers.Wait()
	if err != nil {
		return nil, err
	}
	for _, t := range w.tallies {
		out.merge(t)
	}
	return out, nil
}

// measure starts the workers, opens and closes the window and reads the clocks
// at both ends. Without a warm-up the window is open before the first worker
// starts, so that a count is exact.
func (l Load) measure(ctx context.Context, s *sampler, start func()) (*outcome, error) {
	if l.Warmup > 0 {
		start()
		if err := s.watch(ctx, l.Warmup, nil); err != nil {
			return nil, fmt.Errorf("warming up: %w", err)
		}
	}
	before, err := readClocks(l.ServerPID)
	if err != nil {
		return nil, err
	}
	s.window.opened.Store(true)
	if l.Warmup == 0 {
		start()
	}
	err = s.watch(ctx, l.Duration, s.window.full)
	s.window.opened.Store(false)
	if err != nil {
		return nil, fmt.Errorf("measuring: %w", err)
	}
	after, err := readClocks(l.ServerPID)
	if err != nil {
		return nil, err
	}
	out := &outcome{
		tally:        &tally{latency: newHistogram()},
		elapsed:      after.wall.Sub(before.wall),
		serverCPU:    after.server - before.server,
		generatorCPU: after.generator - before.generator,
		series:       s.series,
	}
	out.countPending(s.window, after.wall)
	return out, nil
}

// maxPendingNotes bounds the work of countPending.
const maxPendingNotes = 10_000

// countPending adds to the latencies what had fallen due and was not over when
// the window closed, each with the time it had waited until then. Without it a
// server that stalls until the end of a window would show only the attempts
// before. Attempts finish about in turn, so those that miss are the latest.
func (o *outcome) countPending(w *window, now time.Time) {
	s := w.schedule
	if s == nil || w.limit > 0 {
		return
	}
	first, last := w.finished.Load(), s.dueBy(now)
	if last <= first {
		return
	}
	o.pending = uint64(last - first)
	step := max((last-first)/maxPendingNotes, 1)
	for i := first; i < last; i += step {
		note(o.latency, now.Sub(s.due(i)), min(step, last-i))
	}
}

// add puts a later round behind o.
func (o *outcome) add(round *outcome) {
	o.merge(round.tally)
	for _, p := range round.series {
		p.Seconds += o.elapsed.Seconds()
		o.series = append(o.series, p)
	}
	o.pending += round.pending
	o.elapsed += round.elapsed
	o.serverCPU += round.serverCPU
	o.generatorCPU += round.generatorCPU
}
