package state

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/postern-lb/postern/lb/config"
)

// The tables, and the indexes that answer who uses what.
const (
	tableListener    = "listener"
	tableTargetGroup = "target_group"
	tableTrustStore  = "trust_store"
	tableSetting     = "setting"
	tableRevision    = "revision"

	indexID          = "id"
	indexTrustStore  = "trust_store"
	indexTargetGroup = "target_group"
)

// The rows of the setting table.
const (
	settingLoadBalancer = "load_balancer"
	settingAdmin        = "admin"
	settingLogs         = "logs"
	settingFiles        = "files"
	settingDirectory    = "state_directory"
)

func schema() *memdb.DBSchema {
	tables := make(map[string]*memdb.TableSchema)
	for _, name := range []string{tableListener, tableTargetGroup, tableTrustStore, tableSetting, tableRevision} {
		tables[name] = &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
			indexID: {Name: indexID, Unique: true, Indexer: nameIndex{}},
		}}
	}
	listener := tables[tableListener].Indexes
	listener[indexTrustStore] = &memdb.IndexSchema{
		Name: indexTrustStore, AllowMissing: true, Indexer: usesIndex{trustStoresOf},
	}
	listener[indexTargetGroup] = &memdb.IndexSchema{
		Name: indexTargetGroup, AllowMissing: true, Indexer: usesIndex{(*config.Listener).TargetGroups},
	}
	return &memdb.DBSchema{Tables: tables}
}

// trustStoresOf returns the trust store that a listener names, if any.
func trustStoresOf(l *config.Listener) []string {
	if l.MutualAuthentication.TrustStore == "" {
		return nil
	}
	return []string{l.MutualAuthentication.TrustStore}
}

// nameIndex finds any row by its name.
type nameIndex struct{}

func (nameIndex) FromObject(raw any) (bool, []byte, error) {
	row, ok := raw.(interface{ rowName() string })
	if !ok {
		return false, nil, fmt.Errorf("%T is no row", raw)
	}
	return row.rowName() != "", key(row.rowName()), nil
}

func (nameIndex) FromArgs(args ...any) ([]byte, error) { return keyOf(args) }

// usesIndex finds listeners by the names of what they use.
type usesIndex struct {
	names func(*config.Listener) []string
}

func (u usesIndex) FromObject(raw any) (bool, [][]byte, error) {
	row, ok := raw.(*Row[config.Listener])
	if !ok {
		return false, nil, fmt.Errorf("%T is no listener", raw)
	}
	var keys [][]byte
	for _, name := range u.names(&row.Value) {
		keys = append(keys, key(name))
	}
	return len(keys) > 0, keys, nil
}

func (usesIndex) FromArgs(args ...any) ([]byte, error) { return keyOf(args) }

// key ends a name with NUL, so that no key is the beginning of another.
func key(name string) []byte { return append([]byte(name), 0) }

func keyOf(args []any) ([]byte, error) {
	if len(args) == 1 {
		if name, ok := args[0].(string); ok {
			return key(name), nil
		}
	}
	return nil, fmt.Errorf("a look-up needs one name, not %v", args)
}
