//go:build !linux

package bench

import (
	"context"
	"time"
)

// An alarm wakes one goroutine after a time. [RequestReport.Lag] shows how exact
// the system's timers are.
type alarm struct{ timer *time.Timer }

func newAlarm(context.Context) (*alarm, error) {
	return &alarm{time.NewTimer(time.Hour)}, nil
}

func (a *alarm) close() { a.timer.Stop() }

// wait returns after d, or false at once when ctx is done.
func (a *alarm) wait(ctx context.Context, d time.Duration) bool {
	a.timer.Reset(d)
	select {
	case <-a.timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
