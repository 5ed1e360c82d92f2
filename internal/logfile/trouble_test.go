package logfile

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRotationKeepsWholeLinesAndTheNewestBackups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, _ := open(t, Options{Path: path, MaxSize: 10, MaxBackups: 2})
	put(t, w, "1111", "2222", "3333", "longer than the limit", "4444", "5555", "6666")
	closeLog(t, w)
	for name, want := range map[string]string{
		path:        "6666\n",
		path + ".1": "4444\n5555\n",
		path + ".2": "longer than the limit\n",
	} {
		if got := read(t, name); got != want {
			t.Errorf("%s holds %q, want %q", filepath.Base(name), got, want)
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("a third backup is kept")
	}
}

func TestRotationCountsWhatTheFileHeldBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, _ := open(t, Options{Path: path, MaxSize: 10, MaxBackups: -1})
	put(t, w, "new")
	closeLog(t, w)
	if got := read(t, path); got != "new\n" {
		t.Errorf("file holds %q", got)
	}
	if _, err := os.Stat(path + ".1"); err == nil {
		t.Error("a backup is kept")
	}
}

func TestNegativeSizeNeverRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, _ := open(t, Options{Path: path, MaxSize: -1})
	put(t, w, "one", "two")
	closeLog(t, w)
	if got := read(t, path); got != "one\ntwo\n" {
		t.Errorf("file holds %q", got)
	}
}

func TestReopenAfterRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, _ := open(t, Options{Path: path})
	flushed(t, w, path, "one")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
	put(t, w, "two")
	closeLog(t, w)
	if one, two := read(t, path+".old"), read(t, path); one != "one\n" || two != "two\n" {
		t.Errorf("old file %q, new file %q", one, two)
	}
}

// flushed writes a line and waits until the file holds it.
func flushed(t *testing.T, w *Writer, path, line string) {
	t.Helper()
	put(t, w, line)
	for range 100 {
		if b, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(b), line+"\n") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s never holds %q", path, line)
}

func TestReopenKeepsTheOldFileIfItCannot(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(folder, "x.log")
	w, _ := open(t, Options{Path: path})
	aside := folder + ".aside"
	if err := os.Rename(folder, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err == nil {
		t.Error("Reopen() = nil, though the folder is a file")
	}
	put(t, w, "one")
	closeLog(t, w)
	if got := read(t, filepath.Join(aside, "x.log")); got != "one\n" {
		t.Errorf("old file holds %q", got)
	}
}

func TestRemovedFolderIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "logs")
		path := filepath.Join(folder, "x.log")
		w, _ := open(t, Options{Path: path})
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		time.Sleep(watchPeriod)
		put(t, w, "one")
		closeLog(t, w)
		if got := read(t, path); got != "one\n" {
			t.Errorf("file holds %q", got)
		}
	})
}

func TestTruncatedFileIsNotRotatedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		w, _ := open(t, Options{Path: path, MaxSize: 10})
		put(t, w, "1234567")
		time.Sleep(flushDelay + watchPeriod)
		if err := os.Truncate(path, 0); err != nil { // logrotate's copytruncate
			t.Fatal(err)
		}
		put(t, w, "7654321")
		closeLog(t, w)
		if _, err := os.Stat(path + ".1"); err == nil {
			t.Error("the file was rotated")
		}
		if got := read(t, path); got != "7654321\n" {
			t.Errorf("file holds %q", got)
		}
	})
}

func TestUnfinishedLineOfACrashIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, []byte("one\ntw"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, _ := open(t, Options{Path: path})
	put(t, w, "three")
	closeLog(t, w)
	if got := read(t, path); got != "one\ntw\nthree\n" {
		t.Errorf("file holds %q", got)
	}
}

