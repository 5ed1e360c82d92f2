package state

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
)

// Changes is what one Apply did.
type Changes struct {
	// Revision is that of the state after the Apply; it grows by one with each
	// Apply that changes anything.
	Revision uint64

	Listeners, TargetGroups, TrustStores, Settings Diff
}

// Empty reports whether nothing changed.
func (c Changes) Empty() bool {
	return c.Listeners.empty() && c.TargetGroups.empty() && c.TrustStores.empty() && c.Settings.empty()
}

// Diff names the rows of one table that changed. Added and Updated are in the
// order of the desired state, Removed is sorted by name.
type Diff struct {
	Added, Updated, Removed []string
}

func (d Diff) empty() bool { return len(d.Added)+len(d.Updated)+len(d.Removed) == 0 }

// A writer makes the rows of one transaction equal to a desired state. After
// its first error it does nothing more.
type writer struct {
	txn      *memdb.Txn
	revision uint64
	changes  Changes
	err      error
}

func (w *writer) all(desired *config.File) {
	replace(w, tableTargetGroup, "target_groups", desired.TargetGroups, &w.changes.TargetGroups, func(g *config.TargetGroup) string { return g.Name })
	replace(w, tableTrustStore, "trust_stores", desired.TrustStores, &w.changes.TrustStores, func(s *config.TrustStore) string { return s.Name })
	replace(w, tableListener, "listeners", desired.Listeners, &w.changes.Listeners, func(l *config.Listener) string { return l.Name })
	upsert(w, tableSetting, settingLoadBalancer, desired.LoadBalancer, &w.changes.Settings)
	upsert(w, tableSetting, settingAdmin, desired.Admin, &w.changes.Settings)
	upsert(w, tableSetting, settingLogs, desired.Logs, &w.changes.Settings)
	upsert(w, tableSetting, settingDirectory, desired.StateDirectory, &w.changes.Settings)
}

// replace upserts values, which stand at path in the desired state, and deletes
// the rows of the table that are not among them.
func replace[T any](w *writer, table, path string, values []T, diff *Diff, nameOf func(*T) string) {
	wanted := make(map[string]int, len(values))
	for i := range values {
		name := nameOf(&values[i])
		at := fault.Index(path, i) + ".name"
		if first, taken := wanted[name]; taken {
			w.fail(&fault.Fault{Path: at, Problem: fmt.Sprintf("the name %q is already that of %s", name, fault.Index(path, first))})
		}
		if name == "" {
			w.fail(&fault.Fault{Path: at, Problem: "must not be empty"})
		}
		wanted[name] = i
		upsert(w, table, name, values[i], diff)
	}
	if w.err != nil {
		return
	}
	rows, err := rowsOf[T](w.txn, table, indexID)
	w.fail(err)
	for _, row := range rows {
		if _, keep := wanted[row.Name]; !keep {
			w.fail(w.txn.Delete(table, row))
			diff.Removed = append(diff.Removed, row.Name)
		}
	}
}

// upsert writes one row unless the one there is equal.
func upsert[T any](w *writer, table, name string, value T, diff *Diff) {
	if w.err != nil {
		return
	}
	raw, err := w.txn.First(table, indexID, name)
	if err != nil {
		w.fail(err)
		return
	}
	old, exists := raw.(*Row[T])
	switch {
	case exists && reflect.DeepEqual(old.Value, value):
		return
	case exists:
		diff.Updated = append(diff.Updated, name)
	default:
		diff.Added = append(diff.Added, name)
	}
	w.fail(w.txn.Insert(table, &Row[T]{Name: name, Revision: w.revision, Value: value}))
}

func (w *writer) fail(err error) {
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("writing the desired state: %w", err)
	}
}

// checkReferences asks the transaction, not the file, so that whatever way a
// state comes about it is whole before anyone sees it.
func checkReferences(txn *memdb.Txn, desired *config.File) error {
	var faults fault.List
	for i := range desired.Listeners {
		l := &desired.Listeners[i]
		path := fault.Index("listeners", i)
		for _, name := range trustStoresOf(l) {
			if err := mustExist(txn, tableTrustStore, name); err != nil {
				faults.AddUnder(path+".mutual_authentication.trust_store", err)
			}
		}
		for _, name := range l.TargetGroups() {
			if err := mustExist(txn, tableTargetGroup, name); err != nil {
				faults.AddUnder(path, err)
			}
		}
	}
	return faults.Err()
}

func mustExist(txn *memdb.Txn, table, name string) error {
	raw, err := txn.First(table, indexID, name)
	if err == nil && raw == nil {
		err = fmt.Errorf("no %s has the name %q", strings.ReplaceAll(table, "_", " "), name)
	}
	return err
}
