package crl

import (
	"errors"
	"fmt"
	"time"
)

// A held is a list of a Set with the delta list that brings it up to date, if any.
// The delta lies over the list: what it says of a serial counts.
type held struct {
	*List
	delta *List
}

// find looks a serial up, and returns the list that has it.
func (h *held) find(serial []byte) (ReasonCode, *List, bool) {
	if h.delta != nil {
		if reason, ok := h.delta.index.find(serial); ok {
			return reason, h.delta, reason != removeFromCRL
		}
	}
	reason, ok := h.index.find(serial)
	return reason, h.List, ok
}

// freshUntil is when the next list or delta is due, whichever is later.
func (h *held) freshUntil() time.Time {
	if h.delta != nil && fresher(h.delta.nextUpdate, h.nextUpdate) {
		return h.delta.nextUpdate
	}
	return h.nextUpdate
}

var (
	errDeltaNumber = errors.New("malformed deltaCRLIndicator: it is not a number of 0 to 20 bytes")
	errDeltaOrder  = errors.New("a delta list needs a cRLNumber that is not below its BaseCRLNumber")
	errRemove      = errors.New("removeFromCRL belongs in delta lists only: get the full list")
)

// checkDelta holds a list to what its kind may have, now that all of it was read.
func (l *List) checkDelta() error {
	switch {
	case l.base == nil && l.reasonCounts[removeFromCRL] > 0:
		return errRemove
	case l.base != nil && (l.number == nil || l.number.Cmp(l.base) < 0):
		return errDeltaOrder
	}
	return nil
}

// A delta is a delta list of a Set that is being made, and who signed it.
type delta struct {
	Source
	signer *signer
}

// applyDeltas lays the delta lists over their bases, all of which are there. Which
// come first does not matter.
func (s *Set) applyDeltas(deltas []delta) []error {
	var faults []error
	for _, d := range deltas {
		if err := d.List.applyTo(d.signer.lists); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", d.Name, err))
		}
	}
	return faults
}

// applyTo lays the delta list over every list that it fits: same scope, at least as
// new as the delta's base, and older than the delta (RFC 5280, 5.2.4). Of
// several deltas the newest counts, since each tells all since its base. It is
// an error if the delta is newer than all lists and fits none, since what it
// revokes would be lost. A delta that is not newer than a list has nothing to add.
func (l *List) applyTo(lists []held) error {
	var fits, superseded bool
	for i := range lists {
		h := &lists[i]
		if h.number == nil || !h.scope.same(&l.scope) {
			continue
		}
		switch {
		case h.number.Cmp(l.number) >= 0:
			superseded = true
		case h.number.Cmp(l.base) >= 0:
			fits = true
			if h.delta == nil || h.delta.number.Cmp(l.number) < 0 {
				h.delta = l
			}
		}
	}
	if !fits && !superseded {
		return fmt.Errorf("delta list %v fits no full list: it needs one of the same CA and scope, "+
			"numbered %v to below %v; add it, or take the delta away", l.number, l.base, l.number)
	}
	return nil
}
