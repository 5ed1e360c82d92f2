package trust

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	errBusy  = errors.New("too many verifications at once")
	errPanic = errors.New("x509 panicked")
)

// search finds the paths of a chain. Equal chains that arrive together are
// searched for once: what is found depends on the chain and the bundle only,
// not on the policy or the time, so that anybody may share it.
func (s *Store) search(q *question, snapshot *Snapshot) ([]path, error) {
	found, err, _ := snapshot.flights.Do(flightKey(q.chain), func() (any, error) {
		return s.searchInTurn(q.chain, snapshot.anchors)
	})
	if err != nil {
		return nil, err
	}
	return found.([]path), nil
}

// flightKey tells chains apart even for someone who chooses them: it is
// SHA-256 over every certificate with its length.
func flightKey(chain []*x509.Certificate) string {
	h := sha256.New()
	var length [4]byte
	for _, c := range chain {
		binary.BigEndian.PutUint32(length[:], uint32(len(c.Raw)))
		h.Write(length[:])
		h.Write(c.Raw)
	}
	return string(h.Sum(nil))
}

// searchInTurn bounds how many searches run at once, so that a flood of
// strangers leaves processors for clients that are known.
func (s *Store) searchInTurn(chain []*x509.Certificate, store *anchors) ([]path, error) {
	if !s.turns.TryAcquire(1) {
		ctx, cancel := context.WithTimeout(context.Background(), s.options.VerifyWait)
		defer cancel()
		if s.turns.Acquire(ctx, 1) != nil {
			s.counters.busy.Add(1)
			return nil, errBusy
		}
	}
	defer s.turns.Release(1)
	s.counters.verifications.Add(1)
	s.counters.inFlight.Add(1)
	defer s.counters.inFlight.Add(-1)
	return s.searchSafely(chain, store)
}

// searchSafely turns a panic in x509 into a refusal: its parser and verifier
// had several that a certificate could cause (CVE-2024-24783, CVE-2025-58188).
func (s *Store) searchSafely(chain []*x509.Certificate, store *anchors) (paths []path, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.counters.panics.Add(1)
			s.options.Log.Error("verifying a client certificate panicked", "panic", quote(fmt.Sprint(r)))
			paths, err = nil, errPanic
		}
	}()
	return s.options.search(store, chain)
}
