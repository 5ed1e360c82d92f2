package lb

import (
	"context"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/seen"
)

const (
	// seenCheck is how often the store of seen clients is asked whether it should
	// be written.
	seenCheck = time.Second
	// seenNew is how long after one writing the next may be, if there are clients that the
	// file lacks, and seenAgain if only the times have changed.
	seenNew   = 10 * time.Second
	seenAgain = 5 * time.Minute
	// seenShare bounds the share of the time that is spent on writing, were it to take long:
	// a hundredth.
	seenShare = 100
)

// seenPath is the file of the seen clients of a config; empty if there is none.
func seenPath(file *config.File) string {
	if file.StateDirectory == "" {
		return ""
	}
	return filepath.Join(file.StateDirectory, seen.FileName)
}

// rememberClients makes the store of seen clients what desired says. What stands in a file
// that is named for the first time is added to it. Without the file the store is
// as good, until the process ends.
func (b *LoadBalancer) rememberClients(desired *config.File) {
	b.seen.Configure(desired.SeenClients.Limit, desired.SeenClients.Retention)
	path := seenPath(desired)
	before := b.seenFile.Swap(&path)
	if desired.SeenClients.Limit == 0 {
		b.forgetSeen(path)
		return
	}
	if path == "" || (before != nil && *before == path) {
		return
	}
	if err := b.seen.Load(path, time.Now()); err != nil {
		b.logger.Warn("the recently seen clients of before cannot be used; they are gathered anew", "error", err)
	}
}

// saveSeen writes the seen clients now and then until ctx ends.
func (b *LoadBalancer) saveSeen(ctx context.Context) {
	tick := time.NewTicker(seenCheck)
	defer tick.Stop()
	var saved time.Time
	pause := seenNew
	for forgot := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(forgot) >= seenAgain {
				b.seen.Forget(now)
				forgot = now
			}
			changed, added := b.seen.Changed()
			if since := now.Sub(saved); changed && (since >= seenAgain || (added && since >= pause)) {
				b.saveSeenNow()
				saved, pause = now, max(seenNew, seenShare*time.Since(now))
			}
		}
	}
}

// saveSeenNow writes the file, if it is to be written at all.
func (b *LoadBalancer) saveSeenNow() {
	path := b.seenFile.Load()
	if path == nil || *path == "" {
		return
	}
	if changed, _ := b.seen.Changed(); !changed {
		return
	}
	if err := b.seen.Save(*path); err != nil {
		b.logger.Error("writing the recently seen clients; the next attempt follows", "file", *path, "error", err)
	}
}

// forgetSeen forgets everybody, and removes the file.
func (b *LoadBalancer) forgetSeen(path string) {
	b.seen.Forget(time.Now())
	if path == "" {
		return
	}
	if err := b.seen.Save(path); err != nil {
		b.logger.Error("removing the recently seen clients", "file", path, "error", err)
	}
}
