package trust

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/postern-lb/postern/internal/fault"
)

// Policy is what one listener asks of its clients beyond the trust store. It
// must not be modified once it is in use; then it is safe for concurrent use.
// A nil Policy means the zero Policy, which is the strictest of ALB's settings.
type Policy struct {
	// MaxDepth is how many certificates a client may send; 0 means
	// [DefaultMaxDepth].
	MaxDepth int
	// IgnoreExpiry lets a client in whose own certificate has expired. Nothing
	// else is forgiven: a leaf that is not valid yet and an intermediate or a
	// trust store certificate that has expired are refused all the same. ALB
	// does not say how far its switch goes; this is the narrow reading.
	IgnoreExpiry bool
	// Filters turn away a client that one of them denies. Of the others, those that
	// admit, one must match; if there are none, everybody else is admitted.
	Filters []Filter
}

// Check reports what is wrong with the policy, as a [fault.List] with paths in
// the keys of a listener's mutual_authentication.
func (p *Policy) Check() error {
	if p == nil {
		return nil
	}
	var faults fault.List
	if p.MaxDepth < 0 || p.MaxDepth > LargestMaxDepth {
		faults.Add("max_chain_depth", "%d is not between 1 and %d", p.MaxDepth, LargestMaxDepth)
	}
	if len(p.Filters) > MaxFilters {
		faults.Add("identity_filters", "%d filters are more than %d", len(p.Filters), MaxFilters)
	}
	values, patterns := 0, 0
	for i, f := range p.Filters {
		if f.is == nil {
			faults.Add(fault.Index("identity_filters", i), "the filter is empty and would admit nobody")
			continue
		}
		values += f.is.values
		patterns += f.is.patterns
	}
	if values > MaxFilterValues {
		faults.Add("identity_filters", "%d values are more than %d", values, MaxFilterValues)
	}
	if patterns > MaxFilterPatterns {
		faults.Add("identity_filters", "%d patterns with wildcards and address ranges are more than %d", patterns, MaxFilterPatterns)
	}
	return faults.Err()
}

// Digest covers everything that makes two policies decide differently, and the
// name of the trust store: depth, expiry and filters. The content of the store
// is not in it; see [Snapshot.Digest].
func (p *Policy) Digest(store string) [sha256.Size]byte {
	b := appendText([]byte("postern policy 2\x00"), store)
	b = binary.BigEndian.AppendUint32(b, uint32(p.depth()))
	b = append(b, flag(p.ignoresExpiry()))
	for _, f := range p.filters() {
		if f.is != nil {
			b = append(b, f.is.digest[:]...)
		}
	}
	return sha256.Sum256(b)
}

func (p *Policy) depth() int {
	if p == nil || p.MaxDepth <= 0 {
		return DefaultMaxDepth
	}
	return min(p.MaxDepth, LargestMaxDepth)
}

func (p *Policy) ignoresExpiry() bool { return p != nil && p.IgnoreExpiry }

func (p *Policy) filters() []Filter {
	if p == nil {
		return nil
	}
	return p.Filters
}

// admits reports whether the filters let the client in. It does not allocate.
func (p *Policy) admits(who *facts) bool {
	admitted, _ := p.screen(who)
	return admitted
}

// screen is admits, and says which filter denies the client, or -1.
func (p *Policy) screen(who *facts) (admitted bool, deniedBy int) {
	picky, fits := false, false
	for i, f := range p.filters() {
		if f.denies() {
			if f.matches(who) {
				return false, i
			}
			continue
		}
		picky = true
		fits = fits || f.matches(who)
	}
	return fits || !picky, -1
}

// A variant is the part of a policy on which a remembered acceptance depends.
type variant struct {
	depth        int
	ignoreExpiry bool
}

func (p *Policy) variant() variant { return variant{p.depth(), p.ignoresExpiry()} }

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
