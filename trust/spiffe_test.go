package trust

import (
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

func TestSPIFFEID(t *testing.T) {
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		uris []string
		want string
	}{
		{nil, ""},
		{[]string{"spiffe://acme.example/a"}, "spiffe://acme.example/a"},
		{[]string{"spiffe://acme.example"}, "spiffe://acme.example"},
		{[]string{"spiffe://acme.example/a", "spiffe://acme.example/b"}, ""},
		{[]string{"spiffe://acme.example:80/a"}, ""},
		{[]string{"spiffe://user@acme.example/a"}, ""},
		{[]string{"spiffe://acme.example/a?b"}, ""},
		{[]string{"spiffe://acme.example/%41"}, ""},
		{[]string{"spiffe://acme.example/a//b"}, ""},
		{[]string{"spiffe://acme.example/" + strings.Repeat("a", maxSPIFFEID)}, ""},
	} {
		if got := SPIFFEID(root.Client("c", pki.URI(tt.uris...)).Cert); got != tt.want {
			t.Errorf("%.60q: %q, want %q", tt.uris, got, tt.want)
		}
	}
}

// FuzzTrustDomain holds that a trust domain is accepted from one URI alone, which
// names it as its authority, and that whatever names it so is denied.
func FuzzTrustDomain(f *testing.F) {
	f.Add("spiffe://acme.example/a", "", "acme.example")
	f.Add("spiffe://acme.example/a", "https://x", "acme.example")
	f.Add("SPIFFE://ACME.example", "", "acme.example")
	f.Add("spiffe://acme.example.evil/acme.example", "", "acme.example")
	f.Fuzz(func(t *testing.T, one, two, domain string) {
		config := FilterConfig{SPIFFETrustDomain: []string{domain}}
		accept, err := NewFilter(config)
		if err != nil || strings.ContainsAny(domain, "*?") || strings.HasPrefix(domain, spiffeScheme) {
			return
		}
		config.Deny = true
		deny, err := NewFilter(config)
		if err != nil {
			t.Fatal(err)
		}
		uris := []string{one}
		if two != "" {
			uris = append(uris, two)
		}
		var by [kindCount][]string
		by[kindSANURI] = uris
		_, bad := spiffeOf(uris)
		by[kindSPIFFEID], by[kindSPIFFETrustDomain] = spiffeLike(uris)
		who := sorted(&by, bad != nil)
		rest, plain := strings.CutPrefix(one, "spiffe://")
		authority, _, _ := strings.Cut(rest, "/")
		if accept.matches(&who) && (two != "" || !plain || authority != strings.ToLower(domain)) {
			t.Errorf("%q accepts %q", domain, uris)
		}
		if plain && authority == strings.ToLower(domain) && !deny.matches(&who) {
			t.Errorf("%q does not deny %q", domain, uris)
		}
	})
}
