package main

import "testing"

func TestMemoryIsGivenBackOnceInAQuietStretch(t *testing.T) {
	const busy, little = 2 * quietAllocation, quietAllocation / 2
	var q quiet
	var total uint64
	for i, step := range []struct {
		allocated, free uint64
		want            bool
	}{
		{busy, 2 * worthGivingBack, false},
		{little, 2 * worthGivingBack, false},
		{busy, 2 * worthGivingBack, false}, // quiet for one second only
		{little, 2 * worthGivingBack, false},
		{little, 2 * worthGivingBack, true},
		{little, 2 * worthGivingBack, false}, // once
		{busy, 2 * worthGivingBack, false},
		{little, 0, false},
		{little, 0, false}, // nothing to give
	} {
		total += step.allocated
		if got := q.see(memorySample{total, step.free}); got != step.want {
			t.Errorf("second %d: %v, want %v", i, got, step.want)
		}
	}
	if m := readMemory(); m.allocated == 0 {
		t.Error("the runtime says nothing")
	}
}
