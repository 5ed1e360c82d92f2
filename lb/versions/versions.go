// Package versions keeps the numbered versions of a trust store, so that an operator
// can see what was in force when, and go back.
//
// A [History] is the versions of one trust store. Each is a [Record], in a file of its
// own, and the contents of its files, which are kept once however many versions have
// them:
//
//	FOLDER/versions/7.json   a Record
//	FOLDER/blobs/SHA-256     the content of a file
//	FOLDER/pin.json          a Pin, if the trust store does not follow its sources
//
// Numbers begin at 1 and are never given twice: the newest record is never removed. A
// history without a folder numbers as well and keeps no contents.
//
// The package knows nothing of certificates, and never decides what is in force. One
// process writes to a folder at a time, but for the pin, which commands write.
package versions

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limits of a history.
const (
	// MaxWarnings bounds the warnings in a record; the rest are counted.
	MaxWarnings = 200
	// maxRecordBytes and maxPinBytes bound the files that are read.
	maxRecordBytes = 4 << 20
	maxPinBytes    = 64 << 10
)

// A Record is one version of a trust store. Its JSON form is a contract: fields are
// added, never renamed.
type Record struct {
	Number int `json:"version"`
	// Digest tells versions apart: SHA-256 over the contents, in hex.
	Digest string `json:"digest"`
	// Loaded is when the version was put in force first.
	Loaded time.Time `json:"loaded"`
	// Source says where the version came from.
	Source       string    `json:"source_version"`
	Certificates int       `json:"certificates"`
	Revoked      int       `json:"revoked"`
	Files        []File    `json:"files"`
	Warnings     []Warning `json:"warnings"`
	// MoreWarnings is how many there were beyond MaxWarnings.
	MoreWarnings int `json:"more_warnings,omitempty"`

	// Kept says that the contents are in the folder. It is found out, not recorded.
	Kept bool `json:"kept"`
	// Problem says why the record cannot be used; empty if it can.
	Problem string `json:"problem,omitempty"`
}

// A Kind says what a file of a trust store is.
type Kind string

// The kinds of files.
const (
	Bundle     Kind = "ca_certificates_bundle"
	Revocation Kind = "revocations"
)

// A File is one file of a version.
type File struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"` // path or URL that it was read from
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// SourceVersion is the source's own name for the content, such as an S3 version id.
	SourceVersion string `json:"source_version,omitempty"`
}

// A Warning is something questionable about a version.
type Warning struct {
	Code    string `json:"code"`
	Subject string `json:"subject,omitempty"` // of the certificate that is meant
	File    string `json:"file,omitempty"`
	Problem string `json:"problem"`
}

// String returns the warning as one line.
func (w Warning) String() string {
	out := w.Problem
	if w.Subject != "" {
		out = fmt.Sprintf("%q %s", w.Subject, out)
	}
	if w.File != "" {
		out = w.File + ": " + out
	}
	return out
}

// A History is the versions of one trust store. It is safe for concurrent use.
type History struct {
	folder string // empty: nothing is written

	mu      sync.Mutex
	records []Record // by number
	keep    int
}

// Folder returns where the history is kept; empty: nowhere.
func (h *History) Folder() string { return h.folder }

// Keep sets how many versions are kept from the next [History.Save] on.
func (h *History) Keep(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep = max(n, 1)
}

// Records returns the versions, the newest last.
func (h *History) Records() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records)
}

// Find returns the version of that number.
func (h *History) Find(number int) (Record, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(number); i >= 0 {
		return h.records[i], true
	}
	return Record{}, false
}

// index returns the place of a version, or -1. The caller holds mu.
func (h *History) index(number int) int {
	return slices.IndexFunc(h.records, func(r Record) bool { return r.Number == number })
}

// Add returns the newest version if it has the digest of r, else r with the number
// after it, which is then the newest. Nothing is written: see [History.Save].
func (h *History) Add(r Record) (version Record, isNew bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Number = 1
	if n := len(h.records); n > 0 {
		newest := h.records[n-1]
		if newest.Digest == r.Digest {
			return newest, false
		}
		r.Number = newest.Number + 1
	}
	if more := len(r.Warnings) - MaxWarnings; more > 0 {
		r.Warnings, r.MoreWarnings = r.Warnings[:MaxWarnings:MaxWarnings], more
	}
	h.records = append(h.records, r)
	if h.folder == "" {
		h.forget(r.Number)
	}
	return r, true
}

// forget removes the oldest records beyond the number to keep, but for those named,
// and the newest, from memory, and returns their numbers. The caller holds mu.
func (h *History) forget(spare ...int) []int {
	var gone []int
	surplus := len(h.records) - h.keep
	if n := len(h.records); n > 0 {
		spare = append(spare, h.records[n-1].Number)
	}
	h.records = slices.DeleteFunc(h.records, func(r Record) bool {
		if surplus <= 0 || slices.Contains(spare, r.Number) {
			return false
		}
		surplus--
		gone = append(gone, r.Number)
		return true
	})
	return gone
}
