package listener

import (
	"strings"
	"testing"
)

func TestNormalizeHost(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	longest := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	for _, tt := range []struct{ in, want string }{
		{"api.example", "api.example"},
		{"API.Example", "api.example"},
		{"api.example.", "api.example"},
		{"api.example:8443", "api.example"},
		{"API.example.:8443", "api.example"},
		{"api.example:", "api.example"},
		{"localhost", "localhost"},
		{"_dmarc.api_1.example", "_dmarc.api_1.example"},
		{"-a-.example", "-a-.example"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.Example:443", "xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"faß.example", "xn--fa-hia.example"}, // not "fass": no transitional mapping
		{"b\u00fccher_1.example", "xn--bcher_1-n2a.example"},
		{"\u00adapi.exa\u00admple", "api.example"}, // soft hyphens
		{"api。example", "api.example"},             // ideographic full stop
		{"ａｐｉ.example", "api.example"},             // full width
		{"１２７.0.0.1", "127.0.0.1"},                 // full width digits
		{"10.0.0.1:443", "10.0.0.1"},
		{"10.0.0.1.", "10.0.0.1"},
		{"[2001:DB8::1]:443", "2001:db8::1"},
		{"[2001:db8:0:0::1]", "2001:db8::1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.1]", "10.0.0.1"},
		{longest, longest},
		{longest + ".:65535", longest},
	} {
		got, err := NormalizeHost(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("NormalizeHost(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestNormalizeHostRefuses(t *testing.T) {
	for _, in := range []string{
		"", ".", "..", ":443", ".:443",
		".example", "api..example", "api.example..", "api.example。。",
		"*.example", "api*.example", "api.example/", "api example", "user@api.example", "api%2eexample", "api,example",
		"api\x00.example", "api\r\n.example", "api\x7f.example", "\xff.example", "api.example\u200b.\u0000",
		"api.example:65536", "api.example:-1", "api.example:http", "api.example:443:443", "api.example:０",
		"api：443.example", // full width colon
		"127.1", "010.0.0.1", "1.2.3.4.5", "256.0.0.1", "0x7f.0.0.0x1", "api.0x", "2130706433",
		"[::1", "::1]", "[]", "[::1]443", "[::1]:x", "[10.0.0.1]", "[api.example]", "[fe80::1%25eth0]", "fe80::1%eth0", "[::1].",
		strings.Repeat("a", 64) + ".example",
		strings.Repeat("a.", 126) + "bc",
		strings.Repeat("ü", 300),
		strings.Repeat("a", 1<<16),
		strings.Repeat("\u00ad", maxHostInput/2) + "api.example", // soft hyphens map to nothing
	} {
		if got, err := NormalizeHost(in); err == nil || got != "" {
			t.Errorf("NormalizeHost(%.80q) = %q, %v, want an error and nothing else", in, got, err)
		}
	}
}

func TestNormalizeHostPattern(t *testing.T) {
	for _, tt := range []struct {
		in       string
		host     string
		wildcard bool
		ok       bool
	}{
		{"*.Example.", "example", true, true},
		{"api.example", "api.example", false, true},
		{"*.bücher.example", "xn--bcher-kva.example", true, true},
		{"*", "", false, false},
		{"*.", "", false, false},
		{"*.*.example", "", false, false},
		{"w*.example", "", false, false},
		{"*.0.0.1", "", false, false},
		{"*.10.0.0.1", "", false, false},
		{"*.[::1]", "", false, false},
	} {
		host, wildcard, err := NormalizeHostPattern(tt.in)
		if host != tt.host || wildcard != tt.wildcard || (err == nil) != tt.ok {
			t.Errorf("NormalizeHostPattern(%q) = %q, %v, %v", tt.in, host, wildcard, err)
		}
	}
}

func TestNormalHostsDoNotAllocate(t *testing.T) {
	for _, host := range []string{"api.example", "api.example:443", "api.example.", "xn--bcher-kva.example", "10.0.0.1:80", "[2001:db8::1]:443"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = NormalizeHost(host) }); n != 0 {
			t.Errorf("NormalizeHost(%q) allocates %v times, want 0", host, n)
		}
	}
}

// Whatever a name is, the spellings a client can give it in SNI and in Host come
// out as one, and what came out once does not change again.
func FuzzNormalizeHost(f *testing.F) {
	for _, seed := range []string{"api.example", "API.Example.:443", "bücher.example", "[::1]:80", "10.0.0.1", "１.0.0.1", "xn--a", "a。b", "*.a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := NormalizeHost(s)
		if err != nil {
			if name != "" {
				t.Fatalf("%q: an error and %q", s, name)
			}
			return
		}
		if len(name) == 0 || len(name) > MaxHostLength {
			t.Fatalf("%q: a name of %d bytes", s, len(name))
		}
		bracketed := name
		if strings.Contains(name, ":") {
			bracketed = "[" + name + "]"
		}
		spellings := []string{name, bracketed, bracketed + ":443", strings.ToUpper(bracketed), strings.ToUpper(bracketed) + ":1"}
		if bracketed == name {
			spellings = append(spellings, name+".", strings.ToUpper(name)+".:65535")
		}
		for _, spelling := range spellings {
			if again, err := NormalizeHost(spelling); err != nil || again != name {
				t.Fatalf("%q is %q, but its spelling %q is %q, %v", s, name, spelling, again, err)
			}
		}
		for i := range len(name) {
			if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || c == '*' {
				t.Fatalf("%q: %q has %q", s, name, c)
			}
		}
	})
}

func BenchmarkNormalizeHost(b *testing.B) {
	for b.Loop() {
		if _, err := NormalizeHost("partners.api.example.com:8443"); err != nil {
			b.Fatal(err)
		}
	}
}
