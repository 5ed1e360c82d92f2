package listener

import (
	"sync"
	"sync/atomic"
	"time"
)

// A watchdog barks when an operation takes longer than a limit, and keeps quiet
// between operations. Operations follow one another; begin and done may be
// called on another goroutine than close.
type watchdog struct {
	limit time.Duration
	bark  func()
	busy  atomic.Bool

	// Guarded by mu.
	mu     sync.Mutex
	timer  *time.Timer // made by the first operation
	closed bool
}

func newWatchdog(limit time.Duration, bark func()) *watchdog {
	return &watchdog{limit: limit, bark: bark}
}

// begin starts the clock for one operation.
func (w *watchdog) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(w.limit, w.fire)
	default:
		w.timer.Reset(w.limit)
	}
	w.busy.Store(true)
}

// done ends the operation.
func (w *watchdog) done() {
	w.busy.Store(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// close makes sure that bark neither runs nor will run.
func (w *watchdog) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.busy.Load() {
		w.bark()
	}
}

// past is a deadline that has passed: setting it interrupts what is going on.
func past() time.Time { return time.Unix(1, 0) }
