package targetgroup

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A candidate is a target that may get the next request, with its weight for
// the algorithms that use one.
type candidate struct {
	target *target
	weight uint64
}

// A roster is what one request needs to know of its group. It never changes
// after it is published; a change of health or configuration publishes another.
type roster struct {
	algorithm   Algorithm
	candidates  []candidate
	totalWeight uint64
	sameWeight  bool // of all candidates; then drawing one needs no search
	failOpen    bool
	notInUse    bool
	idleTimeout time.Duration
}

// pick chooses a target, or returns nil if there is none. turn counts the
// group's requests. It takes no lock and allocates nothing.
func (r *roster) pick(turn uint64) *target {
	if len(r.candidates) == 0 {
		return nil
	}
	switch r.algorithm {
	case LeastOutstandingRequests:
		return leastOutstanding(r.candidates, turn)
	case WeightedRandom:
		if r.sameWeight {
			return r.candidates[rand.IntN(len(r.candidates))].target
		}
		return weighted(r.candidates, rand.Uint64N(r.totalWeight))
	default:
		return roundRobin(r.candidates, turn)
	}
}

// roundRobin takes the candidates in turn.
func roundRobin(candidates []candidate, turn uint64) *target {
	return candidates[turn%uint64(len(candidates))].target
}

// leastOutstanding takes the candidate with the fewest requests in flight. The
// search begins at another candidate each turn, so that ties rotate and an idle
// group does not send everything to its first target.
func leastOutstanding(candidates []candidate, turn uint64) *target {
	start := int(turn % uint64(len(candidates)))
	best := candidates[start].target
	fewest := best.inFlight.Load()
	for i := start + 1; i < start+len(candidates) && fewest > 0; i++ {
		j := i
		if j >= len(candidates) {
			j -= len(candidates)
		}
		if n := candidates[j].target.inFlight.Load(); n < fewest {
			best, fewest = candidates[j].target, n
		}
	}
	return best
}

// weighted takes the candidate in whose share of the total weight the point
// lies; 0 <= point < the sum of all weights.
func weighted(candidates []candidate, point uint64) *target {
	for _, c := range candidates {
		if point < c.weight {
			return c.target
		}
		point -= c.weight
	}
	return candidates[len(candidates)-1].target
}

// newRoster decides who gets requests: the healthy targets, or all of them if
// too few are healthy ("fail open"; ALB, "Target group health"). An initial
// target is not healthy, so a group whose targets were never checked fails open.
// Targets whose checks are switched off count as healthy.
func newRoster(cfg *Config, targets []*target) *roster {
	r := &roster{algorithm: cfg.Algorithm, notInUse: cfg.NotInUse, idleTimeout: cfg.IdleTimeout, sameWeight: true}
	if cfg.NotInUse {
		return r
	}
	healthy := make([]*target, 0, len(targets))
	for _, t := range targets {
		if t.health.State == Healthy || t.health.State == Unavailable {
			healthy = append(healthy, t)
		}
	}
	routing := cfg.UnhealthyStateRouting
	if tooFew(len(healthy), len(targets), routing) {
		healthy, r.failOpen = targets, len(targets) > 0
	}
	for _, t := range healthy {
		r.candidates = append(r.candidates, candidate{t, equalWeight})
		r.totalWeight += equalWeight
	}
	return r
}

// retire makes a roster for a group that goes out of use. Requests may still be on
// their way to it by rules of before, and these find the targets that it had then,
// but for those that are gone. Nobody is checked any more, so health stays as it was.
func (r *roster) retire(cfg *Config, targets []*target) *roster {
	out := &roster{algorithm: cfg.Algorithm, idleTimeout: cfg.IdleTimeout, sameWeight: r.sameWeight, failOpen: r.failOpen}
	for _, c := range r.candidates {
		if slices.Contains(targets, c.target) {
			out.candidates = append(out.candidates, c)
			out.totalWeight += c.weight
		}
	}
	return out
}

// equalWeight is the weight of every target, as ALB's is without anomaly mitigation.
const equalWeight = 1

func tooFew(healthy, registered int, u UnhealthyStateRouting) bool {
	return healthy < u.MinimumHealthyTargetsCount || healthy*100 < u.MinimumHealthyTargetsPercentage*registered
}
