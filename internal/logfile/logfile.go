// Package logfile writes lines to a file without ever making the writer of a
// line wait for the disk.
//
// [Open] starts one goroutine that owns the file. [Writer.Write] copies a line
// into a bounded buffer and returns; the goroutine takes the buffer whole, some
// ten times a second or when it is large, and writes it with as few calls as it
// can. When the disk cannot follow, lines are dropped and counted: a load
// balancer that stops serving because its log is full has failed at both jobs.
//
// The buffer is one slice that two lines share, not a queue of slices. Adding a
// line is a copy under a short lock, so it costs no allocation, no channel and
// no wake-up per line.
//
// The package rotates by size, and reopens the file when told ([Writer.Reopen])
// or when it sees that the path has become another file, so logrotate works both
// ways. It does not compress, does not sync, and knows nothing of what a line
// says.
package logfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and limits of Options.
const (
	DefaultMaxSize    = 100 << 20
	DefaultMaxBackups = 5
	DefaultQueue      = 8192
	DefaultQueueBytes = 16 << 20

	// MaxLine is the longest line that Write takes, with its line break. Longer
	// ones are dropped: cut in the middle they would be wrong, not short.
	MaxLine = 512 << 10
	// MaxMaxBackups bounds how many files one rotation renames.
	MaxMaxBackups = 1000
)

const (
	flushDelay    = 100 * time.Millisecond // longest wait of a line for company
	flushBytes    = 64 << 10               // or until there is this much
	retryDelay    = time.Second            // between two tries to write
	watchPeriod   = time.Second            // between two looks at what the path is
	reportPeriod  = time.Minute            // between two reports of the same trouble
	reopenTimeout = 5 * time.Second        // how long Reopen waits for a stuck disk
	keepBytes     = 1 << 20                // a larger buffer is not kept for ever
	keepFlushes   = 100                    // but for so many flushes that use little of it
)

// ErrClosed is returned by Reopen after Close.
var ErrClosed = errors.New("log is closed")

// Options says where a log goes. Only Path is required.
type Options struct {
	// Path of the file, or "-" for standard output. The file is made with mode
	// 0640 and a missing folder with 0750; an existing one keeps its mode.
	Path string
	// MaxSize in bytes: a line that would make the file larger goes into a new
	// one. 0 means DefaultMaxSize, a negative value never rotates.
	MaxSize int64
	// MaxBackups is how many old files are kept, as Path.1 (the newest) and so
	// on. 0 means DefaultMaxBackups, a negative value keeps none.
	MaxBackups int
	// Queue is how many lines may wait; 0 means DefaultQueue.
	Queue int
	// QueueBytes is how many bytes may wait; 0 means DefaultQueueBytes. As many
	// again may be on their way to the disk.
	QueueBytes int
	// Logger gets a report of trouble, at most one a minute; nil means
	// slog.Default().
	Logger *slog.Logger
}

// Writer is an open log. All methods may be called by many goroutines at once.
type Writer struct {
	// Fixed by Open.
	path     string
	log      *slog.Logger
	maxLines int
	maxBytes int
	wake     chan struct{}     // capacity 1: there is something to write
	full     chan struct{}     // capacity 1: do not wait for more
	reopen   chan chan<- error // answered by run
	stop     chan struct{}     // closed by Close
	done     chan struct{}     // closed when run has ended
	closing  sync.Once

	dropped atomic.Uint64
	faults  atomic.Uint64

	mu      sync.Mutex
	pending []byte // whole lines
	lines   int    // in pending
	closed  bool

	// Owned by run.
	file     *file
	spare    []byte // the buffer that is not pending, empty
	idle     int    // flushes that used little of a large buffer
	told     time.Time
	toldLost uint64
	failing  bool  // reported, and not yet mended
	lastTry  bool  // Close has had its one more try
	err      error // why lines were lost at Close; read after done
}

