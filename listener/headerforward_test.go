package listener

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func allForwarded() []ForwardedHeader {
	return []ForwardedHeader{ForwardClientCert, ForwardClientCertChain, ForwardXFCC, ForwardVerdict, ForwardFingerprint, ForwardSPIFFEID}
}

// forwarded returns what targets get for some evidence.
func forwarded(t *testing.T, e *Evidence) http.Header {
	t.Helper()
	h := http.Header{}
	mustHeaderPolicy(t, HeaderConfig{Forward: allForwarded()}).Connection(ConnectionInfo{Evidence: e}).Set(h)
	delete(h, "X-Forwarded-Proto")
	delete(h, "X-Forwarded-Port")
	return h
}

// verifiedPath is a path of three, to a leaf with the given options.
func verifiedPath(options ...pki.Option) []*x509.Certificate {
	root := pki.NewRoot("Root")
	sub := root.Intermediate("Sub")
	return []*x509.Certificate{sub.Client("client", options...).Cert, sub.Cert, root.Cert}
}

// readXFCC reads one element as Envoy documents it: pairs between semicolons, values
// that may stand in double quotes, in which \" is a quote. With slashes, \\ is a
// backslash as well, as some readers have it.
func readXFCC(t *testing.T, s string, slashes bool) (pairs [][2]string) {
	t.Helper()
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			t.Fatalf("no value in %q", s)
		}
		var value strings.Builder
		quoted := strings.HasPrefix(rest, `"`)
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(rest); i++ {
			if quoted && rest[i] == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || slashes && rest[i+1] == '\\') {
				i++
			} else if quoted && rest[i] == '"' {
				break
			} else if !quoted && strings.ContainsRune(`;,="`, rune(rest[i])) {
				break
			}
			value.WriteByte(rest[i])
		}
		if quoted {
			if i == len(rest) {
				t.Fatalf("a quote does not end: %q", rest)
			}
			i++
		}
		pairs = append(pairs, [2]string{key, value.String()})
		if s = rest[i:]; s != "" {
			if s[0] != ';' {
				t.Fatalf("found %q behind a value, want a semicolon: one element only", s)
			}
			s = s[1:]
		}
	}
	return pairs
}

func values(pairs [][2]string, key string) (out []string) {
	for _, pair := range pairs {
		if pair[0] == key {
			out = append(out, pair[1])
		}
	}
	return out
}

func TestClientCertReadsBack(t *testing.T) {
	path := verifiedPath()
	h := forwarded(t, &Evidence{Verdict: verdictAccepted, Path: path})
	item, err := httpsfv.UnmarshalItem(h["Client-Cert"])
	if err != nil {
		t.Fatal(err)
	}
	if der, _ := item.Value.([]byte); !bytes.Equal(der, path[0].Raw) {
		t.Errorf("Client-Cert is %v", item.Value)
	}
	list, err := httpsfv.UnmarshalList(h["Client-Cert-Chain"])
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("Client-Cert-Chain has %d members, want the intermediate alone", len(list))
	}
	if der, _ := list[0].(httpsfv.Item).Value.([]byte); !bytes.Equal(der, path[1].Raw) {
		t.Error("Client-Cert-Chain is not the intermediate")
	}
	digest := sha256.Sum256(path[0].Raw)
	if got := h.Get("X-Postern-Clientcert-Sha256"); got != hex.EncodeToString(digest[:]) {
		t.Errorf("fingerprint %q", got)
	}
	for _, short := range [][]*x509.Certificate{path[:1], {path[0], path[2]}} {
		h := forwarded(t, &Evidence{Verdict: verdictAccepted, Path: short})
		if _, ok := h["Client-Cert-Chain"]; ok || h["Client-Cert"] == nil {
			t.Errorf("a path of %d gives %v", len(short), h)
		}
	}
}

