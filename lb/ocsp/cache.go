package ocsp

import (
	"crypto/x509"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/trust"
)

// known is what is known of one certificate.
type known struct {
	answer       trust.Answer
	until        time.Time
	cert, issuer *x509.Certificate
}

// heeded is what a decision makes of an answer. In mode soft a failure does not matter;
// one about a client that is connected already does not either: it is asked again.
func (k known) heeded(hard, wait bool) trust.Answer {
	if k.answer.Status == trust.AnswerFailed && (!hard || !wait) {
		return trust.Answer{}
	}
	return k.answer
}

// A cache is bounded: when it is full, some entry gives way, a good one of those looked at
// first. Only certificates with a path to the trust store get in.
type cache struct {
	limit   int
	mu      sync.RWMutex
	entries map[[32]byte]*entry
}

type entry struct {
	known
	used atomic.Int64 // Unix time
}

// find returns what is known and still counts.
func (c *cache) find(key [32]byte, now time.Time) (known, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[key]
	if e == nil {
		return known{}, false
	}
	if second := now.Unix(); e.used.Load() != second {
		e.used.Store(second)
	}
	return e.known, !now.After(e.until)
}

// put remembers an answer. It reports whether it says revoked of a certificate of which
// that was not known. A failure does not displace an answer that still counts.
func (c *cache) put(key [32]byte, k known, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[[32]byte]*entry)
	}
	old := c.entries[key]
	if old != nil && k.answer.Status == trust.AnswerFailed && old.answer.Status != trust.AnswerFailed && now.Before(old.until) {
		return false
	}
	if old == nil && len(c.entries) >= c.limit {
		c.makeRoom()
	}
	e := &entry{known: k}
	e.used.Store(now.Unix())
	if old != nil {
		e.used.Store(old.used.Load())
	}
	c.entries[key] = e
	return k.answer.Status == trust.AnswerRevoked && (old == nil || old.answer.Status != trust.AnswerRevoked)
}

// makeRoom drops the entry that was used least recently of a few.
func (c *cache) makeRoom() {
	const looks = 16
	var victim [32]byte
	oldest, n := int64(1<<62), 0
	for key, e := range c.entries {
		if used := e.used.Load(); used < oldest {
			victim, oldest = key, used
		}
		if n++; n == looks {
			break
		}
	}
	delete(c.entries, victim)
}

// due returns what ends before the given time and was wanted lately, or could not be found
// out a while ago, and forgets the rest of what has ended.
func (c *cache) due(now, before time.Time) map[[32]byte]known {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[[32]byte]known)
	maps.DeleteFunc(c.entries, func(key [32]byte, e *entry) bool {
		wanted := now.Sub(time.Unix(e.used.Load(), 0)) < forgetTime
		failed := e.answer.Status == trust.AnswerFailed
		if wanted && ((!failed && before.After(e.until)) || (failed && now.Sub(e.until) > retryTime)) {
			out[key] = e.known
		}
		return !wanted && now.After(e.until)
	})
	return out
}

// size returns how many certificates are remembered.
func (c *cache) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

// Entries returns how many certificates are remembered.
func (c *Checker) Entries() int { return c.cache.size() }
