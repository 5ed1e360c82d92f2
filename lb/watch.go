package lb

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// watchDebounce gathers the events of one change: an editor or a
	// certificate tool touches a file several times.
	watchDebounce = 100 * time.Millisecond
	// watchPoll finds changes that send no event, as on network file systems.
	watchPoll = 5 * time.Second
)

// A fileWatch tells when one of a set of files has changed. It watches their
// folders, because a watch on a file is lost at the first rename over it, and
// compares what stat says, so that other files in those folders do not count.
type fileWatch struct {
	logger *slog.Logger

	mu   sync.Mutex
	seen signature // of the files watched, when set or changed last looked
	dirs chan struct{}
}

func newFileWatch(logger *slog.Logger) *fileWatch {
	return &fileWatch{logger: logger, dirs: make(chan struct{}, 1)}
}

// set replaces the set of files. seen is their signature from before they were
// read, so that a change while they were read is not missed. The caller must not
// use seen afterwards.
func (w *fileWatch) set(seen signature) {
	w.mu.Lock()
	w.seen = seen
	w.mu.Unlock()
	select {
	case w.dirs <- struct{}{}:
	default:
	}
}

// changed reports whether a file differs from what set was told, once per change.
func (w *fileWatch) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := make(signature, len(w.seen))
	for file := range w.seen {
		now.add(file)
	}
	if maps.Equal(now, w.seen) {
		return false
	}
	w.seen = now
	return true
}

// run calls onChange after each change, never twice at the same time, until ctx
// ends. Without inotify it polls.
func (w *fileWatch) run(ctx context.Context, onChange func()) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.logger.Warn("watching files: only polling is possible", "every", watchPoll.String(), "error", err)
		notify = &fsnotify.Watcher{}
	} else {
		defer notify.Close()
	}
	poll := time.NewTicker(watchPoll)
	defer poll.Stop()
	var settle <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.dirs:
			w.watchDirs(notify)
		case <-notify.Events:
			// An event does not put off what is due: a folder in which something is
			// written all the time, such as a log, must not hide a change for ever.
			if settle == nil {
				settle = time.After(watchDebounce)
			}
		case err := <-notify.Errors:
			w.logger.Warn("watching files", "error", err)
		case <-poll.C:
			settle = time.After(0)
		case <-settle:
			settle = nil
			if w.changed() {
				onChange()
			}
		}
	}
}

func (w *fileWatch) watchDirs(notify *fsnotify.Watcher) {
	if notify.Events == nil {
		return
	}
	w.mu.Lock()
	want := make(map[string]bool)
	for f := range w.seen {
		want[filepath.Dir(f)] = true
	}
	w.mu.Unlock()
	for _, dir := range notify.WatchList() {
		if !want[dir] {
			notify.Remove(dir)
		}
		delete(want, dir)
	}
	for dir := range want {
		if err := notify.Add(dir); err != nil {
			w.logger.Warn("watching a folder: its changes are found by polling", "folder", dir, "error", err)
		}
	}
}

// A signature is what stat says about files, by name, symbolic links followed.
type signature map[string]string

// add looks at files that s does not have yet.
func (s signature) add(files ...string) {
	for _, f := range files {
		if _, known := s[f]; known {
			continue
		}
		s[f] = "absent"
		if info, err := os.Stat(f); err == nil {
			s[f] = fmt.Sprintf("%d %d %v", info.Size(), info.ModTime().UnixNano(), inode(info))
		}
	}
}
