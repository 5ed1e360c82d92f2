package listener

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func certificateIs(match trust.FilterConfig) ConditionConfig {
	return ConditionConfig{ClientCertificate: &ClientCertificateConfig{Match: match}}
}

func commonName(values ...string) trust.FilterConfig { return trust.FilterConfig{SubjectCN: values} }

var (
	yes, no     = true, false
	presented   = ConditionConfig{ClientCertificate: &ClientCertificateConfig{Presented: &yes}}
	notPresent  = ConditionConfig{ClientCertificate: &ClientCertificateConfig{Presented: &no}}
	verified    = ConditionConfig{ClientCertificate: &ClientCertificateConfig{Verified: &yes}}
	notVerified = ConditionConfig{ClientCertificate: &ClientCertificateConfig{Verified: &no}}
)

func answering(priority int, body string, conditions ...ConditionConfig) RuleConfig {
	r := ruleOf(priority, conditions...)
	r.Actions = fixed(200, body)
	return r
}

// One certificate reaches one path and another certificate another, over HTTP/1.1
// and HTTP/2; nobody reaches anything by not having one.
func TestRulesByCertificate(t *testing.T) {
	s := newSite(t)
	acme, beta := s.sub.Client("acme-1", pki.DNS("acme.example")), s.sub.Client("beta", pki.URI("spiffe://beta.example/x"))
	cfg := s.config(s.tolerant(RefuseReset, false, true))
	cfg.Rules = []RuleConfig{
		answering(10, "acme's", certificateIs(trust.FilterConfig{SubjectCN: []string{"x", "acme-*"}, SANDNS: []string{"ACME.example"}}), pathIs("/x")),
		answering(20, "beta's", certificateIs(trust.FilterConfig{SPIFFETrustDomain: []string{"beta.example"}})),
		answering(30, "somebody's", verified),
		answering(40, "refused", notVerified, pathIs("/x"), headerIs("X-Odd", "*")),
		answering(50, "nobody's", notPresent),
		answering(60, "bad", presented),
	}
	f := startFront(t, cfg)
	for _, tt := range []struct {
		who  *pki.Entity
		want string
	}{
		{acme, "acme's"}, {beta, "beta's"}, {s.acme, "somebody's"}, {nil, "nobody's"},
		{s.otherRoot.Client("acme-1", pki.DNS("acme.example")), "bad"},
	} {
		cfg := s.client(tt.who)
		if got := f.askOnce(cfg); got != tt.want {
			t.Errorf("HTTP/1.1, %v: %q, want %q", tt.who, got, tt.want)
		}
		two := f.http2Client(cfg)
		for range 2 {
			if got := f.askHTTP2(two); got != tt.want {
				t.Errorf("HTTP/2, %v: %q, want %q", tt.who, got, tt.want)
			}
		}
	}
}

// A reload during a connection gives its next request to the new rules, and a
// revocation takes the certificate's rules away.
func TestRulesByCertificateFollowChanges(t *testing.T) {
	s := newSite(t)
	m := s.tolerant(RefuseReset, false, true)
	rules := func(cn, body string) Config {
		cfg := s.config(m)
		cfg.Rules = []RuleConfig{answering(1, body, certificateIs(commonName(cn)))}
		return cfg
	}
	f := startFront(t, rules("acme-1", "first"))
	one, two := f.connect(s.client(s.acme)), f.http2Client(s.client(s.acme))
	expect := func(want string) {
		t.Helper()
		for range 2 {
			if a, err := ask(one, request()); err != nil || a.body != want {
				t.Errorf("HTTP/1.1: %v, %v, want %q", a, err, want)
			}
			if got := f.askHTTP2(two); got != want {
				t.Errorf("HTTP/2: %q, want %q", got, want)
			}
		}
	}
	expect("first")
	f.apply(rules("acme-*", "second"))
	expect("second")
	f.apply(rules("beta", "third"))
	expect("here")
	f.apply(rules("acme-1", "fourth"))
	expect("fourth")
	f.idle()
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	f.Recheck()
	expect("here")
}

