package source

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "-1": 0, "soon": 0, "120": 2 * time.Minute, "999999999999": maxRetryAfter, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
		now.Add(9 * time.Hour).Format(http.TimeFormat): maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestWait holds that a failing source is asked sooner at first, then ever more seldom,
// and never before the server wants it.
func TestWait(t *testing.T) {
	for _, c := range []struct {
		failures int
		retry    time.Duration
		want     time.Duration
	}{
		{0, 0, 4 * time.Minute}, {1, 0, time.Minute}, {2, 0, 2 * time.Minute}, {5, 0, 16 * time.Minute},
		{1000, 0, 16 * time.Minute}, {1, 10 * time.Minute, 10 * time.Minute}, {1, 100 * time.Hour, maxRetryAfter},
	} {
		s := &Source{config: Config{PollInterval: 4 * time.Minute}, retry: c.retry}
		s.status.Failures = c.failures
		low := time.Duration(float64(c.want) * (1 - jitter) * 0.999)
		high := time.Duration(float64(c.want) * (1 + jitter) * 1.001)
		for range 100 {
			if got := s.wait(); got < low || got > high {
				t.Errorf("%d failures, retry %v: %v is not from %v to %v", c.failures, c.retry, got, low, high)
			}
		}
	}
}

func TestNameHidesSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"https://host/a.pem":           "https://host/a.pem",
		"https://host/a.pem?token=abc": "https://host/a.pem?1d88ac5d",
		"https://user:pw@host/a.pem":   "https://host/a.pem",
	} {
		got := Config{URL: url}.Name()
		if len(got) != len(want) || got[:18] != want[:18] {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func put(content, etag string) func(*Copy, io.Writer) (*Copy, error) {
	return func(_ *Copy, w io.Writer) (*Copy, error) {
		_, err := io.WriteString(w, content)
		return &Copy{ETag: etag}, err
	}
}

func good(string) error { return nil }

// TestFolder follows copies over attempts and restarts.
func TestFolder(t *testing.T) {
	root, cfg := t.TempDir(), Config{URL: "https://host/a"}
	open := func() *Folder {
		t.Helper()
		f, err := OpenFolder(root, cfg, "list")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	replace := func(check func(string) error, get func(*Copy, io.Writer) (*Copy, error), changed, fails bool) {
		t.Helper()
		if got, err := f.replaceNewest(check, get); got != changed || (err != nil) != fails {
			t.Fatalf("changed %v, error %v; want %v, %v", got, err, changed, fails)
		}
	}
	holds := func(c *Copy, want string) {
		t.Helper()
		data, err := os.ReadFile(f.Path(c))
		if err != nil || string(data) != want {
			t.Fatalf("the copy holds %q, %v; want %q", data, err, want)
		}
	}
	replace(good, put("one", "1"), true, false)
	if err := f.Accept(f.Newest()); err != nil {
		t.Fatal(err)
	}
	replace(good, put("one", "2"), false, false)
	replace(good, put("two", "3"), true, false)
	bad := func(string) error { return errors.New("bad") }
	replace(bad, put("three", "4"), false, true)
	replace(bad, put("one", "5"), false, true) // must not take the accepted copy with it
	replace(good, put("", "6"), false, true)
	replace(good, func(*Copy, io.Writer) (*Copy, error) { return nil, errNotModified }, false, false)
	for range 2 {
		holds(f.Newest(), "two")
		holds(f.Accepted(), "one")
		if !f.Waiting() || f.Newest().ETag != "3" {
			t.Errorf("waiting %v, ETag %s", f.Waiting(), f.Newest().ETag)
		}
		f = open()
	}
	if err := f.Accept(f.Newest()); err != nil {
		t.Fatal(err)
	}
	replace(good, put("four", "7"), true, false)
	if files, _ := filepath.Glob(filepath.Join(f.path, "*-*")); len(files) != 2 {
		t.Errorf("files are left: %v", files)
	}
}

// FuzzIndex holds that whatever stands in the index, no file outside the folder and no
// content but what was fetched is ever used.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"newest":{"file":"../../secret","sha256":"x"}}`))
	f.Add([]byte(`{"newest":{"file":"content-a","sha256":"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, cfg := t.TempDir(), Config{URL: "https://host/a"}
		folder, err := OpenFolder(root, cfg, "list")
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{indexFile: string(data), "content-a": "foo"} {
			if err := os.WriteFile(filepath.Join(folder.path, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if folder, err = OpenFolder(root, cfg, "list"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*Copy{folder.Newest(), folder.Accepted()} {
			if c == nil {
				continue
			}
			content, err := os.ReadFile(folder.Path(c))
			if err != nil || string(content) != "foo" || c.File != "content-a" {
				text, _ := json.Marshal(c)
				t.Fatalf("the copy %s is used: %v", text, err)
			}
		}
	})
}
