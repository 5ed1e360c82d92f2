package listener

import (
	"sync"
	"time"
)

// maxLines is how many requests of a listener that were refused, or that no target
// answered, are told of in the program's own log each second. Any client can cause
// them; the access log, which is bounded and rotated, has them all.
const maxLines = 100

// A quota lets a number of things happen in each second. The zero value lets nothing
// happen; it is safe for concurrent use.
type quota struct {
	limit int

	mu     sync.Mutex
	second int64
	used   int
	missed int // in the seconds before, not yet reported
}

// take reports whether one more may happen now, and how many were held back since
// the last that was let through.
func (q *quota) take(now time.Time) (ok bool, missed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := now.Unix(); s != q.second {
		q.second, q.used = s, 0
	}
	if q.used >= q.limit {
		q.missed++
		return false, 0
	}
	q.used++
	missed, q.missed = q.missed, 0
	return true, missed
}
