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
	issued       time.Time // thisUpdate
	until        time.Time
	cert, issuer *x509.Certificate
	urls         []string // whom to ask
}

// heeded is what a decision makes of an answer. In mode soft a failure does not matter;
// one about a client that is connected already does not either: it is asked again.
func (k known) heeded(hard, connected bool) trust.Answer {
	if k.answer.Status == trust.AnswerFailed && (!hard || connected) {
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
	// Who is revoked stays revoked until somebody says otherwise.
	return e.known, e.answer.Status == trust.AnswerRevoked || !now.After(e.until)
}

// put remembers an answer. It reports whether it says revoked of a certificate of which
// that was not known. A failure displaces neither an answer that still counts nor one that
// says revoked, and no answer displaces one that was issued later.
func (c *cache) put(key [32]byte, k known, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[[32]byte]*entry)
	}
	old := c.entries[key]
	if old != nil && old.outweighs(k, now) {
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

// outweighs reports whether what is known stays in the face of k.
func (e *entry) outweighs(k known, now time.Time) bool {
	if k.answer.Status != trust.AnswerFailed {
		return k.issued.Before(e.issued)
	}
	return e.answer.Status == trust.AnswerRevoked || (e.answer.Status != trust.AnswerFailed && now.Before(e.until))
}

// makeRoom drops the entry that was used least recently of a few; one that says revoked
// only if all of them do.
func (c *cache) makeRoom() {
	const looks = 16
	var victim [32]byte
	oldest, n := int64(1<<62), 0
	for key, e := range c.entries {
		used := e.used.Load()
		if e.answer.Status == trust.AnswerRevoked {
			used += 1 << 40
		}
		if used < oldest {
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
		return !wanted && now.After(e.until) && e.answer.Status != trust.AnswerRevoked
	})
	return out
}

// size returns how many certificates are remembered.
func (c *cache) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

// Inherit takes over what another Checker knows, so that a change of settings lets nobody
// in who is revoked. It is for a Checker that is not in use yet.
func (c *Checker) Inherit(from *Checker) {
	from.cache.mu.RLock()
	defer from.cache.mu.RUnlock()
	for key, e := range from.cache.entries {
		c.cache.put(key, e.known, time.Unix(e.used.Load(), 0))
	}
}

// Entries returns how many certificates are remembered.
func (c *Checker) Entries() int { return c.cache.size() }
