package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// open opens a log with a logger whose output the test can read once the log is
// closed.
func open(t *testing.T, o Options) (*Writer, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w, &out
}

func closeLog(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, w *Writer, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", line, n, err)
		}
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no path", Options{}, "path is empty"},
		{"too many backups", Options{Path: "x", MaxBackups: MaxMaxBackups + 1}, "1001 backups"},
		{"negative queue", Options{Path: "x", Queue: -1}, "queue of -1 lines"},
		{"negative bytes", Options{Path: "x", QueueBytes: -1}, "queue of -1 bytes"},
		{"folder is a file", Options{Path: filepath.Join(plain, "x")}, "opening log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Open(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestWriteMakesFolderFileAndLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "x.log")
	w, _ := open(t, Options{Path: path})
	put(t, w, "one", "two\n", "")
	closeLog(t, w)
	if got := read(t, path); got != "one\ntwo\n\n" {
		t.Errorf("file holds %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("file: %v, %v; want no more than 0640", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm()&^0o750 != 0 {
		t.Errorf("folder: %v, %v; want no more than 0750", info.Mode(), err)
	}
}

func TestWriteReachesTheFileSoonWithoutClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		w, _ := open(t, Options{Path: path})
		put(t, w, "one")
		time.Sleep(flushDelay + time.Millisecond)
		synctest.Wait()
		if got := read(t, path); got != "one\n" {
			t.Errorf("after %v the file holds %q", flushDelay, got)
		}
		closeLog(t, w)
	})
}

func TestMuchIsWrittenBeforeTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		w, _ := open(t, Options{Path: path})
		line := strings.Repeat("x", flushBytes/4-1)
		put(t, w, line, line, line, line)
		synctest.Wait() // no time passes
		if got := len(read(t, path)); got != flushBytes {
			t.Errorf("the file holds %d bytes, want %d", got, flushBytes)
		}
		closeLog(t, w)
	})
}

func TestOverflowDropsAndCounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		line string
		kept int
	}{
		{"lines", Options{Queue: 3}, "x", 3},
		{"bytes", Options{QueueBytes: 10}, "xxxx", 2},
		{"one line too long", Options{}, strings.Repeat("x", MaxLine), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.o.Path, tt.o.Logger = filepath.Join(t.TempDir(), "x.log"), slog.New(slog.NewTextHandler(&out, nil))
			w, err := newWriter(tt.o) // nobody empties the queue yet
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				put(t, w, tt.line)
			}
			if got, want := w.Dropped(), uint64(5-tt.kept); got != want {
				t.Errorf("Dropped() = %d, want %d", got, want)
			}
			go w.run()
			closeLog(t, w)
			if got := strings.Count(read(t, tt.o.Path), "\n"); got != tt.kept {
				t.Errorf("%d lines written, want %d", got, tt.kept)
			}
			if !strings.Contains(out.String(), "lines were dropped") {
				t.Errorf("not reported: %q", out.String())
			}
		})
	}
}

func TestWriteAfterCloseIsCounted(t *testing.T) {
	w, _ := open(t, Options{Path: filepath.Join(t.TempDir(), "x.log")})
	closeLog(t, w)
	closeLog(t, w) // twice is harmless
	put(t, w, "late")
	if w.Dropped() != 1 {
		t.Errorf("Dropped() = %d, want 1", w.Dropped())
	}
	if err := w.Reopen(); !errors.Is(err, ErrClosed) {
		t.Errorf("Reopen() = %v, want ErrClosed", err)
	}
}

func TestManyWritersLoseNothingAndTearNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, _ := open(t, Options{Path: path, Queue: 1 << 20})
	const writers, each = 8, 2000
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for j := range each {
				fmt.Fprintf(w, "writer %d line %d", i, j)
			}
		})
	}
	group.Wait()
	closeLog(t, w)
	next := make([]int, writers)
	lines := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	if len(lines) != writers*each {
		t.Fatalf("%d lines, want %d", len(lines), writers*each)
	}
	for _, line := range lines {
		var i, j int
		if _, err := fmt.Sscanf(line, "writer %d line %d", &i, &j); err != nil || next[i] != j {
			t.Fatalf("line %q: %v, want line %d of that writer", line, err, next[i])
		}
		next[i]++
	}
}

func TestStandardOutputStaysOpen(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	defer func() { os.Stdout = stdout }()
	w, _ := open(t, Options{Path: "-", MaxSize: 1})
	put(t, w, "one", "two")
	if err := w.Reopen(); err != nil {
		t.Errorf("Reopen() = %v", err)
	}
	closeLog(t, w)
	if _, err := fmt.Fprintln(write, "three"); err != nil {
		t.Errorf("standard output is closed: %v", err)
	}
	buf := make([]byte, 100)
	n, err := read.Read(buf)
	if got := string(buf[:n]); got != "one\ntwo\nthree\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestWriteDoesNotAllocate(t *testing.T) {
	w, _ := open(t, Options{Path: filepath.Join(t.TempDir(), "x.log"), Queue: 1 << 20, QueueBytes: 1 << 30})
	line := bytes.Repeat([]byte("x"), 400)
	for range 10000 {
		w.Write(line) // warm the buffers
	}
	// The goroutine's timers count too; they are a few a second.
	if got := testing.AllocsPerRun(10000, func() { w.Write(line) }); got != 0 {
		t.Errorf("%v allocations a line", got)
	}
}

func TestBufferOfABurstIsGivenBack(t *testing.T) {
	w := &Writer{}
	large := make([]byte, 0, 2*keepBytes)
	for range keepFlushes {
		w.keep(large[:1])
	}
	w.keep(large[:keepBytes]) // in use after all
	for i := range keepFlushes + 1 {
		if w.keep(large[:1]); (w.spare == nil) != (i == keepFlushes) {
			t.Fatalf("after %d flushes that used little the buffer is %v", i+1, w.spare)
		}
	}
}

// BenchmarkWrite is the cost of one line of 400 bytes for the goroutine that
// serves a request. The clock stands still while the file, /dev/null, catches up,
// so it says nothing of what a file can take.
func BenchmarkWrite(b *testing.B) {
	w, err := Open(Options{Path: os.DevNull})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close(context.Background())
	line := bytes.Repeat([]byte("x"), 400)
	lines := 0
	b.ReportAllocs()
	for b.Loop() {
		if lines++; lines%(DefaultQueue/2) == 0 {
			b.StopTimer()
			time.Sleep(2 * flushDelay)
			b.StartTimer()
		}
		w.Write(line)
	}
	if w.Dropped() > 0 {
		b.Errorf("%d lines dropped", w.Dropped())
	}
}
