package bench

import (
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func TestPercentilesAreClose(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h, half := newHistogram(), newHistogram()
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * 1e6)
		all = append(all, d)
		note([]*hdrhistogram.Histogram{h, half}[i%2], d, 1)
	}
	h.Merge(half)
	slices.Sort(all)
	got := latencyOf(h)
	for share, us := range map[float64]float64{0.5: got.P50, 0.9: got.P90, 0.99: got.P99, 1: got.Max} {
		exact := microseconds(all[int(share*float64(len(all)))-1])
		if math.Abs(us-exact) > exact/1000+0.02 {
			t.Errorf("p%v is %v, exactly %v", 100*share, us, exact)
		}
	}
	points := distributionOf(h)
	if last := points[len(points)-1]; last.Share != 1 || last.US != got.Max {
		t.Errorf("the distribution ends with %+v, want %v", last, got.Max)
	}
}

func TestHistogramTakesAnything(t *testing.T) {
	for _, d := range []time.Duration{-5, 0, 1, time.Hour, 1<<63 - 1} {
		h := newHistogram()
		note(h, d, 1)
		if h.TotalCount() != 1 {
			t.Errorf("%d is not counted", d)
		}
	}
}

// TestPendingIsCounted closes a window over a server that never answered: what
// was due has waited, and the percentiles must say so.
func TestPendingIsCounted(t *testing.T) {
	s := &schedule{began: time.Now(), interval: float64(10 * time.Millisecond)}
	w := newWindow(0, 1, s)
	out := outcome{tally: &tally{latency: newHistogram()}}
	out.countPending(w, s.began.Add(999*time.Millisecond))
	if l := latencyOf(out.latency); out.pending != 100 || l.P50 < 480_000 || l.Max < 990_000 {
		t.Errorf("%d pending, latencies %+v", out.pending, l)
	}
}

func TestScheduleDoesNotDrift(t *testing.T) {
	s := newSchedule(3)
	if got := s.due(3_000_000).Sub(s.began); got.Round(time.Microsecond) != 1_000_000*time.Second {
		t.Errorf("attempt 3,000,000 at 3/s is due after %v", got)
	}
	if got := s.dueBy(s.began.Add(time.Second + time.Millisecond)); got != 4 {
		t.Errorf("%d are due after a second", got)
	}
}

// BenchmarkRecord shows what counting one success costs the generator.
func BenchmarkRecord(b *testing.B) {
	w := newWindow(0, 1, nil)
	w.opened.Store(true)
	r := w.recorder(0)
	d := time.Microsecond
	for b.Loop() {
		d = d*5/4 + 1
		if d > time.Second {
			d = time.Microsecond
		}
		r.done(sample{latency: d})
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 7 1 1 0 -1 4194304 97 0 1 0 11 22 33 44 20 0 1 0 120884"
	for _, line := range []string{"42 (cat)" + tail, "42 (a) S 9 (b c)" + tail} {
		p, err := parseStat(line)
		if err != nil || p.parent != 7 || p.own != 330*time.Millisecond || p.reaped != 770*time.Millisecond {
			t.Errorf("%q: %+v, %v", line, p, err)
		}
	}
	for _, line := range []string{"", "42", "42 (cat) S 7", "42 (cat) S x 1 1 0 -1 4194304 97 0 1 0 11 22 33 44"} {
		if p, err := parseStat(line); err == nil {
			t.Errorf("%q: %+v and no error", line, p)
		}
	}
}

func TestDescendsSurvivesALoop(t *testing.T) {
	processes := map[int]process{1: {parent: 2}, 2: {parent: 1}, 3: {parent: 2}}
	if descends(processes, 3, 9) || !descends(processes, 3, 1) {
		t.Error("descent is wrong")
	}
}

// TestTreeCPUSeesAChild burns CPU in a grandchild, which the shell in between
// then waits for, and looks from above, while it runs and after.
func TestTreeCPUSeesAChild(t *testing.T) {
	if _, err := ProcessCPU(os.Getpid()); err != nil {
		t.Skip("this system has no /proc")
	}
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'; read line`)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	var seen []time.Duration
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		cpu, err := TreeCPU(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, cpu)
		processes, err := readProcesses()
		if err != nil {
			t.Fatal(err)
		}
		if p := processes[cmd.Process.Pid]; p.reaped > 0 {
			break
		}
	}
	last := seen[len(seen)-1]
	own, err := ProcessCPU(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if last < 50*time.Millisecond || own > last/2 {
		t.Errorf("tree used %v, the shell alone %v; want nearly all in the child", last, own)
	}
	if len(seen) > 4 && seen[len(seen)/2] == 0 {
		t.Error("nothing was seen of the child while it ran")
	}
}

func TestTreeCPUOfNobody(t *testing.T) {
	if cpu, err := TreeCPU(1 << 30); err == nil {
		t.Errorf("a process that cannot be used %v", cpu)
	}
}

func TestErrorKindsAreBounded(t *testing.T) {
	var c errorCounts
	for status := range 100 {
		c.add(statusError(400 + status))
	}
	c.add(statusError(400))
	if len(c) > maxErrorKinds+1 {
		t.Errorf("%d kinds, want at most %d and %q", len(c), maxErrorKinds, KindOther)
	}
	list := c.list()
	if list[0].Kind != KindOther || list[0].Count != 100-maxErrorKinds {
		t.Errorf("most frequent is %+v", list[0])
	}
	if list[1].Kind != "status 400" || list[1].Count != 2 {
		t.Errorf("next is %+v", list[1])
	}
}

func TestTreeMemorySeesTheHeap(t *testing.T) {
	before, _, err := TreeMemory(os.Getpid())
	if err != nil {
		t.Skip("this system has no /proc")
	}
	const size = 64 << 20
	heap := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		heap[i] = 1
	}
	after, peak, err := TreeMemory(os.Getpid())
	if err != nil || after-before < size/2 || peak < size {
		t.Errorf("%d bytes before, %d after, at most %d; %v", before, after, peak, err)
	}
	runtime.KeepAlive(heap)
}
