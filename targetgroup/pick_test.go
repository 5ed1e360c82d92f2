package targetgroup

import (
	"math/rand/v2"
	"testing"
)

// testTargets makes targets with the given numbers of requests in flight.
func testTargets(inFlight ...int64) []*target {
	targets := make([]*target, len(inFlight))
	for i, n := range inFlight {
		targets[i] = &target{}
		targets[i].inFlight.Store(n)
		targets[i].health.State = Healthy
	}
	return targets
}

func testRoster(algorithm Algorithm, targets []*target) *roster {
	cfg := Config{Algorithm: algorithm}.WithDefaults()
	return newRoster(&cfg, targets)
}

// counts picks n times and counts each target.
func counts(r *roster, targets []*target, n int) []int {
	index := make(map[*target]int)
	for i, t := range targets {
		index[t] = i
	}
	got := make([]int, len(targets))
	for turn := range n {
		got[index[r.pick(uint64(turn))]]++
	}
	return got
}

func TestRoundRobinIsEven(t *testing.T) {
	targets := testTargets(9, 0, 5)
	for i, n := range counts(testRoster(RoundRobin, targets), targets, 300) {
		if n != 100 {
			t.Errorf("target %d picked %d times of 300, want 100", i, n)
		}
	}
}

func TestLeastOutstandingTakesTheFewest(t *testing.T) {
	for _, tt := range []struct {
		inFlight []int64
		want     []int // of 60 picks
	}{
		{[]int64{3, 1, 2}, []int{0, 60, 0}},
		{[]int64{0, 0, 0}, []int{20, 20, 20}},
		{[]int64{2, 2, 3}, nil},
		{[]int64{5}, []int{60}},
	} {
		targets := testTargets(tt.inFlight...)
		got := counts(testRoster(LeastOutstandingRequests, targets), targets, 60)
		for i, want := range tt.want {
			if got[i] != want {
				t.Errorf("in flight %v: picks %v, want %v", tt.inFlight, got, tt.want)
				break
			}
		}
		if tt.want == nil && (got[0] == 0 || got[1] == 0 || got[2] != 0) {
			t.Errorf("in flight %v: picks %v, want both of the tied ones", tt.inFlight, got)
		}
	}
}

func TestWeightedTakesShares(t *testing.T) {
	targets := testTargets(0, 0, 0)
	candidates := []candidate{{targets[0], 1}, {targets[1], 0}, {targets[2], 3}}
	for point, want := range []*target{targets[0], targets[2], targets[2], targets[2]} {
		if got := weighted(candidates, uint64(point)); got != want {
			t.Errorf("point %d: wrong target", point)
		}
	}
	searching := testRoster(WeightedRandom, targets)
	searching.sameWeight = false
	for name, r := range map[string]*roster{"drawn": testRoster(WeightedRandom, targets), "searched": searching} {
		for i, n := range counts(r, targets, 3000) {
			if n < 800 || n > 1200 { // 1000 give or take 7.7 standard deviations
				t.Errorf("%s: target %d picked %d times of 3000, want about 1000", name, i, n)
			}
		}
	}
}

func TestNobodyToPick(t *testing.T) {
	for _, algorithm := range []Algorithm{RoundRobin, LeastOutstandingRequests, WeightedRandom} {
		if got := testRoster(algorithm, nil).pick(7); got != nil {
			t.Errorf("%s picked %v of nobody", algorithm, got)
		}
	}
}

// TestFailOpen says who gets requests: one letter a target (h healthy, u
// unhealthy, i initial, a unavailable), and how many of them are candidates.
func TestFailOpen(t *testing.T) {
	words := map[rune]State{'h': Healthy, 'u': Unhealthy, 'i': Initial, 'a': Unavailable}
	for _, tt := range []struct {
		states            string
		count, percentage int
		candidates        int
		failOpen          bool
	}{
		{"hhh", 0, 0, 3, false},
		{"huu", 0, 0, 1, false},
		{"uuu", 0, 0, 3, true},
		{"iii", 0, 0, 3, true},
		{"hii", 0, 0, 1, false},
		{"aaa", 0, 0, 3, false},
		{"hhu", 2, 0, 2, false},
		{"huu", 2, 0, 3, true},
		{"hhuu", 0, 50, 2, false},
		{"hhuu", 0, 51, 4, true},
		{"hhuu", 3, 50, 4, true}, // either is enough
		{"", 0, 0, 0, false},
	} {
		var targets []*target
		for _, letter := range tt.states {
			targets = append(targets, &target{health: health{State: words[letter]}})
		}
		cfg := Config{UnhealthyStateRouting: UnhealthyStateRouting{tt.count, tt.percentage}}.WithDefaults()
		r := newRoster(&cfg, targets)
		if len(r.candidates) != tt.candidates || r.failOpen != tt.failOpen {
			t.Errorf("%q with %d, %d %%: %d candidates, fail open %v; want %d, %v", tt.states,
				tt.count, tt.percentage, len(r.candidates), r.failOpen, tt.candidates, tt.failOpen)
		}
	}
}

// TestRetire takes a group of a healthy, an unhealthy and a removed target out of
// use: late requests go where the healthy one is still registered.
func TestRetire(t *testing.T) {
	targets := testTargets(0, 0, 0)
	targets[1].health.State = Unhealthy
	cfg := Config{NotInUse: true}.WithDefaults()
	r := testRoster(RoundRobin, targets).retire(&cfg, targets[:2])
	for turn := range uint64(4) {
		if got := r.pick(turn); got != targets[0] {
			t.Errorf("turn %d: another target than the healthy one", turn)
		}
	}
	if r.notInUse || r.totalWeight != 1 {
		t.Errorf("not in use %v, total weight %d", r.notInUse, r.totalWeight)
	}
	if got := r.retire(&cfg, nil).pick(0); got != nil {
		t.Error("a target that is gone was picked")
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, algorithm := range []Algorithm{RoundRobin, LeastOutstandingRequests, WeightedRandom} {
		r := testRoster(algorithm, testTargets(1, 2, 3))
		if n := testing.AllocsPerRun(100, func() { r.pick(rand.Uint64()) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", algorithm, n)
		}
	}
}
