package listener

import (
	"math/bits"

	"github.com/postern-lb/postern/internal/fault"
)

// Limits of a forward action (ALB, "Action types for listener rules").
const (
	MaxForwardGroups = 5   // target groups in one action
	MaxGroupWeight   = 999 // weight of one of them
)

// An ActionConfig is what a rule does: exactly one of the fields is set.
type ActionConfig struct {
	Forward       *ForwardConfig
	Redirect      *RedirectConfig
	FixedResponse *FixedResponseConfig
}

// A ForwardConfig spreads requests over target groups by weight.
type ForwardConfig struct {
	TargetGroups []WeightedGroup // from 1 to MaxForwardGroups, no name twice
}

// A WeightedGroup is a target group and its share of the requests.
type WeightedGroup struct {
	Name string
	// Weight is from 0 to MaxGroupWeight. The share is weight / sum of weights;
	// with 0 the group gets nothing. Nil means 1.
	Weight *int
}

// An Action is a compiled action: exactly one field is not nil. It is never
// modified.
type Action struct {
	Forward       *Forward
	Redirect      *Redirect
	FixedResponse *FixedResponse
}

// A Forward is a compiled forward action.
type Forward struct {
	names []string // groups that get something
	upTo  []uint64 // running sums of their weights
	all   []string
}

// compileActions checks a list that must hold one action of one kind.
func compileActions(faults *fault.List, path string, cfgs []ActionConfig, protocol Protocol) Action {
	if len(cfgs) != 1 {
		faults.Add(path, "holds %d actions: give exactly one of forward, redirect, fixed_response", len(cfgs))
		return Action{}
	}
	path = fault.Index(path, 0)
	cfg := &cfgs[0]
	kinds := 0
	for _, set := range []bool{cfg.Forward != nil, cfg.Redirect != nil, cfg.FixedResponse != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		faults.Add(path, "names %d kinds of action: give exactly one of forward, redirect, fixed_response", kinds)
		return Action{}
	case cfg.Forward != nil:
		return Action{Forward: compileForward(faults, fault.Join(path, "forward"), cfg.Forward)}
	case cfg.Redirect != nil:
		return Action{Redirect: compileRedirect(faults, fault.Join(path, "redirect"), cfg.Redirect, protocol)}
	}
	return Action{FixedResponse: compileFixedResponse(faults, fault.Join(path, "fixed_response"), cfg.FixedResponse)}
}

func compileForward(faults *fault.List, path string, cfg *ForwardConfig) *Forward {
	path = fault.Join(path, "target_groups")
	if n := len(cfg.TargetGroups); n < 1 || n > MaxForwardGroups {
		faults.Add(path, "holds %d target groups: give from 1 to %d", n, MaxForwardGroups)
	}
	f := &Forward{}
	seen := make(map[string]bool)
	sum := uint64(0)
	for i, group := range cfg.TargetGroups {
		at := fault.Index(path, i)
		weight := 1
		if group.Weight != nil {
			weight = *group.Weight
		}
		if weight < 0 || weight > MaxGroupWeight {
			faults.Add(fault.Join(at, "weight"), "is %d: choose a weight from 0 to %d", weight, MaxGroupWeight)
			weight = 0
		}
		if group.Name == "" {
			faults.Add(fault.Join(at, "name"), "is empty: name a target group")
		}
		if seen[group.Name] {
			faults.Add(fault.Join(at, "name"), "%q is in the action twice: add the weights up", group.Name)
		}
		seen[group.Name] = true
		f.all = append(f.all, group.Name)
		if weight > 0 {
			sum += uint64(weight)
			f.names, f.upTo = append(f.names, group.Name), append(f.upTo, sum)
		}
	}
	return f
}

// Pick draws a target group by weight. Random supplies 64 random bits and is
// called once at most, and not at all if only one group can be drawn. The result
// is empty if every weight is 0, to which ALB answers 503.
//
// A group without healthy targets keeps its share: ALB never moves a request
// to another group of the action.
func (f *Forward) Pick(random func() uint64) string {
	switch len(f.names) {
	case 0:
		return ""
	case 1:
		return f.names[0]
	}
	// The high half of the product is below the sum, and even to within 2^-51.
	drawn, _ := bits.Mul64(random(), f.upTo[len(f.upTo)-1])
	for i, upTo := range f.upTo {
		if drawn < upTo {
			return f.names[i]
		}
	}
	return f.names[len(f.names)-1]
}

// TargetGroups returns the names of all groups of the action, also those of
// weight 0, in the order given.
func (f *Forward) TargetGroups() []string { return append([]string(nil), f.all...) }

func (a *Action) groupNames() []string {
	if a.Forward == nil {
		return nil
	}
	return a.Forward.TargetGroups()
}
