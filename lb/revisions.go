package lb

import (
	"context"
	"errors"
	"sync"
)

// errEnded is what waits for a revision that will not come any more.
var errEnded = errors.New("the load balancer has stopped")

// revisions says up to which revision the desired state was put in force. It is
// safe for concurrent use.
type revisions struct {
	mu      sync.Mutex
	at      uint64
	err     error // why the state at that revision is not in force
	ended   bool
	changed chan struct{} // closed and replaced at each step
}

// current returns the last revision that was tried.
func (r *revisions) current() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// reached notes what became of a revision.
func (r *revisions) reached(revision uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.err = max(r.at, revision), err
	r.wake()
}

// end tells everybody that waits, or will, that nothing more happens.
func (r *revisions) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.wake()
}

// wake ends waits; the caller holds mu.
func (r *revisions) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// wait returns once revision or a later one is in force. The error says why it is
// not, or that ctx has ended.
func (r *revisions) wait(ctx context.Context, revision uint64) error {
	for {
		changed, done, err := r.look(revision)
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *revisions) look(revision uint64) (changed <-chan struct{}, done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.at >= revision:
		return nil, true, r.err
	case r.ended:
		return nil, true, errEnded
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed, false, nil
}