func TestCertificateConditionFaults(t *testing.T) {
	at := "rules[0].conditions[0].client_certificate"
	certificate := func(c ClientCertificateConfig) []ConditionConfig { return []ConditionConfig{{ClientCertificate: &c}} }
	for _, tt := range []struct {
		conditions []ConditionConfig
		path, want string
	}{
		{certificate(ClientCertificateConfig{}), at, "is empty"},
		{certificate(ClientCertificateConfig{Presented: &no, Verified: &yes}), at, "never holds"},
		{certificate(ClientCertificateConfig{Presented: &no, Match: commonName("a")}), at, "never holds"},
		{certificate(ClientCertificateConfig{Verified: &no, Match: commonName("a")}), at, "never holds"},
		{certificate(ClientCertificateConfig{Match: trust.FilterConfig{Deny: true, SubjectCN: []string{"a"}}}), at, "denies"},
		{certificate(ClientCertificateConfig{Match: trust.FilterConfig{SANIP: []string{"10.0.0.1", "x"}}}), at + ".san_ip[1]", "is no IP address"},
		{certificate(ClientCertificateConfig{Match: trust.FilterConfig{Serial: []string{"1"}}}), at + ".serial", "needs issuer"},
		{[]ConditionConfig{verified, presented}, "rules[0].conditions[1].client_certificate", "is the second of its kind"},
	} {
		_, err := CompileRules([]RuleConfig{ruleOf(1, tt.conditions...)}, forwardTo("d"), ProtocolHTTPS)
		faults := fault.All(err)
		if len(faults) != 1 || faults[0].Path != tt.path || !strings.Contains(faults[0].Problem, tt.want) {
			t.Errorf("%+v: %v, want %s %q", tt.conditions, err, tt.path, tt.want)
		}
	}
	var many []RuleConfig
	for i := range MaxCertificatePatterns/100 + 1 {
		var values []string
		for j := range 100 {
			values = append(values, fmt.Sprintf("*%d", j))
		}
		many = append(many, ruleOf(i+1, certificateIs(commonName(values...))))
	}
	if _, err := CompileRules(many, forwardTo("d"), ProtocolHTTPS); err == nil || !strings.Contains(err.Error(), "rules: hold 1100 patterns") {
		t.Errorf("too many patterns: %v", err)
	}
}

// What a listener does not find out it does not route by.
func TestCertificateConditionsByMode(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		m         MutualAuthentication
		condition ConditionConfig
		want      string
	}{
		{s.verify(RefuseReset), verified, ""}, {s.verify(RefuseReset), certificateIs(commonName("a")), ""},
		{MutualAuthentication{Mode: ModePassthrough}, presented, ""},
		{MutualAuthentication{Mode: ModePassthrough}, verified, "does not verify"},
		{MutualAuthentication{Mode: ModePassthrough}, certificateIs(commonName("a")), "does not verify"},
		{MutualAuthentication{}, notPresent, "needs mutual_authentication"},
	} {
		cfg := s.config(tt.m)
		cfg.Rules = []RuleConfig{answering(1, "x", tt.condition)}
		_, err := Compile(cfg, nil)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("mode %s, %+v: %v, want %q", tt.m.Mode, tt.condition.ClientCertificate, err, tt.want)
		}
	}
}

// Without a connection no condition holds, not even that there is no certificate.
func TestMatchKnowsNoCertificate(t *testing.T) {
	table := mustCompileRules(t, ruleOf(1, notPresent), ruleOf(2, notVerified))
	if got := table.Match(ruleRequest("GET", "a.example", "/"), netip.Addr{}).Priority; got != 0 {
		t.Errorf("matched rule %d", got)
	}
}

// BenchmarkMatchCertificate is the rules of one request that came on a connection
// whose conditions were asked before: one rule a client, each with a pin. "first" is
// the asking itself, once for a connection.
func BenchmarkMatchCertificate(b *testing.B) {
	root := pki.NewRoot("root")
	store := trust.NewStore("s", trust.Options{})
	bundle, err := trust.ParseBundle(root.PEM(), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	store.Publish(bundle, nil, "1")
	for _, n := range []int{1, 100} {
		var rules []RuleConfig
		for i := range n {
			rules = append(rules, ruleOf(i+1, certificateIs(trust.FilterConfig{SubjectCN: []string{fmt.Sprintf("client-%d", i)}, SubjectO: []string{"*"}})))
		}
		table := mustCompileRules(b, rules...)
		verdict := store.Verify(root.Client(fmt.Sprintf("client-%d", n-1)).Chain(), nil, time.Now())
		r := ruleRequest("GET", "www.example.com", "/api/items?page=2")
		benchMatch(b, fmt.Sprintf("rules=%d/first=false", n), func() bool {
			return table.match(r, netip.Addr{}, table.answer(verdict, true).bits).Priority == n
		}, table.answer(verdict, true).bits, table, r)
	}
}

func benchMatch(b *testing.B, name string, check func() bool, bits []uint64, table *RuleTable, r *http.Request) {
	if !check() {
		b.Fatal("the wrong rule")
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.match(r, netip.Addr{}, bits)
		}
	})
	b.Run(strings.Replace(name, "false", "true", 1), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check()
		}
	})
}
