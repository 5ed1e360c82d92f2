package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func TestFilters(t *testing.T) {
	root := pki.NewRoot("root")
	subject := func(attributes ...string) pki.Option {
		var name pkix.Name
		for i := 0; i < len(attributes); i += 2 {
			arc := map[string]int{"CN": 3, "OU": 11, "O": 10}[attributes[i]]
			name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{
				Type: asn1.ObjectIdentifier{2, 5, 4, arc}, Value: attributes[i+1],
			})
		}
		return pki.Subject(name)
	}
	email := pki.Template(func(c *x509.Certificate) { c.EmailAddresses = []string{"partners.example", "a@partners.example"} })
	type list = []trust.FilterConfig

	for _, tt := range []struct {
		name    string
		client  []pki.Option
		filters list
		want    bool
	}{
		{"no filter", nil, nil, true},
		{"common name", []pki.Option{subject("CN", "acme-1")}, list{{SubjectCN: []string{"acme-*"}}}, true},
		{"common name in other case", []pki.Option{subject("CN", "ACME-1")}, list{{SubjectCN: []string{"acme-*"}}}, false},
		{"common name elsewhere", []pki.Option{subject("O", "acme-1", "OU", "acme-1")}, list{{SubjectCN: []string{"acme-*"}}}, false},
		{"no common name, any is asked for", []pki.Option{subject("O", "x")}, list{{SubjectCN: []string{"*"}}}, false},
		{"second common name", []pki.Option{subject("CN", "evil", "CN", "acme-1")}, list{{SubjectCN: []string{"acme-*"}}}, false},
		{"first common name", []pki.Option{subject("CN", "acme-1", "CN", "evil")}, list{{SubjectCN: []string{"acme-*"}}}, false},
		{"two common names that fit", []pki.Option{subject("CN", "acme-1", "CN", "acme-2")}, list{{SubjectCN: []string{"acme-*"}}}, true},
		{"unit", []pki.Option{subject("CN", "x", "OU", "web", "OU", "sales")}, list{{SubjectOU: []string{"sales"}}}, true},
		{"no such unit", []pki.Option{subject("CN", "sales")}, list{{SubjectOU: []string{"sales"}}}, false},
		{"DNS name", []pki.Option{pki.DNS("a.partners.example")}, list{{SANDNS: []string{"*.partners.example"}}}, true},
		{"DNS name in other case", []pki.Option{pki.DNS("A.Partners.EXAMPLE")}, list{{SANDNS: []string{"*.PARTNERS.example"}}}, true},
		{"one of several DNS names", []pki.Option{pki.DNS("x.example", "a.partners.example")}, list{{SANDNS: []string{"*.partners.example"}}}, true},
		{"common name is no DNS name", []pki.Option{subject("CN", "a.partners.example")}, list{{SANDNS: []string{"*"}}}, false},
		{"email is no DNS name", []pki.Option{email}, list{{SANDNS: []string{"partners.example"}}}, false},
		{"email is no URI", []pki.Option{email}, list{{SANURI: []string{"*partners.example"}}}, false},
		{"IP address is no DNS name", []pki.Option{pki.IP(net.IPv4(10, 0, 0, 1))}, list{{SANDNS: []string{"*"}}}, false},
		{"URI", []pki.Option{pki.URI("spiffe://partners.example/acme/1")}, list{{SANURI: []string{"spiffe://partners.example/*"}}}, true},
		{"URI in other case", []pki.Option{pki.URI("spiffe://partners.example/ACME")}, list{{SANURI: []string{"spiffe://partners.example/acme"}}}, false},
		{"URI of another domain", []pki.Option{pki.URI("spiffe://partners.example.evil/a")}, list{{SANURI: []string{"spiffe://partners.example/*"}}}, false},
		{"URI is no DNS name", []pki.Option{pki.URI("spiffe://a.example")}, list{{SANDNS: []string{"*"}}}, false},
		{"all of one filter", []pki.Option{subject("CN", "acme", "OU", "sales")}, list{{SubjectCN: []string{"acme"}, SubjectOU: []string{"sales"}}}, true},
		{"one of two in one filter", []pki.Option{subject("CN", "acme", "OU", "web")}, list{{SubjectCN: []string{"acme"}, SubjectOU: []string{"sales"}}}, false},
		{"one filter of two", []pki.Option{subject("CN", "acme")}, list{{SubjectCN: []string{"other"}}, {SubjectCN: []string{"acme"}}}, true},
		{"half of each of two", []pki.Option{subject("CN", "acme", "OU", "web")}, list{{SubjectCN: []string{"acme"}, SubjectOU: []string{"sales"}}, {SubjectCN: []string{"x"}, SubjectOU: []string{"web"}}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &trust.Policy{}
			for _, c := range tt.filters {
				p.Filters = append(p.Filters, filter(t, c))
			}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			v := judged(t, store(t, root.Cert), root.Client("c", tt.client...).Chain(), p, time.Now())
			want := trust.ClientCertRejected
			if tt.want {
				want = ""
			}
			checkVerdict(t, v, want, 0)
		})
	}
}

