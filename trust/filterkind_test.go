package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/pki"
)

func emails(list ...string) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.EmailAddresses = list })
}

func serialNumber(n int64) pki.Option {
	return pki.Template(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) })
}

func sanNames(attributes ...string) pki.Option {
	var name pkix.Name
	for i := 0; i < len(attributes); i += 2 {
		arc := map[string]int{"CN": 3, "OU": 11, "O": 10}[attributes[i]]
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{
			Type: asn1.ObjectIdentifier{2, 5, 4, arc}, Value: attributes[i+1],
		})
	}
	return pki.Subject(name)
}

// manyPins returns n digests of nobody.
func manyPins(n int) []string {
	pins := make([]string, n)
	for i := range pins {
		digest := sha256.Sum256(fmt.Append(nil, i))
		pins[i] = hex.EncodeToString(digest[:])
	}
	return pins
}

// TestFilterKinds asks real certificates of a real CA, each filter once to admit
// and once to deny.
func TestFilterKinds(t *testing.T) {
	root := pki.NewRoot("root")
	type one = []string
	for _, tt := range []struct {
		name        string
		client      []pki.Option
		config      FilterConfig
		admit, deny bool // whether the filter matches
	}{
		{"organization", []pki.Option{sanNames("CN", "a", "O", "Acme")}, FilterConfig{SubjectO: one{"Acme"}}, true, true},
		{"organization in the unit", []pki.Option{sanNames("CN", "a", "OU", "Acme")}, FilterConfig{SubjectO: one{"Acme"}}, false, false},
		{"one value of two", []pki.Option{sanNames("CN", "b")}, FilterConfig{SubjectCN: one{"a", "b"}}, true, true},
		{"common names by different values", []pki.Option{sanNames("CN", "a", "CN", "b")}, FilterConfig{SubjectCN: one{"a", "b"}}, true, true},
		{"one bad common name of two", []pki.Option{sanNames("CN", "a", "CN", "evil")}, FilterConfig{SubjectCN: one{"evil"}}, false, true},
		{"NUL in the common name", []pki.Option{sanNames("CN", "acme\x00.evil")}, FilterConfig{SubjectCN: one{"acme*"}}, false, true},
		{"NUL in one common name of two", []pki.Option{sanNames("CN", "acme", "CN", "acme\x00.evil")}, FilterConfig{SubjectCN: one{"acme*"}}, false, true},
		{"NUL in a unit", []pki.Option{sanNames("CN", "x", "OU", "acme\x00")}, FilterConfig{SubjectOU: one{"acme*"}}, false, true},
		{"dot behind the DNS name", []pki.Option{pki.DNS("a.example.")}, FilterConfig{SANDNS: one{"A.example"}}, true, true},
		{"dot behind the DNS value", []pki.Option{pki.DNS("a.example")}, FilterConfig{SANDNS: one{"*.example."}}, true, true},
		{"punycode", []pki.Option{pki.DNS("xn--bcher-kva.example")}, FilterConfig{SANDNS: one{"XN--bcher-kva.example"}}, true, true},
		{"space in the DNS name", []pki.Option{pki.DNS("A.example /")}, FilterConfig{SANDNS: one{"a.example*"}}, false, true},
		{"email", []pki.Option{emails("bob@acme.example")}, FilterConfig{SANEmail: one{"*@ACME.example"}}, true, true},
		{"email in other case", []pki.Option{emails("Bob@acme.example")}, FilterConfig{SANEmail: one{"bob@acme.example"}}, false, false},
		{"email of a subdomain", []pki.Option{emails("bob@x.acme.example")}, FilterConfig{SANEmail: one{"*@acme.example"}}, false, false},
		{"two at signs", []pki.Option{emails("bob@evil.example@acme.example")}, FilterConfig{SANEmail: one{"*@acme.example"}}, false, true},
		{"DNS name is no email", []pki.Option{pki.DNS("acme.example")}, FilterConfig{SANEmail: one{"*@*"}}, false, false},
		{"address", []pki.Option{pki.IP(net.IPv4(10, 0, 0, 1))}, FilterConfig{SANIP: one{"10.0.0.1"}}, true, true},
		{"range", []pki.Option{pki.IP(net.IPv4(10, 9, 8, 7))}, FilterConfig{SANIP: one{"192.0.2.0/24", "10.0.0.0/8"}}, true, true},
		{"outside the range", []pki.Option{pki.IP(net.IPv4(11, 0, 0, 1))}, FilterConfig{SANIP: one{"10.0.0.0/8"}}, false, false},
		{"IPv6", []pki.Option{pki.IP(net.ParseIP("2001:db8::1"))}, FilterConfig{SANIP: one{"2001:DB8::/32"}}, true, true},
		{"DNS name is no address", []pki.Option{pki.DNS("10.0.0.1")}, FilterConfig{SANIP: one{"0.0.0.0/0", "::/0"}}, false, false},
		{"SPIFFE ID", []pki.Option{pki.URI("spiffe://acme.example/a/b")}, FilterConfig{SPIFFEID: one{"spiffe://acme.example/a/*"}}, true, true},
		{"SPIFFE ID whole", []pki.Option{pki.URI("spiffe://acme.example/a")}, FilterConfig{SPIFFEID: one{"spiffe://acme.example/a"}}, true, true},
		{"path in other case", []pki.Option{pki.URI("spiffe://acme.example/A")}, FilterConfig{SPIFFEID: one{"spiffe://acme.example/a"}}, false, false},
		{"two URIs", []pki.Option{pki.URI("spiffe://acme.example/a", "https://x.example")}, FilterConfig{SPIFFEID: one{"spiffe://acme.example/*"}}, false, true},
		{"two URIs, trust domain", []pki.Option{pki.URI("spiffe://acme.example/a", "https://x.example")}, FilterConfig{SPIFFETrustDomain: one{"acme.example"}}, false, true},
		{"trust domain in capitals", []pki.Option{pki.URI("spiffe://ACME.example/a")}, FilterConfig{SPIFFETrustDomain: one{"acme.example"}}, false, true},
		{"dot segment", []pki.Option{pki.URI("spiffe://acme.example/a/../b")}, FilterConfig{SPIFFEID: one{"spiffe://acme.example/*"}}, false, true},
		{"trust domain", []pki.Option{pki.URI("spiffe://eu.acme.example/a")}, FilterConfig{SPIFFETrustDomain: one{"*.acme.example"}}, true, true},
		{"trust domain in the path", []pki.Option{pki.URI("spiffe://evil.example/x.acme.example")}, FilterConfig{SPIFFETrustDomain: one{"*.acme.example"}}, false, false},
		{"another URI is no SPIFFE ID", []pki.Option{pki.URI("https://acme.example/a")}, FilterConfig{SPIFFETrustDomain: one{"*"}}, false, false},
		{"issuer", nil, FilterConfig{Issuer: one{"CN=root*"}}, true, true},
		{"another issuer", nil, FilterConfig{Issuer: one{"CN=roo"}}, false, false},
		{"serial", []pki.Option{serialNumber(0x0abc)}, FilterConfig{Serial: one{"0a:BC"}, Issuer: one{"*"}}, true, true},
		{"serial as printed", []pki.Option{serialNumber(0x0abc)}, FilterConfig{Serial: one{"0ABC"}, Issuer: one{"*"}}, true, true},
		{"another serial", []pki.Option{serialNumber(0x0abc)}, FilterConfig{Serial: one{"ABC0"}, Issuer: one{"*"}}, false, false},
		{"pin of another", nil, FilterConfig{SHA256: manyPins(100)}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := memoStore(t, Options{}, root)
			chain := root.Client("c", tt.client...).Chain()
			for range 2 { // cold and warm
				if got := s.Verify(chain, policyOf(t, tt.config), time.Now()).Accepted; got != tt.admit {
					t.Errorf("admitted: %v", got)
				}
				denying := tt.config
				denying.Deny = true
				if got := !s.Verify(chain, policyOf(t, denying), time.Now()).Accepted; got != tt.deny {
					t.Errorf("denied: %v", got)
				}
				s.Verify(chain, nil, time.Now())
			}
		})
	}
}

