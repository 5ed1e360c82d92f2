package targetgroup

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxMatcherLength bounds the text of a matcher; every code of a kind, written
// one by one, fits.
const MaxMatcherLength = 2048

// A Matcher is the set of codes that a passed health check answers with: HTTP
// status codes, or gRPC status codes in a GRPC group. It is immutable; the zero
// value matches nothing.
type Matcher struct {
	ranges []codeRange
}

type codeRange struct{ first, last int }

// ParseMatcher reads codes and ranges separated by commas, such as "200,202" or
// "200-299,301". HTTP codes are 200 to 499, gRPC codes, which a GRPC group's
// matcher holds, 0 to 99 (ALB, "Health check settings"). Blanks around a comma
// or a hyphen are refused, as is an empty range.
func ParseMatcher(text string, version ProtocolVersion) (Matcher, error) {
	least, most := 200, 499
	if version == GRPC {
		least, most = 0, 99
	}
	if text == "" || len(text) > MaxMatcherLength {
		return Matcher{}, fmt.Errorf("must be 1 to %d bytes long, not %d", MaxMatcherLength, len(text))
	}
	var m Matcher
	for part := range strings.SplitSeq(text, ",") {
		r, ok := parseRange(part)
		if !ok || r.first < least || r.last > most || r.first > r.last {
			return Matcher{}, fmt.Errorf("must hold codes of %d to %d and ranges of them, such as %d or %d-%d, not %q",
				least, most, least, least, least+99, part)
		}
		m.ranges = append(m.ranges, r)
	}
	return m, nil
}

func parseRange(part string) (codeRange, bool) {
	from, to, isRange := strings.Cut(part, "-")
	if !isRange {
		to = from
	}
	first, ok1 := parseCode(from)
	last, ok2 := parseCode(to)
	return codeRange{first, last}, ok1 && ok2
}

// parseCode takes plain decimal digits only: no sign, no leading zero.
func parseCode(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == text
}

// Match reports whether code passes.
func (m Matcher) Match(code int) bool {
	for _, r := range m.ranges {
		if code >= r.first && code <= r.last {
			return true
		}
	}
	return false
}

// String returns the matcher in the form that [ParseMatcher] reads.
func (m Matcher) String() string {
	parts := make([]string, len(m.ranges))
	for i, r := range m.ranges {
		parts[i] = strconv.Itoa(r.first)
		if r.last != r.first {
			parts[i] += "-" + strconv.Itoa(r.last)
		}
	}
	return strings.Join(parts, ",")
}
