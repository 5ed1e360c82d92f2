package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quietAllocation is how many bytes a second a process may allocate that counts as
	// quiet: health checks and metrics stay below, a dozen requests do not.
	quietAllocation = 512 << 10
	// worthGivingBack is how many bytes have to be free for it to be worth a collection.
	worthGivingBack = 16 << 20
	// quietSeconds is how long the process has to be quiet.
	quietSeconds = 2
)

// heapFloor is how many bytes the collector takes for in use from the start. It collects
// when the heap has doubled, and the heap of a busy load balancer with few connections is so
// small that it would collect at every two hundredth handshake. The floor is
// never written to, so it takes no memory, only addresses; measured, it saves 1 % of a full
// handshake's cost and 5 % of a resumed one's.
const heapFloor = 32 << 20

// keepHeapFloor returns the floor, which stands for as long as it is referred to. If GOGC
// is set, somebody has decided otherwise: then there is none.
func keepHeapFloor() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, heapFloor)
}

// giveBackMemory returns what a burst of handshakes or a large revocation list has left
// behind to the system as soon as the process is quiet. The collector itself does that
// only as it collects next, and while ten thousand connections idle nothing makes it.
func giveBackMemory(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var q quiet
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if q.see(readMemory()) {
			debug.FreeOSMemory()
		}
	}
}

// A memorySample is what the runtime says at one moment, in bytes.
type memorySample struct {
	allocated uint64 // ever
	free      uint64 // in the heap and not returned to the system: unused, or perhaps garbage
}

func readMemory() memorySample {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	m := memorySample{allocated: value(0), free: value(1) + value(2)}
	if objects, live := value(3), value(4); objects > live {
		m.free += objects - live // allocated since the last collection
	}
	return m
}

// quiet watches samples that are a second apart.
type quiet struct {
	last    memorySample
	seconds int
}

// see reports whether now is the time: after quietSeconds, once in each quiet stretch.
func (q *quiet) see(m memorySample) bool {
	if m.allocated-q.last.allocated > quietAllocation {
		q.seconds = 0
	} else {
		q.seconds++
	}
	q.last = m
	return q.seconds == quietSeconds && m.free > worthGivingBack
}
