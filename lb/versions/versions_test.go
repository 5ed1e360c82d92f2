package versions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func content(kind Kind, data string) Content {
	return Content{
		File: File{Kind: kind, Name: "/etc/" + string(kind), SHA256: sumOf([]byte(data)), Size: int64(len(data))},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil },
	}
}

// load puts a version with these contents in force and saves it.
func load(t *testing.T, h *History, bundle, list string) Record {
	t.Helper()
	r, _ := h.Add(Record{Digest: sumOf([]byte(bundle + list)), Loaded: time.Now(), Warnings: []Warning{}})
	if err := h.Save(r.Number, []Content{content(Bundle, bundle), content(Revocation, list)}, 0); err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t *testing.T, folder string, keep int) *History {
	t.Helper()
	h, err := Open(folder, keep)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func numbers(h *History) (out []int) {
	for _, r := range h.Records() {
		out = append(out, r.Number)
	}
	return out
}

func names(t *testing.T, folder string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestNumbers(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "partners")
	h := open(t, folder, 10)
	for i, want := range []int{1, 1, 2, 3} {
		if got := load(t, h, []string{"one", "one", "two", "one"}[i], "list").Number; got != want {
			t.Errorf("load %d is version %d, want %d", i, got, want)
		}
	}
	again := open(t, folder, 10)
	if got := load(t, again, "one", "list").Number; got != 3 {
		t.Errorf("the same after a restart is version %d, want 3", got)
	}
	if got := load(t, again, "three", "list").Number; got != 4 {
		t.Errorf("another after a restart is version %d, want 4", got)
	}
	for _, r := range again.Records() {
		if !r.Kept || again.Verify(r) != nil {
			t.Errorf("version %d: %+v, %v", r.Number, r, again.Verify(r))
		}
	}
	if got := names(t, again.blobs()); len(got) != 4 { // three bundles and one list
		t.Errorf("the contents %v, want 4: equal ones once", got)
	}
}

func TestPruning(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "partners")
	h := open(t, folder, 2)
	for _, bundle := range []string{"one", "two"} {
		load(t, h, bundle, "list")
	}
	if err := os.WriteFile(filepath.Join(h.blobs(), ".postern-1.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := h.Add(Record{Digest: sumOf([]byte("three"))})
	if err := h.Save(r.Number, []Content{content(Bundle, "three")}, 1); err != nil {
		t.Fatal(err)
	}
	if got := numbers(h); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("versions %v, want the pinned and the newest", got)
	}
	load(t, h, "four", "other list")
	if got := numbers(h); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("versions %v, want 3 and 4", got)
	}
	want := []string{sumOf([]byte("four")), sumOf([]byte("other list")), sumOf([]byte("three"))}
	slices.Sort(want)
	if got := names(t, h.blobs()); !slices.Equal(got, want) {
		t.Errorf("contents %v, want %v", got, want)
	}
	if got := numbers(open(t, folder, 2)); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("versions %v after a restart", got)
	}
}

// TestTheNewestStays holds that a number is not given twice even if everything else
// is to stay.
func TestTheNewestStays(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "partners"), 1)
	load(t, h, "one", "list")
	h.Add(Record{Digest: sumOf([]byte("two"))})
	if err := h.Save(1, nil, 1); err != nil {
		t.Fatal(err)
	}
	if got := numbers(h); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("versions %v, want 1 and 2", got)
	}
}

func TestWithoutAFolder(t *testing.T) {
	h := open(t, "", 2)
	for _, bundle := range []string{"one", "two", "three"} {
		load(t, h, bundle, "list")
	}
	if got := numbers(h); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("versions %v, want 2 and 3", got)
	}
	r, _ := h.Find(3)
	if err := h.Verify(r); !errors.Is(err, errNotKept) || r.Kept {
		t.Errorf("a version that nobody keeps can be gone back to: %v", err)
	}
}

