package lb

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
)

// StoreVersions are the versions of a trust store that its state directory has.
type StoreVersions struct {
	Name string `json:"name"`
	// Pin holds the trust store at a version; nil if it follows its sources.
	Pin      *versions.Pin     `json:"pin,omitempty"`
	Versions []versions.Record `json:"versions"` // the newest last

	history *versions.History
}

// Versions reads the versions of a trust store from the state directory of the config at
// path. Nothing need be running. The error is a config.Errors if the config is at fault.
func Versions(path, store string) (*StoreVersions, error) {
	s, err := openVersions(path, store)
	if err != nil {
		return nil, err
	}
	s.Pin, err = versions.ReadPin(s.history.Folder())
	return s, err
}

// openVersions is Versions without the pin, which may be damaged and about to be
// replaced.
func openVersions(path, store string) (*StoreVersions, error) {
	file, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, ts := range file.TrustStores {
		if ts.Name == store {
			return readVersions(file.StateDirectory, ts)
		}
		names = append(names, ts.Name)
	}
	return nil, fmt.Errorf("%s has no trust store %q: it has %s", path, store, strings.Join(names, ", "))
}

func readVersions(stateDirectory string, ts config.TrustStore) (*StoreVersions, error) {
	if stateDirectory == "" {
		return nil, fmt.Errorf("the config has no state_directory, so versions live in the memory of the running process and cannot be gone back to: "+
			"set it; GET /trust-stores/%s on the admin address shows them", ts.Name)
	}
	folder := historyFolder(stateDirectory, ts.Name)
	history, _ := versions.Open(folder, ts.VersionsToKeep) // each damaged record says so
	return &StoreVersions{Name: ts.Name, Versions: history.Records(), history: history}, nil
}

// RollBack pins a trust store to a version, whose contents it checks. A running process
// takes it up by itself; one that starts later begins with it.
func RollBack(path, store string, version int) error {
	s, err := openVersions(path, store)
	if err != nil {
		return err
	}
	r, known := s.history.Find(version)
	if !known {
		return fmt.Errorf("trust store %q has no version %d: it has %s", store, version, s.numbers())
	}
	if err := s.history.Verify(r); err != nil {
		return fmt.Errorf("version %d of trust store %q cannot be used: %w", version, store, err)
	}
	return versions.WritePin(s.history.Folder(), versions.Pin{Version: version, At: time.Now().UTC().Truncate(time.Second)})
}

// Release lets a trust store follow its sources again, and reports whether it was
// pinned.
func Release(path, store string) (pinned bool, err error) {
	s, err := openVersions(path, store)
	if err != nil {
		return false, err
	}
	return versions.RemovePin(s.history.Folder())
}

func (s *StoreVersions) numbers() string {
	if len(s.Versions) == 0 {
		return "none yet: they are made while postern runs"
	}
	var out []string
	for _, r := range s.Versions {
		out = append(out, fmt.Sprint(r.Number))
	}
	return strings.Join(out, ", ")
}
