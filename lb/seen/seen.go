// Package seen remembers which clients were let in lately, so that an operator can ask
// whom a new bundle, list or filter would lock out, before it does.
//
// Of each client and listener it keeps a [Client]: what package trust calls a footprint,
// and when it was seen first and last, to the minute. No certificate of a client is kept,
// no address, no request, and nothing of those who were refused or who did not
// prove that they hold their key. How many are kept, and for how long, is bounded.
//
// A [Store] is fed by the listeners through a [Recorder] and written to a file now and
// then. A client that comes back within the minute costs an atomic read.
package seen

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/trust"
)

const (
	shards = 16
	// maxAuthorities is how many CA certificates all footprints together may refer to:
	// a CA that makes one for each client does not get to fill the memory.
	maxAuthorities = 1024
	// maxBytes is how long the subject of a client and its distribution points
	// may be together. Clients beyond either are not remembered.
	maxBytes = 4096
)

// A Client is what is kept of one client at one listener.
type Client struct {
	Listener, TrustStore string
	FirstSeen, LastSeen  time.Time // to the minute
	trust.Footprint
}

// A Store is the clients that were seen. It is safe for concurrent use.
type Store struct {
	limit     atomic.Int64
	retention atomic.Int64 // a time.Duration
	shards    [shards]shard
	// changed says that there is something that no file has; added that it is a client.
	changed, added atomic.Bool

	mu          sync.Mutex
	authorities map[[sha256.Size]byte]*x509.Certificate // that footprints share
}

type shard struct {
	mu      sync.Mutex
	clients map[key]*Client
}

type key struct {
	listener string
	sha256   [sha256.Size]byte
}

// New returns a store that keeps at most limit clients, rounded up to a multiple of 16, none for longer than retention
// after it was seen last. A limit of 0 keeps nobody.
func New(limit int, retention time.Duration) *Store {
	s := &Store{authorities: make(map[[sha256.Size]byte]*x509.Certificate)}
	for i := range s.shards {
		s.shards[i].clients = make(map[key]*Client)
	}
	s.Configure(limit, retention)
	return s
}

// Configure sets the bounds anew. Clients beyond them are forgotten with the next
// [Store.Forget].
func (s *Store) Configure(limit int, retention time.Duration) {
	s.limit.Store(int64(limit))
	s.retention.Store(int64(retention))
}

// A Recorder notes the clients of one listener.
type Recorder struct {
	store                *Store
	listener, trustStore string
	policy               *trust.Policy
	filters              [sha256.Size]byte // digest
	tag                  uint16
}

// Recorder returns what notes the clients that a listener lets in under a policy.
func (s *Store) Recorder(listener, trustStore string, p *trust.Policy) *Recorder {
	h := fnv.New32a()
	h.Write([]byte(listener))
	return &Recorder{s, listener, trustStore, p, p.FilterDigest(), uint16(h.Sum32())}
}

// Accepted notes a client that was let in and has proved who it is.
func (r *Recorder) Accepted(v *trust.Verdict, presented []*x509.Certificate, now time.Time) {
	if r.store.limit.Load() == 0 || len(presented) == 0 || !v.Note(r.tag, now) {
		return
	}
	r.store.note(r, v, presented, now.Truncate(time.Minute))
}

func (s *Store) note(r *Recorder, v *trust.Verdict, presented []*x509.Certificate, now time.Time) {
	k := key{r.listener, sha256.Sum256(presented[0].Raw)}
	shard := s.shard(k)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	known := shard.clients[k]
	if known != nil && known.TrustStore == r.trustStore && known.Filters == r.filters && known.Presented == len(presented) && known.SamePath(v) {
		if known.LastSeen.Before(now) {
			known.LastSeen = now
			s.changed.Store(true)
		}
		return
	}
	footprint := trust.NewFootprint(v, presented, r.policy)
	if footprint == nil || !s.share(footprint) {
		return
	}
	c := &Client{Listener: r.listener, TrustStore: r.trustStore, FirstSeen: now, LastSeen: now, Footprint: *footprint}
	if known != nil {
		c.FirstSeen = known.FirstSeen
	}
	shard.put(k, c, s.perShard())
	s.changed.Store(true)
	s.added.Store(true)
}

func (s *Store) shard(k key) *shard {
	return &s.shards[binary.BigEndian.Uint16(k.sha256[:])%shards]
}

// perShard is how many clients a shard may hold. Fingerprints spread evenly, nearly.
func (s *Store) perShard() int { return int((s.limit.Load() + shards - 1) / shards) }

// candidates is how many clients are compared when one must go.
const candidates = 64

// put adds a client. If there is no room, it takes the place of the one that was not seen
// for longest, of some that chance picks: their number bounds what a new client costs.
func (s *shard) put(k key, c *Client, limit int) {
	if _, known := s.clients[k]; !known && len(s.clients) >= limit {
		var oldest key
		compared := 0
		for other, candidate := range s.clients {
			if o := s.clients[oldest]; o == nil || candidate.LastSeen.Before(o.LastSeen) {
				oldest = other
			}
			if compared++; compared == candidates {
				break
			}
		}
		delete(s.clients, oldest)
	}
	s.clients[k] = c
}

// share makes footprints hold one copy of each CA. It reports false of one that is not to
// be kept.
func (s *Store) share(f *trust.Footprint) bool {
	if len(f.Subject)+len(f.Points) > maxBytes {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, ca := range f.Path {
		sum := sha256.Sum256(ca.Cert.Raw)
		switch known := s.authorities[sum]; {
		case known != nil:
			f.Path[i].Cert = known
		case len(s.authorities) >= maxAuthorities:
			return false
		default:
			s.authorities[sum] = ca.Cert
		}
	}
	return true
}

// Forget drops the clients that are beyond the bounds, and the CAs that no client is left
// of.
func (s *Store) Forget(now time.Time) {
	limit, oldest := s.perShard(), now.Add(-time.Duration(s.retention.Load()))
	for i := range s.shards {
		s.shards[i].forget(limit, oldest, func() { s.changed.Store(true) })
	}
	used := make(map[[sha256.Size]byte]*x509.Certificate)
	for _, c := range s.Clients() {
		for _, ca := range c.Path {
			used[sha256.Sum256(ca.Cert.Raw)] = ca.Cert
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorities = used
}

func (s *shard) forget(limit int, oldest time.Time, changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []key
	for k, c := range s.clients {
		if c.LastSeen.Before(oldest) {
			delete(s.clients, k)
			changed()
			continue
		}
		left = append(left, k)
	}
	if len(left) <= limit {
		return
	}
	slices.SortFunc(left, func(a, b key) int { return s.clients[b].LastSeen.Compare(s.clients[a].LastSeen) })
	for _, k := range left[limit:] {
		delete(s.clients, k)
		changed()
	}
}

// Clients returns all that are kept, by listener and then by fingerprint.
func (s *Store) Clients() []Client {
	var all []Client
	for i := range s.shards {
		shard := &s.shards[i]
		shard.mu.Lock()
		for _, c := range shard.clients {
			all = append(all, *c)
		}
		shard.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Client) int {
		if a.Listener != b.Listener {
			return bytes.Compare([]byte(a.Listener), []byte(b.Listener))
		}
		return bytes.Compare(a.SHA256[:], b.SHA256[:])
	})
	return all
}

// Len returns how many clients are kept.
func (s *Store) Len() int {
	n := 0
	for i := range s.shards {
		shard := &s.shards[i]
		shard.mu.Lock()
		n += len(shard.clients)
		shard.mu.Unlock()
	}
	return n
}
