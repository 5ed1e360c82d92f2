package lb

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/source"
	"github.com/postern-lb/postern/trust"
)

const (
	// sourcesFolder is the folder of the copies in the state directory.
	sourcesFolder = "sources"
	// refreshLimit bounds how long a start or a reload waits for a source that has a
	// copy to go on with.
	refreshLimit = 10 * time.Second
	// refreshAllLimit bounds how long it waits for all of those.
	refreshAllLimit = 30 * time.Second
	// fetchesAtOnce bounds the sources that are asked at one time.
	fetchesAtOnce = 16
)

// The kinds of what a source holds.
const (
	kindBundle      = "bundle"
	kindRevocations = "revocations"
)

// sources are the addresses that the config names, and their copies. They are safe for
// concurrent use.
type sources struct {
	logger *slog.Logger
	report func(why string) // of a new copy; called while polling
	root   string           // where the copies are; empty: in the config's state directory

	checking sync.Mutex // one file at a time: a revocation list takes memory

	mu      sync.Mutex
	folders map[string]*source.Folder
	known   map[sourceKey]*remoteSource
	polling context.Context // nil until run
	polls   sync.WaitGroup
}

// A sourceKey tells sources apart. A changed option makes another source, with the
// same copies if the address stays.
type sourceKey struct {
	root, kind string
	config     config.Source
}

type remoteSource struct {
	*source.Source
	cancel context.CancelFunc // ends polling; nil if it has not begun
}

func newSources(logger *slog.Logger) *sources {
	return &sources{logger: logger, folders: make(map[string]*source.Folder), known: make(map[sourceKey]*remoteSource)}
}

// rootOf returns the folder of the copies of what file names.
func (s *sources) rootOf(file *config.File) string {
	if s.root != "" {
		return s.root
	}
	return filepath.Join(file.StateDirectory, sourcesFolder)
}

// named returns the remote sources of file by where they stand.
func (s *sources) named(file *config.File) map[string]sourceKey {
	out := make(map[string]sourceKey)
	root := s.rootOf(file)
	for i, ts := range file.TrustStores {
		at := fault.Index("trust_stores", i)
		if ts.CACertificatesBundle.Remote() {
			out[at+".ca_certificates_bundle"] = sourceKey{root, kindBundle, ts.CACertificatesBundle}
		}
		for j, r := range ts.Revocations {
			if r.Remote() {
				out[fault.Index(at+".revocations", j)] = sourceKey{root, kindRevocations, r}
			}
		}
	}
	return out
}

// refresh asks the sources of file that have not been asked yet, or all of them. What
// becomes of it is in their status. It does not hold up those who use the copies.
func (s *sources) refresh(ctx context.Context, file *config.File, all bool) {
	refreshing, cancel := context.WithTimeout(ctx, refreshAllLimit)
	defer cancel()
	turns := make(chan struct{}, fetchesAtOnce)
	var fetches sync.WaitGroup
	asked := make(map[sourceKey]bool)
	for _, key := range s.named(file) {
		remote, err := s.open(key)
		if err != nil || asked[key] || (!all && !remote.Status().LastAttempt.IsZero()) {
			continue // copyOf tells of the error
		}
		asked[key] = true
		fetches.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			within, limit := ctx, key.config.Timeout
			if remote.Folder().Newest() != nil {
				within, limit = refreshing, refreshLimit
			}
			if _, err := remote.Fetch(within, limit); err != nil {
				s.failed(err)
			}
		})
	}
	fetches.Wait()
}

func (s *sources) failed(err error) {
	s.logger.Warn("fetching a source: the last good copy stays", "error", err)
}

// open returns the source for key, made if need be.
func (s *sources) open(key sourceKey) (*remoteSource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[key]; known != nil {
		return known, nil
	}
	cfg := s.sourceConfig(key)
	id := strings.Join([]string{key.root, key.kind, cfg.URL, cfg.Version, cfg.Endpoint}, "\n")
	folder := s.folders[id]
	if folder == nil {
		if err := durable.Folder(key.root); err != nil {
			return nil, err
		}
		var err error
		if folder, err = source.OpenFolder(key.root, cfg, key.kind); err != nil {
			return nil, err
		}
		s.folders[id] = folder
	}
	made, err := source.New(cfg, folder)
	if err != nil {
		return nil, err
	}
	s.known[key] = &remoteSource{Source: made}
	return s.known[key], nil
}