// Open opens the log and starts its goroutine, which [Writer.Close] ends. It
// fails if an option is out of range or the file cannot be opened now; trouble
// that comes later is counted and reported, and never an error of Write.
func Open(o Options) (*Writer, error) {
	w, err := newWriter(o)
	if err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func newWriter(o Options) (*Writer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	f, err := openFile(o)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	return &Writer{
		path: o.Path, log: o.Logger, maxLines: o.Queue, maxBytes: o.QueueBytes,
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		reopen: make(chan chan<- error),
		stop:   make(chan struct{}), done: make(chan struct{}),
		file: f,
	}, nil
}

func (o Options) check() error {
	switch {
	case o.Path == "":
		return errors.New(`log path is empty; write "-" for standard output`)
	case o.MaxBackups > MaxMaxBackups:
		return fmt.Errorf("log %q: %d backups are more than %d", o.Path, o.MaxBackups, MaxMaxBackups)
	case o.Queue < 0:
		return fmt.Errorf("log %q: a queue of %d lines; give at least 1, or 0 for %d", o.Path, o.Queue, DefaultQueue)
	case o.QueueBytes < 0:
		return fmt.Errorf("log %q: a queue of %d bytes; give at least 1, or 0 for %d", o.Path, o.QueueBytes, DefaultQueueBytes)
	}
	return nil
}

func (o Options) withDefaults() Options {
	orDefault := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	orDefault(&o.MaxBackups, DefaultMaxBackups)
	orDefault(&o.Queue, DefaultQueue)
	orDefault(&o.QueueBytes, DefaultQueueBytes)
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Write adds one line, with or without its line break, and copies it, so the
// caller may reuse the slice at once. It never blocks on the file and never
// fails: the count is always len(line) and the error nil, as an io.Writer's
// should be. A line is dropped and counted if the queue is full, if it is longer
// than MaxLine, or after Close. The line reaches the file within about a tenth of
// a second.
func (w *Writer) Write(line []byte) (int, error) {
	need := len(line)
	if need == 0 || line[need-1] != '\n' {
		need++
	}
	w.mu.Lock()
	if w.closed || need > MaxLine || w.lines >= w.maxLines || len(w.pending)+need > w.maxBytes {
		w.mu.Unlock()
		w.dropped.Add(1)
		return len(line), nil
	}
	before := len(w.pending)
	w.pending = append(w.pending, line...)
	if need > len(line) {
		w.pending = append(w.pending, '\n')
	}
	w.lines++
	after, lines := len(w.pending), w.lines
	w.mu.Unlock()

	if before == 0 {
		signal(w.wake)
	}
	if before < flushBytes && after >= flushBytes || lines == w.maxLines/2 {
		signal(w.full)
	}
	return len(line), nil
}

// signal leaves a token in a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Dropped returns how many lines were lost since Open: the queue was full, they
// were too long, or they were still waiting when Close ran out of time.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Errors returns how many times the file could not be written, opened or
// rotated since Open. The lines concerned are tried again.
func (w *Writer) Errors() uint64 { return w.faults.Load() }

// Path returns the path given to Open.
func (w *Writer) Path() string { return w.path }

// Reopen closes the file and opens the path again, as logrotate's postrotate
// script wants; for standard output it does nothing. Lines that still wait go
// into the new file. If the path cannot be opened the old file stays in use and
// the error is returned. Reopen waits for a write that is under way, but no
// longer than five seconds.
func (w *Writer) Reopen() error {
	answer := make(chan error, 1)
	timeout := time.NewTimer(reopenTimeout)
	defer timeout.Stop()
	select {
	case w.reopen <- answer:
		return <-answer
	case <-w.done:
		return fmt.Errorf("reopening log %q: %w", w.path, ErrClosed)
	case <-timeout.C:
		return fmt.Errorf("reopening log %q: the disk has not answered for %v", w.path, reopenTimeout)
	}
}

// Close writes what waits, closes the file (standard output stays open) and
// waits for the goroutine to end. Lines that come later are dropped. A file that
// refuses is tried once more, then the lines are dropped and the error returned.
// If ctx ends first, its error is returned, and the goroutine, stuck in a write,
// ends as soon as the system lets it go. Closing twice is harmless.
func (w *Writer) Close(ctx context.Context) error {
	w.closing.Do(func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		close(w.stop)
	})
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("closing log %q: %w", w.path, ctx.Err())
	}
}
