package http2

import "time"

// A budget is an allowance that is used up by what a client should do seldom, and
// filled by what it is there for, and slowly by time.
type budget struct {
	left, full int
	perSecond  int
	filled     time.Time // when time was last counted
}

func newBudget(full, perSecond int, now time.Time) budget {
	return budget{full, full, perSecond, now}
}

// earn adds to the budget, up to its full size.
func (b *budget) earn(n int) { b.left = min(b.left+n, b.full) }

// spend takes one, and reports whether there was one. The clock is looked at only
// when there was not.
func (b *budget) spend() bool {
	if b.left < 1 {
		now := time.Now()
		b.earn(int(min(now.Sub(b.filled).Seconds(), 3600) * float64(b.perSecond)))
		b.filled = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
