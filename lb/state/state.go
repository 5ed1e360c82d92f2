// Package state holds the desired state of a load balancer: what should run,
// not what does.
//
// A [Store] keeps it as rows of an in-memory database, one row a listener,
// target group, trust store or setting. [Store.Apply] replaces the whole state
// in one transaction and touches only the rows that differ, so that a reader
// can tell by a row's pointer, or its revision, that nothing is to be done for
// it. A [Snapshot] is one consistent view; [Store.Wait] sleeps until there is a
// newer one. Start from those three.
//
// Lookups cost about a microsecond and allocate. The package is the control
// plane's; requests and handshakes never come here.
package state

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/postern-lb/postern/lb/config"
)

// A Row is one named thing of the desired state. Rows are shared by every
// snapshot that holds them and are never modified.
type Row[T any] struct {
	Name string
	// Revision is that of the Apply that last changed the row.
	Revision uint64
	Value    T
}

func (r *Row[T]) rowName() string { return r.Name }

// A Store holds the desired state. Its methods are safe for concurrent use.
type Store struct {
	db *memdb.MemDB
}

// New returns a store at revision 0, with no rows. The error is that of the
// database refusing its schema, which does not depend on input.
func New() (*Store, error) {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		return nil, fmt.Errorf("opening the desired state: %w", err)
	}
	return &Store{db: db}, nil
}

// Apply makes desired the whole desired state, in one transaction. Rows that
// are equal already are kept as they are; if all are, nothing changes and
// nobody is woken. A desired state that refers to what it does not hold, or
// has a name twice, is refused whole, with a fault.List of config paths.
//
// Files says what is in the files that desired names, by a digest each: a file
// that changed under the same name is a change of the desired state too.
//
// The rows keep the slices, maps and pointers of both: they must not be modified
// afterwards.
func (s *Store) Apply(desired *config.File, files map[string]string) (Changes, error) {
	txn := s.db.Txn(true)
	defer txn.Abort() // does nothing after Commit
	revision, err := revisionOf(txn)
	if err != nil {
		return Changes{}, err
	}
	w := &writer{txn: txn, revision: revision + 1}
	w.all(desired)
	upsert(w, tableSetting, settingFiles, files, &w.changes.Settings)
	if w.err != nil {
		return Changes{}, w.err
	}
	if err := checkReferences(txn, desired); err != nil {
		return Changes{}, fmt.Errorf("writing the desired state: %w", err)
	}
	if w.changes.Empty() {
		return Changes{Revision: revision}, nil
	}
	w.changes.Revision = w.revision
	if err := txn.Insert(tableRevision, &Row[uint64]{Name: tableRevision, Revision: w.revision}); err != nil {
		return Changes{}, fmt.Errorf("writing the desired state: revision: %w", err)
	}
	txn.Commit()
	return w.changes, nil
}

// Snapshot returns the state as it is now. It costs nothing to take or keep.
func (s *Store) Snapshot() *Snapshot {
	return &Snapshot{db: s.db.Snapshot()}
}

// Wait returns the revision of the state as soon as it is above after, which
// may be at once. Changes that come close together may be seen as one. If ctx
// ends first, Wait returns after and the error of ctx.
func (s *Store) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		changed, raw, err := s.db.Txn(false).FirstWatch(tableRevision, indexID, tableRevision)
		if err != nil {
			return after, fmt.Errorf("watching the revision: %w", err)
		}
		if row, ok := raw.(*Row[uint64]); ok && row.Revision > after {
			return row.Revision, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return after, ctx.Err()
		}
	}
}

func revisionOf(txn *memdb.Txn) (uint64, error) {
	raw, err := txn.First(tableRevision, indexID, tableRevision)
	if err != nil {
		return 0, fmt.Errorf("reading the revision: %w", err)
	}
	if row, ok := raw.(*Row[uint64]); ok {
		return row.Revision, nil
	}
	return 0, nil
}
