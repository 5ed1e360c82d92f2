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
	// Filters admit a client if any of them does; an empty list admits all.
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
	for i := range p.Filters {
		if p.Filters[i].config == (FilterConfig{}) {
			faults.Add(fault.Index("identity_filters", i), "the filter is empty and would admit nobody")
		}
	}
	return faults.Err()
}

// Digest covers everything that makes two policies decide differently, and the
// name of the trust store: depth, expiry and filters. The content of the store
// is not in it; see [Snapshot.Digest].
func (p *Policy) Digest(store string) [sha256.Size]byte {
	b := appendText([]byte("postern policy 1\x00"), store)
	b = binary.BigEndian.AppendUint32(b, uint32(p.depth()))
	b = append(b, flag(p.ignoresExpiry()))
	for _, f := range p.filters() {
		b = appendText(b, f.config.SubjectCN)
		b = appendText(b, f.config.SubjectOU)
		b = appendText(b, f.config.SANDNS)
		b = appendText(b, f.config.SANURI)
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

// admits reports whether the filters let the client in.
func (p *Policy) admits(who *facts) bool {
	filters := p.filters()
	for i := range filters {
		if filters[i].admits(who) {
			return true
		}
	}
	return len(filters) == 0
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
