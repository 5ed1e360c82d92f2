package lb

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWatchTellsOnce holds that a change is told once, whatever order the files
// were named in, and that a file which comes or goes is a change.
func TestWatchTellsOnce(t *testing.T) {
	dir := t.TempDir()
	first, last := filepath.Join(dir, "a"), filepath.Join(dir, "z")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(last, "1")
	w := newFileWatch(nil)
	seen := make(signature)
	seen.add(last)
	seen.add(first, last)
	w.set(seen)
	want := func(changed bool, what string) {
		t.Helper()
		if got := w.changed(); got != changed {
			t.Errorf("%s: changed is %v", what, got)
		}
	}
	want(false, "nothing happened")
	write(filepath.Join(dir, "other"), "1")
	want(false, "another file came")
	write(first, "1")
	want(true, "an absent file came")
	want(false, "told already")
	write(last, "22")
	want(true, "a file grew")
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	want(true, "a file went")
	want(false, "told already")
}
