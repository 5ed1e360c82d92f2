package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-lb/postern/internal/durable"
)

func TestWriteReplacesWholeFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	for _, want := range []string{"one", "", "three"} {
		if err := durable.WriteFile(file, []byte(want)); err != nil {
			t.Fatal(err)
		}
		expect(t, file, want)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "f")
	if err := durable.WriteFile(file, []byte("old")); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("the source is gone")
	err := durable.Write(file, func(w io.Writer) error {
		w.Write([]byte("half"))
		return lost
	})
	if !errors.Is(err, lost) {
		t.Fatalf("error %v, want %v", err, lost)
	}
	expect(t, file, "old")
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Fatalf("%d files are left, want 1", len(entries))
	}
}

func TestFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := durable.Folder(folder); err != nil {
			t.Fatal(err)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 0 {
		t.Fatalf("%d files are left, want none", len(entries))
	}
	file := filepath.Join(folder, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Folder(file); err == nil {
		t.Fatal("a file passes for a folder")
	}
}

func expect(t *testing.T, file, want string) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Fatalf("%s holds %q, %v; want %q", file, got, err, want)
	}
}
