package bench

import (
	"context"
	"time"
)

// A Point is one stretch of the rate over time.
type Point struct {
	Seconds   float64 `json:"seconds"` // its end, in the measured time
	PerSecond float64 `json:"per_second"`
	Failed    float64 `json:"failed_per_second"`
}

const (
	maxPoints     = 200                    // in the series of one round
	leastInterval = 50 * time.Millisecond  // between two points
	progressEvery = 250 * time.Millisecond // between two calls of Progress
)

// A sampler looks at a window while it is open. It costs the workers nothing,
// and a worker that keeps it from running only makes a stretch longer.
type sampler struct {
	window *window
	load   *Load
	round  int
	series []Point
}

// watch returns nil after d or when enough is closed, an error when ctx is done.
func (s *sampler) watch(ctx context.Context, d time.Duration, enough <-chan struct{}) error {
	interval := max(d/maxPoints, leastInterval)
	if s.load.Count > 0 {
		interval = 10 * leastInterval // its length is not known
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	timer := time.NewTimer(d)
	defer timer.Stop()
	began := time.Now()
	last, shown := mark{at: began}, mark{at: began}
	for {
		select {
		case <-ticker.C:
			last = s.tick(began, last)
			shown = s.show(began, shown, d)
		case <-timer.C:
			s.tick(began, last)
			return nil
		case <-enough:
			s.tick(began, last)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A mark is what had been counted at some time.
type mark struct {
	at                time.Time
	completed, failed uint64
}

func (s *sampler) mark() mark {
	m := mark{at: time.Now()}
	m.completed, m.failed = s.window.soFar()
	return m
}

// rates returns what came between two marks, a second.
func (m mark) rates(since mark) (completed, failed float64) {
	seconds := m.at.Sub(since.at).Seconds()
	return float64(m.completed-since.completed) / seconds, float64(m.failed-since.failed) / seconds
}

// tick adds one point, unless it would be too short to say anything.
func (s *sampler) tick(began time.Time, last mark) mark {
	now := s.mark()
	if !s.window.opened.Load() || now.at.Sub(last.at) < leastInterval/2 || len(s.series) > 10*maxPoints {
		return last
	}
	completed, failed := now.rates(last)
	s.series = append(s.series, Point{Seconds: now.at.Sub(began).Seconds(), PerSecond: completed, Failed: failed})
	return now
}

func (s *sampler) show(began time.Time, shown mark, d time.Duration) mark {
	if s.load.Progress == nil || time.Since(shown.at) < progressEvery {
		return shown
	}
	now := s.mark()
	rate, _ := now.rates(shown)
	s.load.Progress(Progress{
		Round: s.round, Rounds: s.load.Rounds, Warming: !s.window.opened.Load(),
		Elapsed: now.at.Sub(began), Of: d, Completed: now.completed, Failed: now.failed, PerSecond: rate,
	})
	return now
}