// A full disk is /dev/full, which answers ENOSPC to every write.
func TestFullDiskLosesNothingThatTheQueueHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		w, out := open(t, Options{Path: path, Queue: 2})
		put(t, w, "one")
		time.Sleep(10 * retryDelay)
		put(t, w, "two", "three", "four is one too many")
		time.Sleep(10 * retryDelay)
		if w.Errors() < 10 || w.Dropped() != 1 {
			t.Errorf("Errors() = %d, Dropped() = %d", w.Errors(), w.Dropped())
		}
		if err := os.Remove(path); err != nil { // somebody makes room
			t.Fatal(err)
		}
		time.Sleep(2 * retryDelay)
		put(t, w, "five")
		closeLog(t, w)
		if got := read(t, path); got != "one\ntwo\nthree\nfive\n" {
			t.Errorf("file holds %q", got)
		}
		if got := strings.Count(out.String(), "cannot be written"); got != 1 {
			t.Errorf("%d reports in 20 seconds, want 1:\n%s", got, out)
		}
		if got := strings.Count(out.String(), "written again"); got != 1 {
			t.Errorf("recovery is reported %d times, want 1:\n%s", got, out)
		}
	})
}

func TestCloseOnAFullDiskGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		w, _ := open(t, Options{Path: path})
		put(t, w, "one", "two")
		begin := time.Now()
		if err := w.Close(context.Background()); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("Close() = %v, want the reason why lines were lost", err)
		}
		if took := time.Since(begin); took > retryDelay {
			t.Errorf("Close took %v", took)
		}
		if w.Dropped() != 2 {
			t.Errorf("Dropped() = %d, want 2", w.Dropped())
		}
	})
}

// A pipe that nobody reads blocks the file's goroutine, but neither Write nor
// Close.
func TestStuckFileBlocksNobody(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	w, _ := open(t, Options{Path: "-", Queue: 100})
	os.Stdout = stdout
	line := strings.Repeat("x", 100<<10)
	for range 20 {
		put(t, w, line)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.Close(ctx); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("Close() = %v, want the context's error", err)
	}
	read.Close()
	write.Close()
	<-w.done
}

func TestTornLineGoesOnOrBeginsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := openFile(Options{Path: path, MaxSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { f.close() }()
	batch := []byte("one\ntwo\n")
	if n, err := f.write(batch[:6]); n != 6 || err != nil {
		t.Fatalf("write = %d, %v", n, err)
	}
	if got := f.resume(batch, 6); got != 6 {
		t.Errorf("in the same file it goes on at %d, want 6", got)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := f.reopen(); err != nil {
		t.Fatal(err)
	}
	if got := f.resume(batch, 6); got != 4 {
		t.Errorf("in a new file it goes on at %d, want 4", got)
	}
}

// A line that broke off belongs to one file: the rest must not go into another
// that has taken the path meanwhile, unless the whole line does.
func TestTornLineIsNotSplitOverTwoFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		w, err := newWriter(Options{Path: path, MaxSize: -1, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { w.file.close() }()
		batch := []byte("one\ntwo\n")
		if _, err := w.file.write(batch[:5]); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(watchPeriod)
		if _, err := w.file.write(batch[5:6]); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path+".old"); got != "one\ntw" {
			t.Errorf("old file holds %q", got)
		}
		if got := w.pause(batch, batch[6:]); string(got) != "two\n" {
			t.Errorf("after a pause, in which the file was replaced, %q is left, want the whole line", got)
		}
	})
}

func TestFailedRotationWritesOn(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.log")
	if err := os.MkdirAll(filepath.Join(path+".1", "full"), 0o700); err != nil {
		t.Fatal(err) // a folder that is not empty cannot be renamed over
	}
	w, _ := open(t, Options{Path: path, MaxSize: 6, MaxBackups: 1})
	put(t, w, "one", "two")
	time.Sleep(10 * time.Millisecond)
	closeLog(t, w)
	if got := read(t, path); got != "one\ntwo\n" {
		t.Errorf("file holds %q", got)
	}
	if w.Errors() != 1 {
		t.Errorf("Errors() = %d, want 1", w.Errors())
	}
}