func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(h *History) error{
		"content missing": func(h *History) error { return os.Remove(h.Blob(sumOf([]byte("one")))) },
		"content damaged": func(h *History) error { return os.WriteFile(h.Blob(sumOf([]byte("one"))), []byte("eno"), 0o600) },
		"record damaged":  func(h *History) error { return os.WriteFile(h.recordFile(1), []byte("{"), 0o600) },
		"record of another": func(h *History) error {
			data, err := os.ReadFile(h.recordFile(2))
			return errors.Join(err, os.WriteFile(h.recordFile(1), data, 0o600))
		},
		"record too large": func(h *History) error { return os.WriteFile(h.recordFile(1), make([]byte, maxRecordBytes+1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "partners")
			h := open(t, folder, 10)
			load(t, h, "one", "list")
			load(t, h, "two", "list")
			if err := damage(h); err != nil {
				t.Fatal(err)
			}
			again, err := Open(folder, 10)
			if isRecord := strings.HasPrefix(name, "record"); (err != nil) != isRecord {
				t.Errorf("opening it: %v", err)
			}
			if r, ok := again.Find(1); !ok || again.Verify(r) == nil {
				t.Errorf("version 1 can be used: %v %+v", ok, r)
			}
			if r, ok := again.Find(2); !ok || again.Verify(r) != nil {
				t.Errorf("version 2 cannot be used: %v", again.Verify(r))
			}
			if got := load(t, again, "three", "list").Number; got != 3 {
				t.Errorf("the next is version %d, want 3", got)
			}
		})
	}
}

// TestSaveTriesAgain fails to write, for want of a folder, and then can.
func TestSaveTriesAgain(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "partners")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // a file in its place
		t.Fatal(err)
	}
	h := &History{folder: folder, keep: 10}
	r, _ := h.Add(Record{Digest: sumOf([]byte("one"))})
	contents := []Content{content(Bundle, "one")}
	if err := h.Save(r.Number, contents, 0); err == nil {
		t.Fatal("a version was written below a file")
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := h.Save(r.Number, contents, 0); err != nil {
		t.Fatal(err)
	}
	if r, _ = h.Find(1); !r.Kept || h.Verify(r) != nil {
		t.Errorf("not kept: %+v", r)
	}
}

// TestAFileThatChanged is not kept under the sum of what it was.
func TestAFileThatChanged(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "partners"), 10)
	c := content(Bundle, "one")
	c.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte("two"))), nil }
	r, _ := h.Add(Record{Digest: sumOf([]byte("one"))})
	if err := h.Save(r.Number, []Content{c}, 0); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("saving another content: %v", err)
	}
	if got := names(t, h.blobs()); len(got) != 0 {
		t.Errorf("%v was left", got)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	h := open(t, "", 2)
	r, _ := h.Add(Record{Digest: "d", Warnings: make([]Warning, MaxWarnings+7)})
	if len(r.Warnings) != MaxWarnings || r.MoreWarnings != 7 {
		t.Errorf("%d warnings and %d more", len(r.Warnings), r.MoreWarnings)
	}
}

func TestPin(t *testing.T) {
	folder := t.TempDir()
	if pin, err := ReadPin(folder); pin != nil || err != nil {
		t.Errorf("a pin from nowhere: %+v, %v", pin, err)
	}
	want := Pin{Version: 3, At: time.Now().UTC().Truncate(time.Second)}
	if err := WritePin(folder, want); err != nil {
		t.Fatal(err)
	}
	if pin, err := ReadPin(folder); err != nil || *pin != want {
		t.Errorf("pin %+v, %v", pin, err)
	}
	for _, wantPinned := range []bool{true, false} {
		if pinned, err := RemovePin(folder); pinned != wantPinned || err != nil {
			t.Errorf("released %v, %v", pinned, err)
		}
	}
	for _, bad := range []string{"", "{", `{"version":0}`, `{"version":-1}`, "[]", strings.Repeat(" ", maxPinBytes) + `{"version":1}`} {
		if err := os.WriteFile(PinFile(folder), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if pin, err := ReadPin(folder); err == nil {
			t.Errorf("%.20q is pin %+v", bad, pin)
		}
	}
}

// FuzzRecord holds that a record which is read names files by sums only, so that no
// path leads out of the folder, and stays what it is when written and read again.
func FuzzRecord(f *testing.F) {
	good, err := json.Marshal(Record{Number: 1, Digest: sumOf(nil), Files: []File{content(Bundle, "one").File}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"files":[{"kind":"revocations","sha256":"../../etc/passwd"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		h := &History{folder: "/state"}
		for _, file := range r.Files {
			if filepath.Dir(h.Blob(file.SHA256)) != "/state/blobs" {
				t.Errorf("a file outside: %q", file.SHA256)
			}
		}
		once, err := json.Marshal(r)
		if err != nil {
			t.Skip() // a time that JSON cannot have
		}
		again, err := parseRecord(once)
		if err != nil {
			t.Fatal(err)
		}
		if twice, _ := json.Marshal(again); !bytes.Equal(once, twice) {
			t.Errorf("%s became %s", once, twice)
		}
	})
}
