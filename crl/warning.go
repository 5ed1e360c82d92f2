package crl

import (
	"fmt"
	"time"
)

// Quotas that ALB has for trust stores (ALB, Quotas for your Application Load
// Balancers). Going over them works here and gives a warning, so that a set
// that grows out of ALB is noticed.
const (
	QuotaEntries = 500_000       // revoked entries of a trust store
	QuotaLists   = 30            // lists of a trust store
	QuotaSize    = 50 * 1000_000 // bytes of a file
)

// A WarningKind names what a Warning is about, for metrics and tests.
type WarningKind string

// The kinds of warnings.
const (
	Expired      WarningKind = "expired"        // nextUpdate has passed; the list still applies, as on ALB
	Due          WarningKind = "due"            // nextUpdate is near, and the next list has not come
	NotYetValid  WarningKind = "not-yet-valid"  // thisUpdate is in the future; the list applies already
	NoNextUpdate WarningKind = "no-next-update" // nothing tells when the list is stale
	NoNumber     WarningKind = "no-number"      // nothing tells which of two lists is newer
	Empty        WarningKind = "empty"          // no entries
	Partitioned  WarningKind = "partitioned"    // the CA has more lists, which must be there too
	Negative     WarningKind = "negative"       // entries with negative serials, which ALB cannot revoke
	OverQuota    WarningKind = "over-quota"     // ALB would refuse this
)

// WarningKinds returns every kind that there is.
func WarningKinds() []WarningKind {
	return []WarningKind{Expired, Due, NotYetValid, NoNextUpdate, NoNumber, Empty, Partitioned, Negative, OverQuota}
}

// dueShare is how much of the time between thisUpdate and nextUpdate is left when a list is
// due: a CA that is well publishes the next one earlier.
const dueShare = 10

// due reports whether the list should have been replaced by now.
func (l *List) due(now time.Time) bool {
	if l.nextUpdate.IsZero() || now.After(l.nextUpdate) {
		return false
	}
	return l.nextUpdate.Sub(now) < l.nextUpdate.Sub(l.thisUpdate)/dueShare
}

// A Warning is something about a list or a set that does not stop it from being
// used, and that its operator should know.
type Warning struct {
	Source string // name of the source; empty if it is about the whole set
	Kind   WarningKind
	Detail string // a sentence without a full stop
}

// String returns the source and the detail.
func (w Warning) String() string {
	if w.Source == "" {
		return w.Detail
	}
	return w.Source + ": " + w.Detail
}

// Warnings returns what deserves attention at the given time: first about each
// list, in their order, then about the set. Ask again now and then, since lists
// expire. It is safe for concurrent use.
func (s *Set) Warnings(now time.Time) []Warning {
	if s == nil {
		return nil
	}
	var all []Warning
	for _, source := range s.sources {
		for _, w := range source.List.Warnings(now) {
			w.Source = source.Name
			all = append(all, w)
		}
	}
	if s.entries > QuotaEntries {
		all = append(all, Warning{"", OverQuota,
			fmt.Sprintf("%d revoked entries, over ALB's quota of %d for a trust store", s.entries, QuotaEntries)})
	}
	if len(s.sources) > QuotaLists {
		all = append(all, Warning{"", OverQuota,
			fmt.Sprintf("%d revocation lists, over ALB's quota of %d for a trust store", len(s.sources), QuotaLists)})
	}
	return all
}

// Warnings is [Set.Warnings] for one list; Source is empty.
func (l *List) Warnings(now time.Time) []Warning {
	var all []Warning
	add := func(applies bool, kind WarningKind, format string, args ...any) {
		if applies {
			all = append(all, Warning{Kind: kind, Detail: fmt.Sprintf(format, args...)})
		}
	}
	add(!l.nextUpdate.IsZero() && now.After(l.nextUpdate), Expired,
		"the list expired at %s and still applies: get the current one", l.nextUpdate.Format(time.RFC3339))
	add(l.due(now), Due,
		"the list expires at %s and the next one has not come", l.nextUpdate.Format(time.RFC3339))
	add(now.Before(l.thisUpdate), NotYetValid,
		"the list is dated %s, in the future, and applies already: check the clocks", l.thisUpdate.Format(time.RFC3339))
	add(l.nextUpdate.IsZero(), NoNextUpdate, "the list has no nextUpdate, so nothing tells when it is stale")
	add(l.number == nil, NoNumber, "the list has no number, so nothing tells whether it is the newest")
	add(l.entries == 0 && l.base == nil, Empty, "the list has no entries")
	add(l.scope.partition, Partitioned,
		"the list is one partition of its CA's revocations, and vouches only for certificates that name it: name the lists of all the others too")
	add(l.negative > 0, Negative,
		"%d entries have negative serial numbers, which ALB cannot revoke", l.negative)
	add(l.size > QuotaSize, OverQuota, "file of %d bytes, over ALB's limit of %d", l.size, QuotaSize)
	return all
}