func TestXFCCReadsBack(t *testing.T) {
	names := []string{
		"client", `a";URI=spiffe://evil/x;x="`, `a\`, `a\\`, `a\"`, `\";URI=spiffe://evil;A="\`, "a,b;c=d", `"`, "", ",URI=evil",
	}
	for _, name := range names {
		path := verifiedPath(pki.Subject(pkix.Name{CommonName: name}), pki.URI("spiffe://a.example/b,c;d=e"), pki.DNS("one.example", "two.example"))
		value := forwarded(t, &Evidence{Verdict: verdictAccepted, Path: path}).Get("X-Forwarded-Client-Cert")
		for _, slashes := range []bool{false, true} {
			pairs := readXFCC(t, value, slashes)
			var keys []string
			for _, pair := range pairs {
				keys = append(keys, pair[0])
			}
			if !slices.Equal(keys, []string{"Hash", "Cert", "Chain", "Subject", "URI", "DNS", "DNS"}) {
				t.Fatalf("the name %q gives the keys %q", name, keys)
			}
			if uri := values(pairs, "URI"); uri[0] != "spiffe://a.example/b,c;d=e" {
				t.Errorf("URI %q", uri)
			}
			if dns := values(pairs, "DNS"); !slices.Equal(dns, []string{"one.example", "two.example"}) {
				t.Errorf("DNS %q", dns)
			}
			checkXFCCCertificates(t, pairs, path)
		}
	}
}

func checkXFCCCertificates(t *testing.T, pairs [][2]string, path []*x509.Certificate) {
	t.Helper()
	for key, want := range map[string][]*x509.Certificate{"Cert": path[:1], "Chain": path[:2]} {
		// As a form or not: nothing in it depends on that.
		plain, err := url.PathUnescape(values(pairs, key)[0])
		if err != nil {
			t.Fatal(err)
		}
		if form, err := url.QueryUnescape(values(pairs, key)[0]); err != nil || form != plain {
			t.Errorf("%s differs when it is read as a form", key)
		}
		rest := []byte(plain)
		for _, cert := range want {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil || !bytes.Equal(block.Bytes, cert.Raw) {
				t.Fatalf("%s is not the certificates", key)
			}
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			t.Errorf("%s has more: %q", key, rest)
		}
	}
}

func TestXFCCLeavesOutNamesThatAreNone(t *testing.T) {
	for _, bad := range []string{`a"b`, `a\b`, "a b", "a\r\nb", "\u00fc", "\x7f"} {
		var b strings.Builder
		writeXFCC(&b, "DNS", bad)
		if b.String() != "" {
			t.Errorf("%q gives %q", bad, b.String())
		}
	}
}

func TestSPIFFEID(t *testing.T) {
	for uri, want := range map[string]bool{
		"spiffe://a.example": true, "spiffe://a.example/b/C_d.e-1": true, "spiffe://a.example/": false, "spiffe://A.example/b": false,
		"spiffe:///b": false, "spiffe://a.example//b": false, "spiffe://a.example/../b": false, "spiffe://a.example/b?c": false,
		"spiffe://a.example:1/b": false, "spiffe://u@a.example/b": false, "spiffe://a.example/%62": false, "https://a.example/b": false,
		"spiffe://a.example/" + strings.Repeat("b", 2048): false,
	} {
		got := trust.SPIFFEID(verifiedPath(pki.URI(uri))[0])
		if want && got != uri || !want && got != "" {
			t.Errorf("%.60q gives %.60q", uri, got)
		}
	}
	if got := trust.SPIFFEID(verifiedPath(pki.URI("spiffe://a.example/b"), pki.URI("https://a.example"))[0]); got != "" {
		t.Errorf("two URIs give %q", got)
	}
	if got := trust.SPIFFEID(verifiedPath()[0]); got != "" {
		t.Errorf("no URI gives %q", got)
	}
}

