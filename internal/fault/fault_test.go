package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/postern-lb/postern/internal/fault"
)

func TestListKeepsPathsBelowThePrefix(t *testing.T) {
	var inner fault.List
	inner.Add("values[0]", "must not be %q", "")
	inner.Add("", "too many values")
	var outer fault.List
	outer.AddUnder("rules[1]", inner.Err())
	outer.AddUnder("rules[2]", fmt.Errorf("compiling: %w", &fault.Fault{Path: "priority", Problem: "taken"}))
	outer.AddUnder("rules[3]", errors.New("plain"))
	outer.AddUnder("rules[4]", nil)
	outer.AddUnder("rules[5]", errors.Join(errors.New("one"), inner.Err()))

	want := "rules[1].values[0]: must not be \"\"\nrules[1]: too many values\nrules[2].priority: taken\nrules[3]: plain" +
		"\nrules[5]: one\nrules[5].values[0]: must not be \"\"\nrules[5]: too many values"
	if got := outer.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEmptyListIsNoError(t *testing.T) {
	var l fault.List
	if err := l.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
}

func TestJoin(t *testing.T) {
	for _, tt := range []struct{ prefix, path, want string }{
		{"", "a", "a"}, {"a", "", "a"}, {"a", "b", "a.b"}, {"a", "[0]", "a[0]"},
	} {
		if got := fault.Join(tt.prefix, tt.path); got != tt.want {
			t.Errorf("Join(%q, %q) = %q, want %q", tt.prefix, tt.path, got, tt.want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"abc", "", 3},
		{"kitten", "sitting", 3}, {"adress", "address", 1}, {"ab", "ba", 2},
	} {
		if got := fault.EditDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
