package trust

import (
	"crypto/x509"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// memo remembers acceptances of one bundle, so that a client that comes back
// costs a comparison of bytes in place of signature checks.
//
// What makes it safe: only acceptances are kept, and each for the window in
// which every date of its path holds; an entry answers only for a chain that
// equals the one it was made from byte for byte, extra and missing certificates
// included, since the hash only chooses where to look; revocation and identity
// filters are asked on every hit; and another bundle gets another memo.
//
// What bounds it: a number of entries and of bytes for each shard. A ring with
// a mark for recent use (CLOCK) chooses what leaves. Strangers cannot push
// anybody out, for only accepted chains get in; a client that varies the
// company of one leaf replaces its own entries.
type memo struct {
	hash     func([]byte) uint64
	counters *counters
	shards   [memoShards]shard
	shared   interned
}

type shard struct {
	mu      sync.RWMutex
	buckets map[uint64][]*entry // at most maxVariants each
	ring    []*entry            // nil where a slot is free
	free    []int               // slots of ring that are nil
	hand    int
	bytes   int // of all entries
	limit   int // for bytes
	size    int // for len(ring)
}

// An entry is one accepted chain. All but used and slot is fixed when it is
// made.
type entry struct {
	key       uint64
	presented []*x509.Certificate
	variant   variant
	path      path
	from      time.Time
	until     time.Time // zero if nothing bounds it
	facts     facts
	first     Verdict // for the handshake that made the entry
	hit       Verdict // for all others: differs in MemoHit
	cost      int

	used atomic.Bool
	slot int // guarded by the shard's mu
}

func newMemo(o Options, c *counters) *memo {
	m := &memo{hash: o.hash, counters: c}
	size := max(1, o.MemoEntries/memoShards)
	for i := range m.shards {
		m.shards[i] = shard{
			buckets: make(map[uint64][]*entry),
			size:    size,
			limit:   max(1, o.MemoBytes/memoShards),
		}
	}
	return m
}

func newEntry(q *question, p *path, who facts) *entry {
	e := &entry{presented: q.chain, variant: q.variant, path: *p, facts: who}
	e.from, e.until = window(p, q.variant)
	e.first = Verdict{Accepted: true, Index: -1, Chain: p.certs, Identity: NewIdentity(q.chain[0]), Detail: accepted(p), facts: &e.facts}
	for _, c := range q.chain {
		e.cost += len(c.Raw)
	}
	return e
}

func accepted(p *path) string {
	if len(p.certs) == 1 {
		return quoteSubject(p.certs[0]) + " is itself in the trust store"
	}
	return quoteSubject(p.certs[0]) + " leads to " + quoteSubject(p.anchor.cert) + " of the trust store"
}

// lookUp returns the entry that answers q, or nil.
func (m *memo) lookUp(q *question) *entry {
	key := m.hash(q.chain[0].Raw)
	s := &m.shards[key%memoShards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.buckets[key] {
		if e.same(q.chain, q.variant) {
			if !e.holds(q.now) {
				return nil
			}
			if !e.used.Load() { // a write only when needed keeps the line shared
				e.used.Store(true)
			}
			return e
		}
	}
	return nil
}

// same compares every certificate byte for byte.
func (e *entry) same(chain []*x509.Certificate, v variant) bool {
	return e.variant == v && sameChain(e.presented, chain)
}

// holds reports whether now is in the window of the entry.
func (e *entry) holds(now time.Time) bool {
	return !now.Before(e.from) && (e.until.IsZero() || !now.After(e.until))
}

// keep stores an entry in place of an equal one and returns the verdict for
// the handshake that made it.
func (m *memo) keep(e *entry) *Verdict {
	m.shared.intern(e)
	e.first.presented = newShared(e.presented)
	e.hit = e.first
	e.hit.MemoHit = true
	e.key = m.hash(e.presented[0].Raw)
	s := &m.shards[e.key%memoShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoomInBucket(e, m.counters)
	for len(s.ring)-len(s.free) > 0 && (s.bytes+e.cost > s.limit || (len(s.free) == 0 && len(s.ring) >= s.size)) {
		s.remove(s.victim())
		m.counters.evictions.Add(1)
	}
	s.add(e)
	return &e.first
}

// makeRoomInBucket drops the entry that e replaces, or the oldest of a leaf
// that has as many variants as it may.
func (s *shard) makeRoomInBucket(e *entry, c *counters) {
	bucket := s.buckets[e.key]
	for _, old := range bucket {
		if old.same(e.presented, e.variant) {
			s.remove(old)
			return
		}
	}
	if len(bucket) >= maxVariants {
		s.remove(bucket[0])
		c.evictions.Add(1)
	}
}

// victim moves the hand to an entry that was not used since it last passed.
// There is one entry at least.
func (s *shard) victim() *entry {
	for {
		s.hand = (s.hand + 1) % len(s.ring)
		e := s.ring[s.hand]
		if e != nil && !e.used.Swap(false) {
			return e
		}
	}
}

func (s *shard) add(e *entry) {
	if last := len(s.free) - 1; last >= 0 {
		e.slot = s.free[last]
		s.free = s.free[:last]
		s.ring[e.slot] = e
	} else {
		e.slot = len(s.ring)
		s.ring = append(s.ring, e)
	}
	s.buckets[e.key] = append(s.buckets[e.key], e)
	s.bytes += e.cost
}

func (s *shard) remove(e *entry) {
	s.ring[e.slot] = nil
	s.free = append(s.free, e.slot)
	s.bytes -= e.cost
	bucket := s.buckets[e.key]
	if len(bucket) == 1 {
		delete(s.buckets, e.key)
		return
	}
	at := slices.Index(bucket, e)
	s.buckets[e.key] = slices.Delete(bucket, at, at+1)
}

// entries counts what is remembered.
func (m *memo) entries() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		n += len(s.ring) - len(s.free)
		s.mu.RUnlock()
	}
	return n
}
