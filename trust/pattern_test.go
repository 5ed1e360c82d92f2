package trust

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestPattern(t *testing.T) {
	long := strings.Repeat("ab", 100)
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"a", "", false}, {"a", "ab", false}, {"b", "ab", false},
		{"*", "", true}, {"*", "anything", true}, {"**", "", true}, {"?", "", false}, {"?", "a", true}, {"?", "ab", false},
		{"acme-*", "acme-", true}, {"acme-*", "acme-1", true}, {"acme-*", "xacme-1", false},
		{"*.example", "a.b.example", true}, {"*.example", ".example", true}, {"*.example", "example", false},
		{"a*b*c", "a--b--c", true}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"a*b*c", "a--b--c-", false},
		{"a*aa", "aaa", true}, {"a*aa", "aa", false}, {"*a?", "aab", true}, {"?*", "", false}, {"?*", "x", true}, {"*?*?*", "x", false},
		{"spiffe://p/*/x", "spiffe://p/a/b/x", true},
		{"?", "日", true}, {"M?NNIK", "MÄNNIK", true}, {"??", "日", false}, {"?b", "日b", true}, {"?", "日本", false}, {"*?", "日", true},
		{"日*", "日本", true}, {".", "x", false}, {"[a]", "a", false},
		{long, long, true}, {long, long + "a", false}, {"*" + long, "x" + long, true}, {long[1:] + "*", long[1:], true},
		{strings.Repeat("?", 255), long + strings.Repeat("x", 55), true}, {strings.Repeat("?", 255), long + strings.Repeat("x", 54), false},
	} {
		if got := compile(tt.pattern).match(tt.text); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

// What makes a backtracking matcher slow takes no longer than anything else.
func TestPatternTakesLinearTime(t *testing.T) {
	p := compile(strings.Repeat("*a", 127))
	text := strings.Repeat("a", 100_000) + "b"
	start := time.Now()
	if p.match(text) {
		t.Error("matched")
	}
	if took := time.Since(start); took > 100*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("acme-*", "acme-1")
	f.Add("*a?b*", "xa日b")
	f.Add(strings.Repeat("?*", 60), strings.Repeat("x", 70))
	f.Fuzz(func(t *testing.T, text, value string) {
		who := sorted(&[kindCount][]string{kindSubjectCN: {value}}, false)
		filter, err := NewFilter(FilterConfig{SubjectCN: []string{text}})
		if err != nil {
			if filter.matches(&who) {
				t.Fatal("a filter that was refused admits")
			}
			return
		}
		if odd(value) {
			if filter.matches(&who) {
				t.Fatalf("%q admits %q", text, value)
			}
			return
		}
		// The same pattern as a regular expression is the reference.
		expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(text))
		want := regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(value)
		if got := filter.matches(&who); got != want {
			t.Fatalf("%q admits %q: %v, want %v", text, value, got, want)
		}
	})
}
