package state

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/postern-lb/postern/lb/config"
)

// A Snapshot is the desired state at one revision. It never changes, and is
// safe for concurrent use.
type Snapshot struct {
	db *memdb.MemDB
}

// Revision returns the revision of the snapshot; 0 is the empty state.
func (s *Snapshot) Revision() uint64 {
	revision, err := revisionOf(s.db.Txn(false))
	must(err)
	return revision
}

// Listeners returns every listener, by name.
func (s *Snapshot) Listeners() []*Row[config.Listener] {
	return find[config.Listener](s, tableListener, indexID)
}

// TargetGroups returns every target group, by name.
func (s *Snapshot) TargetGroups() []*Row[config.TargetGroup] {
	return find[config.TargetGroup](s, tableTargetGroup, indexID)
}

// TrustStores returns every trust store, by name.
func (s *Snapshot) TrustStores() []*Row[config.TrustStore] {
	return find[config.TrustStore](s, tableTrustStore, indexID)
}

// Listener returns the listener of that name, or nil.
func (s *Snapshot) Listener(name string) *Row[config.Listener] {
	return first[config.Listener](s, tableListener, name)
}

// TargetGroup returns the target group of that name, or nil.
func (s *Snapshot) TargetGroup(name string) *Row[config.TargetGroup] {
	return first[config.TargetGroup](s, tableTargetGroup, name)
}

// TrustStore returns the trust store of that name, or nil.
func (s *Snapshot) TrustStore(name string) *Row[config.TrustStore] {
	return first[config.TrustStore](s, tableTrustStore, name)
}

// LoadBalancer returns the attributes of the load balancer, or nil at
// revision 0.
func (s *Snapshot) LoadBalancer() *Row[config.LoadBalancer] {
	return first[config.LoadBalancer](s, tableSetting, settingLoadBalancer)
}

// Admin returns the settings of the admin side, or nil at revision 0.
func (s *Snapshot) Admin() *Row[config.Admin] {
	return first[config.Admin](s, tableSetting, settingAdmin)
}

// Logs returns the settings of the logs, or nil at revision 0.
func (s *Snapshot) Logs() *Row[config.Logs] {
	return first[config.Logs](s, tableSetting, settingLogs)
}

// File returns the whole state in the form of a config file, listeners and the
// rest ordered by name; nil at revision 0. It has no positions.
func (s *Snapshot) File() *config.File {
	if s.LoadBalancer() == nil {
		return nil
	}
	return &config.File{
		Admin: s.Admin().Value, LoadBalancer: s.LoadBalancer().Value, Logs: s.Logs().Value,
		Listeners: valuesOf(s.Listeners()), TargetGroups: valuesOf(s.TargetGroups()), TrustStores: valuesOf(s.TrustStores()),
		StateDirectory: first[string](s, tableSetting, settingDirectory).Value,
	}
}

func valuesOf[T any](rows []*Row[T]) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		out[i] = row.Value
	}
	return out
}

// ListenersUsingTrustStore returns the listeners that verify clients with the
// trust store of that name.
func (s *Snapshot) ListenersUsingTrustStore(name string) []*Row[config.Listener] {
	return find[config.Listener](s, tableListener, indexTrustStore, name)
}

// ListenersUsingTargetGroup returns the listeners that forward to the target
// group of that name, in a rule or by default. A group that none uses is idle
// (ALB: targets are unused, reason Target.NotInUse).
func (s *Snapshot) ListenersUsingTargetGroup(name string) []*Row[config.Listener] {
	return find[config.Listener](s, tableListener, indexTargetGroup, name)
}

func first[T any](s *Snapshot, table, name string) *Row[T] {
	raw, err := s.db.Txn(false).First(table, indexID, name)
	must(err)
	row, _ := raw.(*Row[T])
	return row
}

func find[T any](s *Snapshot, table, index string, args ...any) []*Row[T] {
	rows, err := rowsOf[T](s.db.Txn(false), table, index, args...)
	must(err)
	return rows
}

// rowsOf collects the rows of an index before any of them is changed: the
// database's iterators do not allow a change under way.
func rowsOf[T any](txn *memdb.Txn, table, index string, args ...any) ([]*Row[T], error) {
	it, err := txn.Get(table, index, args...)
	if err != nil {
		return nil, fmt.Errorf("reading table %s: %w", table, err)
	}
	var rows []*Row[T]
	for raw := it.Next(); raw != nil; raw = it.Next() {
		row, ok := raw.(*Row[T])
		if !ok {
			return nil, fmt.Errorf("table %s holds a %T", table, raw)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// must holds for reads: they fail only if a table or an index has another name
// than in the schema.
func must(err error) {
	if err != nil {
		panic("state: internal error: " + err.Error())
	}
}
