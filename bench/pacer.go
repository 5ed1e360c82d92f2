package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// A schedule appoints the times of an open loop. All workers draw from one, so
// an attempt waits only when every connection is in use, never because the one
// it was dealt to is. It is safe for concurrent use.
type schedule struct {
	began    time.Time
	interval float64 // nanoseconds; a rate that divides no second must not drift
	drawn    atomic.Int64
}

func newSchedule(rate float64) *schedule {
	if rate == 0 {
		return nil
	}
	return &schedule{began: time.Now(), interval: float64(time.Second) / rate}
}

// due returns when attempt i is due.
func (s *schedule) due(i int64) time.Time {
	return s.began.Add(time.Duration(float64(i) * s.interval))
}

// dueBy returns how many attempts have fallen due.
func (s *schedule) dueBy(now time.Time) int64 {
	return int64(float64(now.Sub(s.began))/s.interval) + 1
}

// A pacer gives one worker its turns. Without a schedule a turn is always now.
type pacer struct {
	schedule *schedule
	alarm    *alarm      // nil without a schedule
	again    []time.Time // turns that were taken and not used
}

// newPacer makes a pacer whose waits end with ctx.
func newPacer(ctx context.Context, s *schedule) (*pacer, error) {
	if s == nil {
		return &pacer{}, nil
	}
	a, err := newAlarm(ctx)
	return &pacer{schedule: s, alarm: a}, err
}

func (p *pacer) close() {
	if p.alarm != nil {
		p.alarm.close()
	}
}

// next waits for the worker's turn and returns when it was due, from which
// latency runs, and how late the generator itself was. An attempt that could not
// begin in time because all connections were in use is late by the server's
// doing, so its lag is 0. ok is false when the run is over.
func (p *pacer) next(ctx context.Context) (due time.Time, lag time.Duration, ok bool) {
	if len(p.again) > 0 {
		due, p.again = p.again[0], p.again[1:]
		return due, 0, true
	}
	if p.schedule == nil {
		return time.Now(), 0, true
	}
	due = p.schedule.due(p.schedule.drawn.Add(1) - 1)
	early := time.Until(due)
	if early <= 0 {
		return due, 0, ctx.Err() == nil
	}
	if !p.alarm.wait(ctx, early) {
		return due, 0, false
	}
	return due, max(time.Since(due), 0), true
}

// retry makes the next turn the one that was due at that time: its attempt is to
// be made once more, and its clock runs on.
func (p *pacer) retry(due time.Time) { p.again = append(p.again, due) }
