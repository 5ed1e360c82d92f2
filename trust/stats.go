package trust

import (
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/dn"
)

// counters belong to a store and outlive its snapshots.
type counters struct {
	hits, misses, evictions, verifications, panics, busy atomic.Uint64
	inFlight                                             atomic.Int64
}

// Stats are a store's figures for metrics. All but the last two only grow.
type Stats struct {
	// Hits and Misses count the handshakes that were and were not answered
	// from the memo; one refused for the number of its certificates is neither.
	Hits, Misses uint64
	// Evictions counts entries that left the memo for want of room.
	Evictions uint64
	// Verifications counts path searches, which is where signatures are
	// checked. Equal chains that arrive together share one.
	Verifications uint64
	// Panics counts panics of the X.509 library that were turned into refusals.
	Panics uint64
	// Busy counts path searches given up because too many were under way.
	Busy uint64
	// InFlight is how many searches run now, Entries how many acceptances are
	// remembered.
	InFlight, Entries int
}

// Stats returns the figures as they are now.
func (s *Store) Stats() Stats {
	c := &s.counters
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Evictions: c.evictions.Load(),
		Verifications: c.verifications.Load(), Panics: c.panics.Load(), Busy: c.busy.Load(),
		InFlight: int(c.inFlight.Load()), Entries: s.Snapshot().memo.entries(),
	}
}

// An Expiry says until when one certificate of a bundle is valid.
type Expiry struct {
	Subject  string // RFC 2253
	Serial   string // as in [Identity]
	NotAfter time.Time
}

// Expiries returns the end of every certificate, in the order of the bundle.
func (s *Snapshot) Expiries() []Expiry {
	list := make([]Expiry, 0, s.Len())
	for _, c := range s.bundle.Certificates {
		list = append(list, Expiry{dn.RFC2253(c.RawSubject), serial(c.SerialNumber), c.NotAfter})
	}
	return list
}
