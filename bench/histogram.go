package bench

import (
	"math/bits"
	"time"
)

// subBits sets the precision of a histogram: each power of two is divided into
// 2^subBits buckets, so a percentile is at most 1/64 (1.6 %) above the truth.
const subBits = 6

// A histogram counts durations in buckets that grow with the value. Its size is
// fixed, so a long run takes no more memory than a short one. The zero value is
// empty. It is not safe for concurrent use.
type histogram struct {
	buckets [(64 - subBits) << subBits]uint64
	count   uint64
	max     time.Duration
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(d)]++
	h.count++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.max = max(h.max, other.max)
}

// percentile returns the smallest bucket bound that at least p (0 to 1) of the
// values do not exceed, and never more than the largest value; 0 when empty.
func (h *histogram) percentile(p float64) time.Duration {
	rank := uint64(p * float64(h.count))
	if float64(rank) < p*float64(h.count) {
		rank++
	}
	var seen uint64
	for i, n := range h.buckets {
		seen += n
		if n > 0 && seen >= rank {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

// bucketOf maps a value below 2^subBits to itself and the others by their
// exponent and the subBits bits that follow the leading one.
func bucketOf(d time.Duration) int {
	v := uint64(d)
	exponent := bits.Len64(v) - 1 - subBits
	if exponent < 0 {
		return int(v)
	}
	return exponent<<subBits + int(v>>exponent)
}

// upperBound returns the largest value that bucketOf maps to i.
func upperBound(i int) time.Duration {
	if i < 1<<(subBits+1) {
		return time.Duration(i)
	}
	exponent := i>>subBits - 1
	mantissa := uint64(i&(1<<subBits-1) | 1<<subBits)
	return time.Duration((mantissa+1)<<exponent - 1)
}
