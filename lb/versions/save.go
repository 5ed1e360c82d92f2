package versions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/internal/yield"
)

// copyPiece is how much of a file is copied at a time: some 0.1 ms.
const copyPiece = 64 << 10

var errNotKept = errors.New("its contents were not kept")

// A Content is a file of a version and how to read it.
type Content struct {
	File
	Open func() (io.ReadCloser, error)
}

// Open reads the history in a folder, which need not exist: Save makes it. With an
// empty folder the history is in memory only. The error joins what could not be
// read; the history can be used all the same.
func Open(folder string, keep int) (*History, error) {
	h := &History{folder: folder, keep: max(keep, 1)}
	if folder == "" {
		return h, nil
	}
	return h, h.read()
}

// Save writes the contents of a version and its record, unless they are there, and
// removes what is not to be kept any more. pinned, if not 0, is a version that stays.
// Requests have a turn between the pieces of a large file. What could not be
// written is tried again by the next Save.
func (h *History) Save(number int, contents []Content, pinned int) error {
	if h.folder == "" {
		return nil
	}
	r, ok := h.Find(number)
	if !ok {
		return fmt.Errorf("there is no version %d", number)
	}
	if !r.Kept {
		if err := h.write(r, contents); err != nil {
			return err
		}
	}
	return h.prune(number, pinned)
}

func (h *History) write(r Record, contents []Content) error {
	if len(contents) == 0 {
		return errNotKept
	}
	for _, folder := range []string{h.blobs(), h.versions()} {
		if err := durable.Folder(folder); err != nil {
			return err
		}
	}
	r.Files = nil
	for _, c := range contents {
		if err := h.writeBlob(c); err != nil {
			return err
		}
		r.Files = append(r.Files, c.File)
	}
	r.Kept = true
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(h.recordFile(r.Number), append(data, '\n')); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(r.Number); i >= 0 {
		h.records[i] = r
	}
	return nil
}

// writeBlob copies a file of a version, unless it is there. A file that has changed
// since it was read is refused.
func (h *History) writeBlob(c Content) error {
	if h.has(c.File) {
		return nil
	}
	in, err := c.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	return durable.Write(h.Blob(c.SHA256), func(out io.Writer) error {
		sum := sha256.New()
		if err := copyKindly(io.MultiWriter(out, sum), in); err != nil {
			return fmt.Errorf("copying %s: %w", c.Name, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != c.SHA256 {
			return fmt.Errorf("%s has changed since it was read: what was in it is lost", c.Name)
		}
		return nil
	})
}

// copyKindly copies in pieces between which requests have a turn.
func copyKindly(out io.Writer, in io.Reader) error {
	var turn yield.Turn
	defer turn.Close()
	buffer := make([]byte, copyPiece)
	for {
		n, err := in.Read(buffer)
		if _, err := out.Write(buffer[:n]); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		turn.Yield()
	}
}

// prune removes the records beyond the number to keep, and the contents that none of
// the others has.
func (h *History) prune(spare ...int) error {
	h.mu.Lock()
	gone := h.forget(spare...)
	used := make(map[string]bool)
	for _, r := range h.records {
		for _, f := range r.Files {
			used[f.SHA256] = true
		}
	}
	h.mu.Unlock()
	var faults []error
	for _, number := range gone {
		if err := os.Remove(h.recordFile(number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	faults = append(faults, sweep(h.blobs(), func(name string) bool { return used[name] }))
	faults = append(faults, sweep(h.versions(), func(name string) bool { return !strings.HasPrefix(name, ".") }))
	return errors.Join(faults...)
}

// sweep removes the files of a folder that are not to be kept: what a crash has left
// half written among them.
func sweep(folder string, keep func(name string) bool) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	var faults []error
	for _, e := range entries {
		if e.Type().IsRegular() && !keep(e.Name()) {
			faults = append(faults, os.Remove(filepath.Join(folder, e.Name())))
		}
	}
	return errors.Join(faults...)
}

func (h *History) blobs() string    { return filepath.Join(h.folder, "blobs") }
func (h *History) versions() string { return filepath.Join(h.folder, "versions") }

// Blob returns the file that holds the content with that sum.
func (h *History) Blob(sum string) string { return filepath.Join(h.blobs(), sum) }

func (h *History) recordFile(number int) string {
	return filepath.Join(h.versions(), strconv.Itoa(number)+recordSuffix)
}

// has reports whether the content of a file is in the folder, by its size: whoever
// reads it compares its sum.
func (h *History) has(f File) bool {
	info, err := os.Stat(h.Blob(f.SHA256))
	return err == nil && info.Mode().IsRegular() && info.Size() == f.Size
}
