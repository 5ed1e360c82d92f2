package lb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
)

// keepPatience is how long what was put in force waits for its copy to be written: a
// disk that hangs must not keep the next revocation list from being obeyed.
const keepPatience = 10 * time.Second

// historyFolder returns the folder of a trust store's versions, or nothing if nothing
// outlives the process.
func historyFolder(stateDirectory, store string) string {
	if stateDirectory == "" {
		return ""
	}
	return filepath.Join(stateDirectory, "trust-stores", store)
}

// histories are the versions of the trust stores. Its methods are called with reloads
// shut out.
type histories struct {
	logger  *slog.Logger
	opened  map[string]*versions.History // by the name of the store
	writing sync.Mutex                   // held while versions are written
}

func newHistories(logger *slog.Logger) *histories {
	return &histories{logger: logger, opened: make(map[string]*versions.History)}
}

// open returns the history of a trust store. What cannot be read of it is told, and
// keeps nobody from serving.
func (h *histories) open(ts config.TrustStore, stateDirectory string, checking bool) *versions.History {
	folder := historyFolder(stateDirectory, ts.Name)
	known := h.opened[ts.Name]
	if known == nil || known.Folder() != folder {
		if folder != "" && !checking { // before the watch on it
			if err := durable.Folder(folder); err != nil {
				h.logger.Error("the versions of a trust store cannot be kept", "trust_store", ts.Name, "error", err)
			}
		}
		var err error
		if known, err = versions.Open(folder, ts.VersionsToKeep); err != nil {
			h.logger.Error("versions of a trust store are damaged, and cannot be gone back to", "trust_store", ts.Name, "error", err)
		}
		h.opened[ts.Name] = known
	}
	known.Keep(ts.VersionsToKeep)
	return known
}

// keepVersions writes the versions that p has put in force. That may take seconds for
// a list of a hundred megabytes, during which requests are served.
func (b *LoadBalancer) keepVersions(p *plan) {
	if !b.histories.writing.TryLock() {
		b.logger.Error("versions of trust stores are not kept: the disk of the state directory has not finished the last ones",
			"state_directory", p.desired.StateDirectory)
		return
	}
	done := make(chan struct{})
	numbers := b.runtime.versionNumbers()
	go func() {
		defer close(done)
		defer b.histories.writing.Unlock()
		for name, s := range p.stores {
			if err := s.history.Save(numbers[name], s.contents, s.pinned()); err != nil {
				b.logger.Error("a version of a trust store is not kept, and cannot be gone back to; the next reload tries again",
					"trust_store", name, "version", numbers[name], "error", err)
			}
			s.contents = nil // so that the bundle does not stay in memory
		}
	}()
	select {
	case <-done:
	case <-time.After(keepPatience):
		b.logger.Error("writing versions of trust stores takes long", "state_directory", p.desired.StateDirectory)
	}
}

// bundleContent is the content of a bundle that was read.
func bundleContent(file string, data []byte) versions.Content {
	sum := sha256.Sum256(data)
	return versions.Content{
		File: versions.File{Kind: versions.Bundle, Name: file, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

// contentsOf lists the files of a trust store, with what their sources call them.
// Revocation lists are read again when they are copied, since they are never whole in
// memory.
func contentsOf(bundle versions.Content, lists []revocation, sources []SourceVersion) []versions.Content {
	out := []versions.Content{bundle}
	for _, l := range lists {
		out = append(out, versions.Content{
			File: versions.File{
				Kind: versions.Revocation, Name: l.Name, SHA256: hex.EncodeToString(l.sum[:]), Size: int64(l.List.Size()),
			},
			Open: func() (io.ReadCloser, error) { return os.Open(l.file) },
		})
	}
	for i := range out {
		for _, s := range sources {
			if s.Source == out[i].Name {
				out[i].SourceVersion = s.Version
			}
		}
	}
	return out
}