// TestRefusedClientsHaveNoIdentity also hands in a path, which must not be looked at.
func TestRefusedClientsHaveNoIdentity(t *testing.T) {
	for _, test := range []struct{ evidence, want string }{
		{verdictRefused, "X-Postern-Clientcert-Reason=ClientCertExpired X-Postern-Clientcert-Verdict=refused"},
		{verdictAbsent, "X-Postern-Clientcert-Verdict=absent"},
		{verdictUnchecked, "X-Postern-Clientcert-Verdict=unchecked"},
	} {
		e := &Evidence{Verdict: test.evidence, Path: verifiedPath(pki.URI("spiffe://a.example/b"))}
		if test.evidence == verdictRefused {
			e.Reason = trust.ClientCertExpired
		}
		var got []string
		for name, values := range forwarded(t, e) {
			got = append(got, name+"="+strings.Join(values, "|"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", test.evidence, got, test.want)
		}
	}
}

// TestForwardedOverflow makes certificates that pass one limit after the other.
func TestForwardedOverflow(t *testing.T) {
	large := func(size int) pki.Option {
		return pki.Template(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Value: bytes.Repeat([]byte{4}, size)})
		})
	}
	for _, test := range []struct {
		size int
		want string
		sent []string
	}{
		{100, "", []string{"Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert"}},
		{8000, "x-forwarded-client-cert", []string{"Client-Cert", "Client-Cert-Chain"}},
		{14000, "client-cert, client-cert-chain, x-forwarded-client-cert", nil},
	} {
		h := forwarded(t, &Evidence{Verdict: verdictAccepted, Path: verifiedPath(large(test.size))})
		if got := h.Get("X-Postern-Clientcert-Overflow"); got != test.want {
			t.Errorf("%d bytes: overflow %q, want %q", test.size, got, test.want)
		}
		for _, name := range []string{"Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert"} {
			if _, ok := h[name]; ok != slices.Contains(test.sent, name) {
				t.Errorf("%d bytes: %s is there: %v", test.size, name, ok)
			}
		}
		if h.Get("X-Postern-Clientcert-Verdict") != "accepted" || len(h.Get("X-Postern-Clientcert-Sha256")) != 64 {
			t.Errorf("%d bytes: the small headers are %v", test.size, h)
		}
		for name, values := range h {
			if headerLineBytes(name, values[0]) >= MaxForwardedHeader {
				t.Errorf("%s has %d bytes", name, len(values[0]))
			}
		}
	}
}

// TestEvidenceIsShared wants one set of headers for one client, another for each other.
func TestEvidenceIsShared(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{Forward: allForwarded()})
	a, b := verifiedPath(), verifiedPath()
	of := func(e Evidence) *ConnectionHeaders { return p.Connection(ConnectionInfo{Evidence: &e}) }
	if of(Evidence{verdictAccepted, "", a}).fixed != of(Evidence{verdictAccepted, "", slices.Clone(a)}).fixed {
		t.Error("two connections of one client share nothing")
	}
	for _, other := range []Evidence{
		{verdictAccepted, "", b}, {verdictAccepted, "", []*x509.Certificate{a[0], b[1], a[2]}},
		{Verdict: verdictRefused, Reason: trust.ClientCertExpired}, {Verdict: verdictRefused, Reason: trust.ClientCertUntrusted}, {Verdict: verdictAbsent},
	} {
		first := of(Evidence{verdictAccepted, "", a}).fixed
		if of(other).fixed == first {
			t.Errorf("%v shares the headers of another", other)
		}
	}
}

func TestForwardHeadersFaults(t *testing.T) {
	const path = "mutual_authentication.forward_headers"
	for _, test := range []struct {
		kinds []ForwardedHeader
		paths []string
	}{
		{[]ForwardedHeader{"x"}, []string{path + "[0]"}},
		{[]ForwardedHeader{ForwardVerdict, ForwardXFCC, ForwardVerdict}, []string{path + "[2]"}},
		{[]ForwardedHeader{ForwardClientCertChain}, []string{path}},
	} {
		_, err := NewHeaderPolicy(HeaderConfig{Forward: test.kinds})
		checkFaults(t, err, test.paths...)
	}
	s := newSite(t)
	for mode, want := range map[Mode][]string{
		ModeOff: {path + "[0]", path + "[1]"}, ModePassthrough: {path + "[1]"},
	} {
		cfg := forwarding(t, s.config(MutualAuthentication{Mode: mode}), "127.0.0.1:1")
		cfg.Headers.Forward = []ForwardedHeader{ForwardVerdict, ForwardFingerprint}
		_, err := Compile(cfg, nil)
		checkFaults(t, err, want...)
	}
}

