package bench

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestPercentilesAreCloseAndNeverLow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h, half histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * 1e6)
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			half.add(d)
		}
	}
	h.merge(&half)
	slices.Sort(all)
	for _, p := range []float64{0.5, 0.9, 0.99, 1} {
		exact := all[int(p*float64(len(all)))-1]
		got := h.percentile(p)
		if got < exact || float64(got) > float64(exact)*(1+1.0/64)+1 {
			t.Errorf("p%v is %d, exactly %d", 100*p, got, exact)
		}
	}
	if h.max != all[len(all)-1] || h.count != uint64(len(all)) {
		t.Errorf("max %v of %d, want %v of %d", h.max, h.count, all[len(all)-1], len(all))
	}
}

func TestEveryDurationHasABucket(t *testing.T) {
	for _, d := range []time.Duration{-5, 0, 1, 63, 64, 127, 128, 129, 1<<20 - 1, 1 << 20, 1<<63 - 1} {
		var h histogram
		h.add(d)
		if i := bucketOf(max(d, 0)); upperBound(i) < d || i > 0 && upperBound(i-1) >= d {
			t.Errorf("%d is in bucket %d, which ends at %d", d, i, upperBound(i))
		}
		if got := h.percentile(0.5); got != max(d, 0) {
			t.Errorf("%d alone has the median %d", d, got)
		}
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
