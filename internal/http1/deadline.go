package http1

import (
	"sync"
	"time"
)

// A deadline remembers what was last set, to set it less often. It is safe for
// concurrent use: bodies are read on other goroutines.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	foreign bool // set by a handler, to at
}

type setter func(time.Time) error

// within makes the deadline lie between three quarters of d and d ahead; zero is none.
func (l *deadline) within(d time.Duration, set setter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d <= 0 {
		l.clear(set)
		return
	}
	now := time.Now()
	if left := l.at.Sub(now); l.foreign || l.at.IsZero() || left > d || left < d-d/4 {
		l.put(now.Add(d), set)
	}
}

// unlessForeign is within, where a handler's deadline has precedence.
func (l *deadline) unlessForeign(d time.Duration, set setter) {
	l.mu.Lock()
	foreign := l.foreign
	l.mu.Unlock()
	if !foreign {
		l.within(d, set)
	}
}

// exactly makes the deadline lie d ahead; zero leaves the one there is.
func (l *deadline) exactly(d time.Duration, set setter) {
	if d > 0 {
		l.force(time.Now().Add(d), set)
	}
}

// force sets the deadline to t.
func (l *deadline) force(t time.Time, set setter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(t, set)
}

// setForeign sets the deadline for a handler.
func (l *deadline) setForeign(t time.Time, set setter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.foreign = t, true
	return set(t)
}

// clearOwn takes off a deadline that is not a handler's.
func (l *deadline) clearOwn(set setter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.foreign {
		l.clear(set)
	}
}

// clearForeign takes off a deadline that a handler has set.
func (l *deadline) clearForeign(set setter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.foreign {
		l.clear(set)
	}
}

func (l *deadline) clear(set setter) {
	if !l.at.IsZero() {
		l.put(time.Time{}, set)
	}
	l.foreign = false
}

func (l *deadline) put(t time.Time, set setter) {
	l.at, l.foreign = t, false
	set(t)
}
