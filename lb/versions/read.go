package versions

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const recordSuffix = ".json"

// read reads every record of the folder. A record that cannot be read keeps its
// number, so that nobody else gets it.
func (h *History) read() error {
	entries, err := os.ReadDir(h.versions())
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("reading the versions of a trust store: %w", err)
	}
	var faults []error
	for _, e := range entries {
		number, ok := recordNumber(e.Name())
		if !ok {
			continue
		}
		r, err := h.readRecord(number)
		if err != nil {
			r = Record{Number: number, Problem: err.Error()}
			faults = append(faults, fmt.Errorf("reading %s: %w", h.recordFile(number), err))
		}
		h.records = append(h.records, r)
	}
	slices.SortFunc(h.records, func(a, b Record) int { return cmp.Compare(a.Number, b.Number) })
	return errors.Join(faults...)
}

// recordNumber returns the number in the name of a record's file.
func recordNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, recordSuffix)
	number, err := strconv.Atoi(digits)
	return number, ok && err == nil && number > 0 && strconv.Itoa(number) == digits
}

func (h *History) readRecord(number int) (Record, error) {
	data, err := readBounded(h.recordFile(number), maxRecordBytes)
	if err != nil {
		return Record{}, err
	}
	r, err := parseRecord(data)
	if err != nil {
		return Record{}, err
	}
	if r.Number != number {
		return Record{}, fmt.Errorf("the record says that it is version %d", r.Number)
	}
	r.Problem = ""
	r.Kept = !slices.ContainsFunc(r.Files, func(f File) bool { return !h.has(f) })
	return r, nil
}

// parseRecord reads a record and checks what file names are made of.
func parseRecord(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, err
	}
	if r.Number < 1 || !isSum(r.Digest) {
		return Record{}, errors.New("the record has no number, or no digest")
	}
	bundles := 0
	for _, f := range r.Files {
		if !isSum(f.SHA256) || f.Kind != Bundle && f.Kind != Revocation {
			return Record{}, fmt.Errorf("the record has a file of kind %q with the sum %q", f.Kind, f.SHA256)
		}
		if f.Kind == Bundle {
			bundles++
		}
	}
	if bundles == 0 {
		return Record{}, errors.New("the record has no bundle")
	}
	return r, nil
}

// isSum reports whether s is a SHA-256 in lower-case hex, and so fit to be a file name.
func isSum(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size && s == strings.ToLower(s)
}

// Verify reads the contents of a version and compares their sums. The error says what
// is missing or damaged.
func (h *History) Verify(r Record) error {
	if r.Problem != "" {
		return fmt.Errorf("its record is damaged: %s", r.Problem)
	}
	if h.folder == "" || len(r.Files) == 0 {
		return errNotKept
	}
	for _, f := range r.Files {
		if err := h.verifyBlob(f); err != nil {
			return err
		}
	}
	return nil
}

func (h *History) verifyBlob(f File) error {
	in, err := os.Open(h.Blob(f.SHA256))
	if err != nil {
		return fmt.Errorf("the content of %s is missing: %w", f.Name, err)
	}
	defer in.Close()
	sum := sha256.New()
	if err := copyKindly(sum, in); err != nil {
		return fmt.Errorf("reading the content of %s: %w", f.Name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("the content of %s is damaged: %s does not have the sum in its name", f.Name, h.Blob(f.SHA256))
	}
	return nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(name), limit)
	}
	return data, err
}