// TestForwardedHeadersReachTargets sends forgeries of all of them over real connections.
func TestForwardedHeadersReachTargets(t *testing.T) {
	s := newSite(t)
	digest := fingerprint(s.acme.Cert)
	for _, test := range []struct {
		name  string
		mode  MutualAuthentication
		who   *pki.Entity
		kinds []ForwardedHeader
		want  []string
	}{
		{"verify", s.verify(RefuseReset), s.acme, allForwarded(), []string{
			"Client-Cert-Chain: " + byteSequences([]*x509.Certificate{s.sub.Cert}), "Client-Cert: " + byteSequences(s.acme.Chain()[:1]),
			"X-Forwarded-Client-Cert: " + xfcc([]*x509.Certificate{s.acme.Cert, s.sub.Cert, s.root.Cert}),
			"X-Postern-Clientcert-Sha256: " + digest, "X-Postern-Clientcert-Verdict: accepted",
		}},
		{"verify, none asked for", s.verify(RefuseReset), s.acme, nil, nil},
		{"passthrough", MutualAuthentication{Mode: ModePassthrough}, s.acme, []ForwardedHeader{ForwardVerdict}, []string{"X-Postern-Clientcert-Verdict: unchecked"}},
		{"passthrough without", MutualAuthentication{Mode: ModePassthrough}, nil, []ForwardedHeader{ForwardVerdict}, []string{"X-Postern-Clientcert-Verdict: absent"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := newRawTarget(t)
			cfg := forwarding(t, s.config(test.mode), target.Addr().String())
			cfg.Headers.Forward = test.kinds
			f := startFront(t, cfg)
			tc := f.connect(s.client(test.who))
			for range 2 {
				forgeries := []string{
					"Client-Cert: :Zm9yZ2Vk:", "client_cert_chain: :Zm9yZ2Vk:", "X_Forwarded-Client.Cert: Hash=1", "x-postern-clientcert-verdict: accepted",
					"X-Postern-Clientcert-Spiffe-Id: spiffe://forged", "x_postern_clientcert_reason: none", "X-Postern-Clientcert-Sha256: 00",
				}
				if a, err := ask(tc, request(forgeries...)); err != nil || a.StatusCode != 200 {
					t.Fatalf("got %v, %v", a, err)
				}
				got := target.headers("client", "x-forwarded-client", "x_forwarded", "x-postern", "x_postern")
				if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("the target got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			}
		})
	}
}

// BenchmarkSetForwardedHeaders is BenchmarkSetHeaders with everything beside ALB's.
func BenchmarkSetForwardedHeaders(b *testing.B) {
	p := mustHeaderPolicy(b, HeaderConfig{Forward: allForwarded()})
	c, h := p.Connection(ConnectionInfo{Evidence: &Evidence{Verdict: verdictAccepted, Path: verifiedPath()}}), http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		c.Set(h)
	}
}

// TestEvidence holds what is known of a connection to its verdict.
func TestEvidence(t *testing.T) {
	path := verifiedPath()
	asks, silent := mustHeaderPolicy(t, HeaderConfig{Forward: allForwarded()}), mustHeaderPolicy(t, HeaderConfig{})
	refused := &trust.Verdict{Reason: trust.ClientCertExpired, Chain: path}
	for _, test := range []struct {
		name      string
		mode      Mode
		presented []*x509.Certificate
		verdict   *trust.Verdict
		want      *Evidence
	}{
		{"accepted", ModeVerify, path[:2], &trust.Verdict{Accepted: true, Chain: path}, &Evidence{Verdict: verdictAccepted, Path: path}},
		{"refused", ModeVerify, path[:2], refused, &Evidence{Verdict: verdictRefused, Reason: trust.ClientCertExpired}},
		{"absent", ModeVerify, nil, trust.RefuseMissing(), &Evidence{Verdict: verdictAbsent}},
		{"passthrough", ModePassthrough, path[:2], nil, &Evidence{Verdict: verdictUnchecked}},
		{"passthrough, absent", ModePassthrough, nil, nil, &Evidence{Verdict: verdictAbsent}},
		{"off", ModeOff, nil, nil, nil},
	} {
		c := &conn{policy: &Policy{mtls: MutualAuthentication{Mode: test.mode}}, presented: test.presented}
		if got := c.evidence(asks, test.verdict); !got.equal(test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
		if got := c.evidence(silent, test.verdict); got != nil {
			t.Errorf("%s: nobody asked, and got %+v", test.name, got)
		}
	}
}
