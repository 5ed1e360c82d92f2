package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postern-lb/postern/internal/durable"
)

// A Copy is what was fetched once.
type Copy struct {
	File         string    `json:"file"` // in the folder
	SHA256       string    `json:"sha256"`
	Size         int64     `json:"size"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	VersionID    string    `json:"version_id,omitempty"`
	FetchedAt    time.Time `json:"fetched_at"`
	CheckedAt    time.Time `json:"checked_at"` // when the server last said that it is the newest
}

// Version returns what the source itself calls the version: an S3 version id, or an
// ETag; empty if it has neither.
func (c *Copy) Version() string {
	if c.VersionID != "" {
		return c.VersionID
	}
	return c.ETag
}

// index is the file that says which copies there are. One rename replaces it, so that
// what is known of a copy never belongs to another.
type index struct {
	Address  string `json:"address"` // for people
	Newest   *Copy  `json:"newest,omitempty"`
	Accepted *Copy  `json:"accepted,omitempty"`
}

const (
	indexFile     = "index.json"
	contentPrefix = "content-"
	partPrefix    = "part-" // of what is being fetched
)

// A Folder holds the copies of one source. It is safe for concurrent use by one process.
type Folder struct {
	path      string
	replacing sync.Mutex

	mu    sync.Mutex
	index index
}

// OpenFolder makes the folder of a source below root, or finds what
// is there. A copy that is not what was once written is forgotten.
func OpenFolder(root string, cfg Config, kind string) (*Folder, error) {
	sum := sha256.Sum256([]byte(strings.Join([]string{kind, cfg.URL, cfg.Version, cfg.Endpoint}, "\n")))
	f := &Folder{path: filepath.Join(root, hex.EncodeToString(sum[:16]))}
	if err := durable.Folder(f.path); err != nil {
		return nil, err
	}
	data, err := readSmall(filepath.Join(f.path, indexFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := json.Unmarshal(data, &f.index); err != nil {
		f.index = index{}
	}
	f.index.Address = cfg.Name()
	f.index.Newest, f.index.Accepted = f.intact(f.index.Newest), f.intact(f.index.Accepted)
	if f.index.Newest == nil {
		f.index.Newest = f.index.Accepted
	}
	f.sweep()
	f.removeParts()
	return f, nil
}

// intact returns c if its file is what was fetched.
func (f *Folder) intact(c *Copy) *Copy {
	if c == nil || filepath.Base(c.File) != c.File || !strings.HasPrefix(c.File, contentPrefix) {
		return nil
	}
	file, err := os.Open(filepath.Join(f.path, c.File))
	if err != nil {
		return nil
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil || hex.EncodeToString(hash.Sum(nil)) != c.SHA256 {
		return nil
	}
	return c
}

// sweep removes content that no copy names. The caller holds replacing, or nobody else
// has f yet: what was just fetched is not named yet.
func (f *Folder) sweep() {
	names, err := filepath.Glob(filepath.Join(f.path, contentPrefix+"*"))
	if err != nil {
		return
	}
	for _, name := range names {
		base := filepath.Base(name)
		if !f.index.Newest.is(base) && !f.index.Accepted.is(base) {
			os.Remove(name)
		}
	}
}

// removeParts removes what attempts left that were cut off.
func (f *Folder) removeParts() {
	names, err := filepath.Glob(filepath.Join(f.path, partPrefix+"*"))
	if err != nil {
		return
	}
	for _, name := range names {
		os.Remove(name)
	}
}

func (c *Copy) is(file string) bool { return c != nil && c.File == file }

// Newest returns the newest copy, or nil.
func (f *Folder) Newest() *Copy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index.Newest
}

// Accepted returns the copy that was last in force, or nil.
func (f *Folder) Accepted() *Copy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index.Accepted
}

// Waiting reports whether the newest copy has not been in force yet.
func (f *Folder) Waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index.Newest != nil && (f.index.Accepted == nil || f.index.Newest.File != f.index.Accepted.File)
}

// Path returns where the content of c is.
func (f *Folder) Path(c *Copy) string { return filepath.Join(f.path, c.File) }

// Accept notes that c is in force, and so is what to fall back on.
func (f *Folder) Accept(c *Copy) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.index.Accepted.is(c.File) {
		return nil
	}
	if _, err := os.Stat(f.Path(c)); errors.Is(err, os.ErrNotExist) {
		return nil // overtaken by a newer one, which is on its way into force
	}
	return f.write(index{Address: f.index.Address, Newest: f.index.Newest, Accepted: c})
}

// write puts next in place of the index. The caller holds mu.
func (f *Folder) write(next index) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(f.path, indexFile), append(data, '\n')); err != nil {
		return err
	}
	f.index = next
	return nil
}

// replaceNewest keeps what get writes as the newest copy, if check has nothing against
// it. It reports whether it differs from the newest copy before.
func (f *Folder) replaceNewest(check func(string) error, get func(*Copy, io.Writer) (*Copy, error)) (bool, error) {
	f.replacing.Lock()
	defer f.replacing.Unlock()
	known := f.Newest()
	fetched, err := f.download(known, get)
	switch {
	case errors.Is(err, errNotModified):
		c := *known
		c.CheckedAt = time.Now().UTC()
		return false, f.keep(&c)
	case err != nil:
		return false, err
	case known != nil && fetched.SHA256 == known.SHA256:
		fetched.FetchedAt = known.FetchedAt
		return false, f.keep(fetched)
	}
	if err := check(f.Path(fetched)); err != nil {
		f.sweep() // not by name: an earlier copy may have the same content
		return false, fmt.Errorf("the answer is refused: %w", err)
	}
	return true, f.keep(fetched)
}

// download writes what get says to a file named by its digest.
func (f *Folder) download(known *Copy, get func(*Copy, io.Writer) (*Copy, error)) (*Copy, error) {
	temporary, err := os.CreateTemp(f.path, partPrefix+"*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(temporary.Name()) // gone already if all went well
	defer temporary.Close()
	hash := sha256.New()
	fetched, err := get(known, io.MultiWriter(temporary, hash))
	if err != nil {
		return nil, err
	}
	if fetched.Size, err = temporary.Seek(0, io.SeekCurrent); err != nil {
		return nil, err
	}
	if fetched.Size == 0 {
		return nil, errors.New("the answer is empty")
	}
	if err := temporary.Sync(); err != nil {
		return nil, err
	}
	fetched.SHA256 = hex.EncodeToString(hash.Sum(nil))
	fetched.File = contentPrefix + fetched.SHA256[:32]
	fetched.FetchedAt = time.Now().UTC()
	fetched.CheckedAt = fetched.FetchedAt
	return fetched, os.Rename(temporary.Name(), f.Path(fetched))
}

// keep makes c the newest copy.
func (f *Folder) keep(c *Copy) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := index{Address: f.index.Address, Newest: c, Accepted: f.index.Accepted}
	if next.Accepted.is(c.File) {
		next.Accepted = c // the same content, checked later
	}
	if err := f.write(next); err != nil {
		return err
	}
	f.sweep()
	return nil
}