func policyOf(t testing.TB, configs ...FilterConfig) *Policy {
	t.Helper()
	p := &Policy{}
	for _, c := range configs {
		f, err := NewFilter(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Filters = append(p.Filters, f)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPins(t *testing.T) {
	root := pki.NewRoot("root")
	s := memoStore(t, Options{}, root)
	known := root.Client("known")
	renewed := root.Client("known", pki.Key(known.Key))
	digest, key := sha256.Sum256(known.Cert.Raw), sha256.Sum256(known.Cert.RawSubjectPublicKeyInfo)
	colons := strings.ToUpper(strings.TrimSuffix(strings.ReplaceAll(fmt.Sprintf("% x ", digest), " ", ":"), ":"))
	for _, pin := range []string{hex.EncodeToString(digest[:]), colons, base64.StdEncoding.EncodeToString(digest[:])} {
		p := policyOf(t, FilterConfig{SHA256: append(manyPins(5000), pin)})
		if v := s.Verify(known.Chain(), p, time.Now()); !v.Accepted {
			t.Errorf("%s: %s", pin, v.Detail)
		}
		if s.Verify(renewed.Chain(), p, time.Now()).Accepted {
			t.Errorf("%s admits another certificate of the key", pin)
		}
	}
	p := policyOf(t, FilterConfig{SPKISHA256: []string{hex.EncodeToString(key[:])}})
	for _, who := range []*pki.Entity{known, renewed} {
		if v := s.Verify(who.Chain(), p, time.Now()); !v.Accepted {
			t.Error(v.Detail)
		}
	}
	if s.Verify(root.Client("known").Chain(), p, time.Now()).Accepted {
		t.Error("the pin of a key admits another key")
	}
}

// Who is denied stays out whatever else admits; with nothing but denials everybody
// else is in.
func TestDenyWins(t *testing.T) {
	root := pki.NewRoot("root")
	s := memoStore(t, Options{}, root)
	evil := FilterConfig{Deny: true, SubjectCN: []string{"evil-*"}}
	all, acme := FilterConfig{SubjectCN: []string{"*"}}, FilterConfig{SubjectCN: []string{"acme"}}
	for _, tt := range []struct {
		filters []FilterConfig
		admits  string
	}{
		{[]FilterConfig{evil}, "acme other"}, {[]FilterConfig{all, evil}, "acme other"}, {[]FilterConfig{evil, all}, "acme other"},
		{[]FilterConfig{evil, acme}, "acme"}, {[]FilterConfig{all}, "acme other evil-1"},
	} {
		var in []string
		for _, cn := range []string{"acme", "other", "evil-1"} {
			v := s.Verify(root.Client(cn).Chain(), policyOf(t, tt.filters...), time.Now())
			if v.Accepted {
				in = append(in, cn)
			} else if v.Reason != ClientCertRejected {
				t.Errorf("%s: %s", cn, v.Reason)
			}
		}
		if got := strings.Join(in, " "); got != tt.admits {
			t.Errorf("%v admit %q, want %q", tt.filters, got, tt.admits)
		}
	}
	v := s.Verify(root.Client("evil-1").Chain(), policyOf(t, acme, evil), time.Now())
	if !strings.Contains(v.Detail, "identity_filters[1] denies") {
		t.Errorf("detail %q names no filter", v.Detail)
	}
}

func TestFilterValueFaults(t *testing.T) {
	for key, values := range map[string][]string{
		"san_dns":             {"a b", "bücher.example", ""},
		"san_email":           {"acme.example", "@acme.example", "a@b@c", "a@"},
		"san_ip":              {"10.0.0", "10.0.0.1/8", "10.0.0.*", "::ffff:10.0.0.0/104", "fe80::1%eth0"},
		"spiffe_id":           {"*", "spiffe://*", "spiffe://acme.example*", "spiffe://*.example/a", "https://acme.example", "spiffe://ACME.example/a", "spiffe://acme.example/a/"},
		"spiffe_trust_domain": {"acme.example/a", "acme example"},
		"serial":              {"0x12", "12 34", ":", "*", "-1"},
		"sha256":              {"12", strings.Repeat("g", 64), "*", "sha256/" + strings.Repeat("A", 43) + "="},
		"subject_o":           {"a\x00b", strings.Repeat("x", MaxPatternBytes+1)},
	} {
		for k := range kindCount {
			if k.key() != key {
				continue
			}
			for _, value := range values {
				c := FilterConfig{Deny: true}
				setValues(&c, int(k), "1", value)
				_, err := NewFilter(c)
				found := false
				for _, f := range fault.All(err) {
					found = found || f.Path == key+"[1]"
				}
				if !found {
					t.Errorf("%s %q: %v", key, value, err)
				}
			}
		}
	}
	_, err := NewFilter(FilterConfig{Serial: []string{"1"}})
	if err == nil || !strings.HasPrefix(err.Error(), "serial: needs issuer beside it") {
		t.Errorf("a serial without issuer: %v", err)
	}
}

// setValues sets the nth list of a config: the order of the kinds is that of the
// fields.
func setValues(c *FilterConfig, n int, values ...string) {
	reflect.ValueOf(c).Elem().Field(n + 1).Set(reflect.ValueOf(values))
}

// Every field of a config is a kind, and makes another digest.
func TestDigestCoversEveryKind(t *testing.T) {
	if n := reflect.TypeFor[FilterConfig]().NumField(); n != int(kindCount)+1 {
		t.Fatalf("%d fields, %d kinds", n, kindCount)
	}
	seen := make(map[[32]byte]string)
	for k := range kindCount {
		var c FilterConfig
		setValues(&c, int(k), "x")
		if got := c.values(k); len(got) != 1 {
			t.Fatalf("%s is out of order", k.key())
		}
		for _, deny := range []bool{false, true} {
			c.Deny = deny
			d := c.digest()
			if other, ok := seen[d]; ok {
				t.Errorf("%s and %s have one digest", k.key(), other)
			}
			seen[d] = k.key()
		}
	}
}

func TestFilterLimits(t *testing.T) {
	_, err := NewFilter(FilterConfig{SHA256: manyPins(MaxFilterValues + 1)})
	if err == nil || !strings.Contains(err.Error(), "values are more than") {
		t.Errorf("too many values: %v", err)
	}
	wild := make([]string, MaxFilterPatterns/2+1)
	for i := range wild {
		wild[i] = fmt.Sprint("*", i)
	}
	f, err := NewFilter(FilterConfig{SubjectCN: wild})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Policy{Filters: []Filter{f, f}}).Check(); err == nil || !strings.Contains(err.Error(), "patterns with wildcards") {
		t.Errorf("too many patterns: %v", err)
	}
	half, err := NewFilter(FilterConfig{SHA256: manyPins(MaxFilterValues/2 + 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Policy{Filters: []Filter{half, half}}).Check(); err == nil || !strings.Contains(err.Error(), "values are more than") {
		t.Errorf("too many values together: %v", err)
	}
}

// A filter asked directly knows accepted clients only.
func TestFilterMatches(t *testing.T) {
	root := pki.NewRoot("root")
	s := memoStore(t, Options{}, root)
	f := policyOf(t, FilterConfig{SubjectCN: []string{"*"}}).Filters[0]
	chain := root.Client("acme").Chain()
	for range 2 {
		if !f.Matches(s.Verify(chain, nil, time.Now())) {
			t.Error("an accepted client does not match")
		}
	}
	if f.Matches(s.Verify(pki.NewRoot("other").Client("acme").Chain(), nil, time.Now())) || f.Matches(nil) || f.Matches(RefuseMissing()) {
		t.Error("a client that was not accepted matches")
	}
	if (Filter{}).Matches(s.Verify(chain, nil, time.Now())) {
		t.Error("the zero filter matches")
	}
}

// BenchmarkFilterPins is a memo hit against allow lists of pins, of which the
// client's is one. The cost must not grow with the list.
func BenchmarkFilterPins(b *testing.B) {
	root := pki.NewRoot("root")
	s := NewStore("partners", Options{})
	bundle, err := ParseBundle(root.PEM(), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	s.Publish(bundle, nil, "1")
	client := root.Client("acme")
	digest := sha256.Sum256(client.Cert.Raw)
	for _, n := range []int{0, 1, 100, 10_000} {
		p := &Policy{}
		if n > 0 {
			p = policyOf(b, FilterConfig{SHA256: append(manyPins(n-1), hex.EncodeToString(digest[:]))})
		}
		b.Run(fmt.Sprintf("pins=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			chain, now := client.Chain(), time.Now()
			for b.Loop() {
				if !s.Verify(chain, p, now).Accepted {
					b.Fatal("refused")
				}
			}
		})
	}
}
