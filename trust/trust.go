// Package trust answers one question: is this client certificate chain to be
// believed?
//
// A [Store] holds the CA bundle and the revocation lists of one trust store in
// ALB's sense; [Store.Verify] compares a presented chain with them and with the
// [Policy] of a listener, and returns a [Verdict] with ALB's own reason. It is
// the only function of the program that decides, and the only caller of x509's
// Verify. Start from [ParseBundle], [NewStore] and [Store.Publish]. What a missing or an
// expired list means is a [RevocationPolicy], which [Store.Replace] takes with the rest.
//
// A bundle that was parsed never changes. To replace it, publish another: the
// handshakes that began before are judged by the old one, those that begin
// after by the new one, and what was remembered of the old one goes with it.
//
// Every certificate of a bundle is trusted as it stands, an intermediate no
// less than a root. One that is no CA admits exactly itself.
//
// The package opens no files, fetches nothing and knows neither TLS nor HTTP.
package trust

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/postern-lb/postern/crl"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Options tune a Store. The zero value is good for most uses; values out of
// range are moved into it.
type Options struct {
	// MemoEntries is how many accepted chains are remembered; 0 means
	// [DefaultMemoEntries], a negative number remembers as few as possible.
	MemoEntries int
	// MemoBytes bounds the certificates in the memo, counted as DER; in memory
	// they take some four times that. 0 means [DefaultMemoBytes].
	MemoBytes int
	// MaxConcurrent is how many verifications may run at once; 0 means half of
	// GOMAXPROCS, so that half is left for handshakes with known clients.
	MaxConcurrent int
	// VerifyWait is how long a handshake waits for its turn; 0 means
	// [DefaultVerifyWait].
	VerifyWait time.Duration
	// Log takes what an operator should see; nil means slog.Default.
	Log *slog.Logger

	// Tests replace these.
	hash   func([]byte) uint64
	search func(*anchors, []*x509.Certificate) ([]path, error)
}

func (o Options) withDefaults() Options {
	if o.MemoEntries == 0 {
		o.MemoEntries = DefaultMemoEntries
	}
	o.MemoEntries = min(max(o.MemoEntries, 1), LargestMemoEntries)
	if o.MemoBytes <= 0 {
		o.MemoBytes = DefaultMemoBytes
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.VerifyWait <= 0 {
		o.VerifyWait = DefaultVerifyWait
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.hash == nil {
		o.hash = xxhash.Sum64
	}
	if o.search == nil {
		o.search = (*anchors).search
	}
	return o
}

// A Store is one trust store. It is safe for concurrent use.
type Store struct {
	// Fixed by NewStore.
	name     string
	options  Options
	turns    *semaphore.Weighted
	counters counters
	changes  atomic.Uint64 // see Changed

	// publishing is held by whoever replaces state.
	publishing sync.Mutex
	// state is replaced whole, so that a handshake sees a bundle and
	// revocation lists that belong together.
	state atomic.Pointer[state]
}

// state is immutable.
type state struct {
	snapshot    *Snapshot
	revocations *crl.Set
	rules       *RevocationPolicy
	responder   Responder
}

// NewStore returns a store without certificates, which refuses everyone until
// [Store.Publish]. The name is for messages and for [Policy.Digest].
func NewStore(name string, options Options) *Store {
	o := options.withDefaults()
	s := &Store{name: name, options: o, turns: semaphore.NewWeighted(int64(o.MaxConcurrent))}
	s.state.Store(&state{snapshot: s.snapshot(&Bundle{Digest: digest(nil)}, "")})
	return s
}

// Name returns the name of the store.
func (s *Store) Name() string { return s.name }

// Content is all that a Store decides by.
type Content struct {
	Bundle           *Bundle           // nil: nobody is trusted
	Revocations      *crl.Set          // nil: no lists
	RevocationPolicy *RevocationPolicy // made for Bundle; nil: ALB's
	Responder        Responder         // asked beside the lists; nil: nobody
	Version          string            // where the content came from; only reported
}

// Publish is [Store.Replace] under ALB's revocation policy.
func (s *Store) Publish(b *Bundle, revocations *crl.Set, version string) {
	s.Replace(Content{Bundle: b, Revocations: revocations, Version: version})
}

// Replace puts other content in force, in one step. A bundle with the digest of the one
// in force keeps what was remembered.
func (s *Store) Replace(c Content) {
	b := c.Bundle
	if b == nil {
		b = &Bundle{Digest: digest(nil)}
	}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	next := s.state.Load().snapshot
	if next.bundle.Digest == b.Digest {
		again := *next
		again.bundle, again.version = b, c.Version
		next = &again
	} else {
		next = s.snapshot(b, c.Version)
	}
	s.state.Store(&state{next, c.Revocations, c.RevocationPolicy, c.Responder})
}

// SetRevocations replaces the revocation lists only; bundle and policy stay. They are consulted at
// every call of [Store.Verify], so that the next handshake obeys them.
func (s *Store) SetRevocations(set *crl.Set) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	now := s.state.Load()
	s.state.Store(&state{now.snapshot, set, now.rules, now.responder})
}

// Revocations returns the lists in force, nil if there are none.
func (s *Store) Revocations() *crl.Set { return s.state.Load().revocations }

// RevocationPolicy returns the policy in force; nil is ALB's.
func (s *Store) RevocationPolicy() *RevocationPolicy { return s.state.Load().rules }

// Snapshot returns the bundle in force and what is known of it.
func (s *Store) Snapshot() *Snapshot { return s.state.Load().snapshot }

// A Snapshot is one bundle as published. It is safe for concurrent use, and
// all but its memo is immutable.
type Snapshot struct {
	bundle  *Bundle
	version string
	anchors *anchors
	memo    *memo
	flights *singleflight.Group
}

func (s *Store) snapshot(b *Bundle, version string) *Snapshot {
	return &Snapshot{
		bundle:  b,
		version: version,
		anchors: newAnchors(b),
		memo:    newMemo(s.options, &s.counters),
		flights: new(singleflight.Group),
	}
}

// Bundle returns the bundle, which must not be modified.
func (s *Snapshot) Bundle() *Bundle { return s.bundle }

// Version returns what [Store.Replace] was told.
func (s *Snapshot) Version() string { return s.version }

// Digest returns the digest of the bundle. Two snapshots with equal digests
// trust the same certificates.
func (s *Snapshot) Digest() [32]byte { return s.bundle.Digest }

// Len returns how many certificates the bundle holds.
func (s *Snapshot) Len() int { return len(s.bundle.Certificates) }

// Warnings returns what is questionable about the bundle at the given time.
func (s *Snapshot) Warnings(now time.Time) []Warning { return s.bundle.WarningsAt(now) }

// String names the snapshot for logs.
func (s *Snapshot) String() string {
	return fmt.Sprintf("%d certificates, digest %x, version %q", s.Len(), s.bundle.Digest[:8], s.version)
}
