package listener

import (
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	q := quota{limit: 2}
	at := time.Unix(1000, 0)
	for i, want := range []struct {
		after  time.Duration
		ok     bool
		missed int
	}{
		{0, true, 0}, {0, true, 0}, {0, false, 0}, {999 * time.Millisecond, false, 0},
		{time.Second, true, 2}, {time.Second, true, 0}, {time.Second, false, 0}, {3 * time.Second, true, 1},
	} {
		if ok, missed := q.take(at.Add(want.after)); ok != want.ok || missed != want.missed {
			t.Errorf("take %d: %v, %d missed; want %v, %d", i, ok, missed, want.ok, want.missed)
		}
	}
}