// net/url would print the scheme in lower case.
func TestURIIsMatchedAsWritten(t *testing.T) {
	root := pki.NewRoot("root")
	names := marshal(t, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte("SPIFFE://partners.example/a%2Fb")}})
	client := root.Client("c", pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names})
	}))
	s := store(t, root.Cert)
	for pattern, want := range map[string]trust.Reason{"SPIFFE://*/a%2Fb": "", "spiffe://*": trust.ClientCertRejected} {
		p := &trust.Policy{Filters: []trust.Filter{filter(t, trust.FilterConfig{SANURI: []string{pattern}})}}
		checkVerdict(t, judged(t, s, client.Chain(), p, time.Now()), want, 0)
	}
}

func TestZeroFilterAdmitsNobody(t *testing.T) {
	root := pki.NewRoot("root")
	p := &trust.Policy{Filters: []trust.Filter{{}}}
	checkVerdict(t, judged(t, store(t, root.Cert), root.Client("c").Chain(), p, time.Now()), trust.ClientCertRejected, 0)
}

func TestFilterFaults(t *testing.T) {
	for _, tt := range []struct {
		config trust.FilterConfig
		want   string
	}{
		{trust.FilterConfig{}, "an identity filter needs at least one of subject_cn, subject_ou, "},
		{trust.FilterConfig{SubjectCN: []string{strings.Repeat("x", 256)}}, "subject_cn: pattern of 256 bytes is longer than 255"},
		{trust.FilterConfig{SubjectOU: []string{"a\nb"}}, "subject_ou: pattern \"a\\nb\" holds a control character"},
		{trust.FilterConfig{SANURI: []string{"\xff"}}, "san_uri: pattern \"\\xff\" holds a control character or is not UTF-8"},
		{trust.FilterConfig{SANDNS: []string{"bücher.example"}}, "san_dns: DNS pattern"},
	} {
		_, err := trust.NewFilter(tt.config)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || len(fault.All(err)) != 1 {
			t.Errorf("%+v: %v, want %q", tt.config, err, tt.want)
		}
	}
	if _, err := trust.NewFilter(trust.FilterConfig{SubjectCN: []string{strings.Repeat("x", 255)}}); err != nil {
		t.Error(err)
	}
}

func TestPolicyCheck(t *testing.T) {
	acme := filter(t, trust.FilterConfig{SubjectCN: []string{"acme"}})
	for _, tt := range []struct {
		policy trust.Policy
		want   string
	}{
		{trust.Policy{}, ""},
		{trust.Policy{MaxDepth: 10, Filters: []trust.Filter{acme}}, ""},
		{trust.Policy{MaxDepth: 11}, "max_chain_depth: 11 is not between 1 and 10"},
		{trust.Policy{MaxDepth: -1}, "max_chain_depth: -1 is not between 1 and 10"},
		{trust.Policy{Filters: []trust.Filter{acme, {}}}, "identity_filters[1]: the filter is empty and would admit nobody"},
		{trust.Policy{Filters: make([]trust.Filter, 0, 1)}, ""},
	} {
		err := tt.policy.Check()
		if err == nil && tt.want != "" || err != nil && err.Error() != tt.want {
			t.Errorf("%+v: %v, want %q", tt.policy, err, tt.want)
		}
	}
	crowd := trust.Policy{}
	for range trust.MaxFilters + 1 {
		crowd.Filters = append(crowd.Filters, acme)
	}
	if err := crowd.Check(); err == nil {
		t.Error("too many filters pass")
	}
}

func TestPolicyDigest(t *testing.T) {
	f := func(c trust.FilterConfig) []trust.Filter { return []trust.Filter{filter(t, c)} }
	seen := make(map[[32]byte]int)
	for i, tt := range []struct {
		policy trust.Policy
		store  string
	}{
		{trust.Policy{}, "a"}, {trust.Policy{}, "b"}, {trust.Policy{MaxDepth: 3}, "a"}, {trust.Policy{IgnoreExpiry: true}, "a"},
		{trust.Policy{Filters: f(trust.FilterConfig{SubjectCN: []string{"x"}})}, "a"},
		{trust.Policy{Filters: f(trust.FilterConfig{SubjectOU: []string{"x"}})}, "a"},
		{trust.Policy{Filters: f(trust.FilterConfig{SANDNS: []string{"x"}})}, "a"},
		{trust.Policy{Filters: f(trust.FilterConfig{SANURI: []string{"x"}})}, "a"},
		{trust.Policy{Filters: f(trust.FilterConfig{SubjectCN: []string{"x"}, SubjectOU: []string{"y"}})}, "a"},
		{trust.Policy{Filters: append(f(trust.FilterConfig{SubjectCN: []string{"x"}}), f(trust.FilterConfig{SubjectOU: []string{"y"}})...)}, "a"},
	} {
		d := tt.policy.Digest(tt.store)
		if first, ok := seen[d]; ok {
			t.Errorf("policies %d and %d have the same digest", first, i)
		}
		seen[d] = i
	}
	var none *trust.Policy
	if none.Digest("a") != (&trust.Policy{MaxDepth: trust.DefaultMaxDepth}).Digest("a") {
		t.Error("no policy, the zero one and its defaults written out differ")
	}
}