func (s *sources) sourceConfig(key sourceKey) source.Config {
	c := key.config
	out := source.Config{
		URL: c.URL, Version: c.Version, Region: c.Region, Endpoint: c.Endpoint, ForcePathStyle: c.ForcePathStyle,
		CACertificate: c.CACertificate, ClientCertificate: c.ClientCertificate, ClientKey: c.ClientKey,
		PollInterval: c.PollInterval, Timeout: c.Timeout,
	}
	if key.kind == kindBundle {
		out.MaxSize, out.Check = min(int64(c.MaxSize), maxBundleFile), s.checkBundle
	} else {
		out.MaxSize, out.Check = min(int64(c.MaxSize), maxRevocationFile), s.checkRevocations
	}
	return out
}

func (s *sources) checkBundle(file string) error {
	data, err := readFile(file, maxBundleFile)
	if err != nil {
		return err
	}
	_, err = trust.ParseBundle(data, time.Now())
	return err
}

func (s *sources) checkRevocations(file string) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	f, _, err := openFile(file, maxRevocationFile)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = crl.Read(f)
	return err
}

// A localCopy is the copy of a source that a plan is made from.
type localCopy struct {
	file, name, version string
	folder              *source.Folder
	copy                *source.Copy
}

// copyOf returns the newest copy of a source or, with accepted, the one that was in
// force last.
func (s *sources) copyOf(key sourceKey, accepted bool) (*localCopy, error) {
	remote, err := s.open(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key.config.URL, err)
	}
	folder := remote.Folder()
	c := folder.Newest()
	if old := folder.Accepted(); accepted && old != nil {
		c = old
	}
	if c == nil {
		err := remote.Status().Err
		if err == nil {
			err = fmt.Errorf("%s has not been fetched yet", remote.Name())
		}
		return nil, fmt.Errorf("there is no copy of an earlier time to go on with: %w", err)
	}
	return &localCopy{file: folder.Path(c), name: remote.Name(), version: c.Version(), folder: folder, copy: c}, nil
}

// waiting returns the names of the sources of file whose newest copy is not that in force
// last, where there was one in force.
func (s *sources) waiting(file *config.File) []string {
	var out []string
	for _, key := range s.named(file) {
		if remote, err := s.open(key); err == nil && remote.Folder().Accepted() != nil && remote.Folder().Waiting() {
			out = append(out, remote.Name())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// follow accepts the copies that are in force now and polls what file names, and nothing
// else.
func (s *sources) follow(file *config.File, used []*localCopy) {
	for _, c := range used {
		if err := c.folder.Accept(c.copy); err != nil {
			s.logger.Error("noting which copy of a source is in force", "source", c.name, "error", err)
		}
	}
	keep := make(map[sourceKey]bool)
	for _, key := range s.named(file) {
		keep[key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, remote := range s.known {
		if !keep[key] {
			if remote.cancel != nil {
				remote.cancel()
			}
			delete(s.known, key)
			continue
		}
		s.poll(remote)
	}
}

// poll begins to ask a source again and again. The caller holds mu.
func (s *sources) poll(remote *remoteSource) {
	if s.polling == nil || remote.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, remote.cancel = context.WithCancel(s.polling)
	s.polls.Go(func() {
		remote.Run(ctx, func() { s.report("a new copy of " + remote.Name()) }, s.failed)
	})
}

// run polls until ctx ends.
func (s *sources) run(ctx context.Context) {
	s.mu.Lock()
	s.polling = ctx
	for _, remote := range s.known {
		s.poll(remote)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.polls.Wait()
}

// statuses returns how the sources do, by name.
func (s *sources) statuses() []source.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	byName := make(map[string]source.Status)
	for _, remote := range s.known {
		status := remote.Status()
		if other, known := byName[status.Name]; !known || other.Failures < status.Failures {
			byName[status.Name] = status
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b source.Status) int { return strings.Compare(a.Name, b.Name) })
}

// useTemporary puts the copies of file into a folder that remove removes: a check must
// leave nothing behind.
func (s *sources) useTemporary(file *config.File) (remove func(), err error) {
	if len(s.named(file)) == 0 {
		return func() {}, nil
	}
	if s.root, err = os.MkdirTemp("", "postern-check-"); err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(s.root) }, nil
}
