package listener

import (
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/fault"
)

const (
	open PolicyID = iota
	partners
	strictest
)

func testPolicySet(t *testing.T) *PolicySet {
	t.Helper()
	s, err := NewPolicySet(strictest, map[string]PolicyID{
		"public.example":       open,
		"*.partners.example":   partners,
		"a.partners.example":   open,
		"*.a.partners.example": strictest,
		"Bücher.example":       open,
		"10.0.0.1":             partners,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPolicySetLookup(t *testing.T) {
	s := testPolicySet(t)
	for _, tt := range []struct {
		host string
		want PolicyID
	}{
		{"public.example", open},
		{"PUBLIC.example.:8443", open},
		{"b.partners.example", partners},
		{"a.partners.example", open}, // exact before wildcard
		{"b.a.partners.example", strictest},
		{"c.b.partners.example", strictest}, // one label only
		{"partners.example", strictest},     // not the apex
		{"xn--bcher-kva.example", open},
		{"10.0.0.1:443", partners},
		{"[::ffff:10.0.0.1]", partners},
		{"other.example", strictest},
		{"", strictest},
		{"*.partners.example", strictest},
		{"b.partners.example\x00", strictest},
		{".partners.example", strictest},
		{"public.example:443:443", strictest},
		{strings.Repeat("a", 1<<16), strictest},
	} {
		if got := s.Lookup(tt.host); got != tt.want {
			t.Errorf("Lookup(%.40q) = %d, want %d", tt.host, got, tt.want)
		}
	}
}

func TestMisdirected(t *testing.T) {
	s := testPolicySet(t)
	for _, tt := range []struct {
		serverName, host string
		want             bool
	}{
		{"public.example", "public.example:443", false},
		{"public.example", "PUBLIC.EXAMPLE.", false},
		{"public.example", "b.partners.example", true},
		{"b.partners.example", "c.partners.example", false}, // another host, the same policy
		{"b.partners.example", "a.partners.example", true},
		{"", "public.example", true},
		{"", "other.example", false},
		{"public.example", "", true},
		{"public.example", "other.example", true},
	} {
		if got := s.Misdirected(tt.serverName, tt.host); got != tt.want {
			t.Errorf("Misdirected(%q, %q) = %v, want %v", tt.serverName, tt.host, got, tt.want)
		}
	}
}

func TestOnePolicyIsNeverMisdirected(t *testing.T) {
	s, err := NewPolicySet(partners, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "a.example", "*", "\x00"} {
		if s.Misdirected("b.example", host) {
			t.Errorf("Misdirected(b.example, %q) = true", host)
		}
	}
}

func TestNewPolicySetRefuses(t *testing.T) {
	_, err := NewPolicySet(partners, map[string]PolicyID{
		"strict.example": strictest, // stricter than what no name gets
		"a.example":      open,
		"A.example.":     partners, // the same host again
		"w*.example":     open,
		"fine.example":   open,
		"FINE.example":   open, // said twice, the same both times
	})
	faults := fault.All(err)
	if len(faults) != 3 {
		t.Fatalf("faults:\n%v\nwant 3", err)
	}
	for i, path := range []string{"a.example", "strict.example", "w*.example"} {
		if faults[i].Path != path {
			t.Errorf("fault %d is at %q, want %q", i, faults[i].Path, path)
		}
	}
}

// The policy of a handshake and that of a request on it agree for every spelling
// of one name.
func FuzzPolicySetAgrees(f *testing.F) {
	for _, seed := range []string{"public.example", "b.partners.example", "a.partners.example", "bücher.example", "x.y", ""} {
		f.Add(seed)
	}
	s, err := NewPolicySet(strictest, map[string]PolicyID{
		"public.example": open, "*.partners.example": partners, "a.partners.example": open, "xn--bcher-kva.example": open,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		normal, err := NormalizeHost(name)
		if err != nil {
			if got := s.Lookup(name); got != strictest {
				t.Fatalf("malformed %q has policy %d, want the strictest", name, got)
			}
			return
		}
		if IsIPHost(normal) {
			return
		}
		for _, host := range []string{normal, normal + ":8443", normal + ".", strings.ToUpper(normal) + ".:1"} {
			if s.Misdirected(name, host) || s.Misdirected(host, name) {
				t.Fatalf("%q and %q have different policies", name, host)
			}
		}
	})
}

func BenchmarkPolicySetMisdirected(b *testing.B) {
	s, err := NewPolicySet(strictest, map[string]PolicyID{"*.partners.example": partners})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if s.Misdirected("acme.partners.example", "acme.partners.example:8443") {
			b.Fatal("misdirected")
		}
	}
}
