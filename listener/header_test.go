package listener

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func mustHeaderPolicy(t testing.TB, cfg HeaderConfig) *HeaderPolicy {
	t.Helper()
	p, err := NewHeaderPolicy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// renamedHeaders is a policy with two headers renamed.
func renamedHeaders() HeaderConfig {
	return HeaderConfig{SubjectName: "Client-Subject", TLSVersionName: "ssl_protocol"}
}

func TestSanitizeSpellings(t *testing.T) {
	p := mustHeaderPolicy(t, renamedHeaders())
	gone := []string{
		"X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Serial-Number", "X-Amzn-Mtls-Clientcert-Issuer",
		"X-Amzn-Mtls-Clientcert-Subject", "X-Amzn-Mtls-Clientcert-Validity", "X-Amzn-Mtls-Clientcert-Leaf",
		"X-Amzn-Tls-Version", "X-Amzn-Tls-Cipher-Suite", "X-Amzn-Tls-Anything", "X-Amzn-Mtls-Future", "X-Amzn-Mtls",
		"X_Amzn_Mtls_Clientcert", "X.Amzn-Mtls.Clientcert", "x-amzn-mtls-clientcert", "X-AMZN-MTLS-CLIENTCERT-LEAF",
		"X--Amzn-Mtls-Clientcert", "_X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert_", "X-Amzn-Mtls+Clientcert",
		"X Amzn Mtls Clientcert", "X-Amzn-Mtl\u017f-Clientcert", "\u017fsl-Protocol", "",
		"Client-Subject", "client_subject", "Client.Subject", "CLIENT-SUBJECT", "Client--Subject", "C\u0142ient-Subject",
		"Ssl_protocol", "Ssl-Protocol", "SSL_PROTOCOL",
		"X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-Port", "X.forwarded-Port",
		"Client-Cert", "client_cert", "CLIENT.CERT", "Client-Cert-Chain", "Client_Cert-Chain", "-client-cert-", "Client-\u212aert",
		"X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded.Client--Cert",
		"X-Postern-Clientcert-Verdict", "x_postern_clientcert_sha256", "X.Postern.Clientcert", "X-Postern-Clientcert-To-Come",
		"X_Forwarded_For", "x-forwarded-for", "X-Forwarded-For-", "X_amzn_trace_id", "x-amzn-trace-id",
	}
	kept := []string{
		"X-Forwarded-For", "X-Amzn-Trace-Id", "X-Forwarded-Host", "X-Amzn-Mtlsx", "X-Amzn", "Xamznmtlsclientcert",
		"Client-Subjects", "Client", "Client-Certs", "Clientcert", "Client-Cert-Chains", "X-Postern", "X-Postern-Clientcerts", "Accept", "Cookie", "Authorization", "X_other.header", "Ssl", "Content-Type",
	}
	h := make(http.Header)
	for _, name := range slices.Concat(gone, kept) {
		h[name] = []string{"client"}
	}
	p.Sanitize(h)
	for _, name := range gone {
		if _, ok := h[name]; ok {
			t.Errorf("%q is still there", name)
		}
	}
	for _, name := range kept {
		if _, ok := h[name]; !ok {
			t.Errorf("%q is gone", name)
		}
	}
}

func TestSanitizeHopByHop(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{})
	h := http.Header{
		"Connection":          {"close, x-own , X-Amzn-Mtls-Clientcert-Subject", "TE, x-second"},
		"X-Own":               {"1"},
		"X-Second":            {"1"},
		"X-Third":             {"1"},
		"Keep-Alive":          {"timeout=5"},
		"Proxy-Connection":    {"keep-alive"},
		"Proxy-Authorization": {"secret"},
		"Trailer":             {"X-Amzn-Mtls-Clientcert"},
		"Transfer-Encoding":   {"chunked"},
		"Upgrade":             {"websocket"},
		"Expect":              {"100-continue"},
		"Te":                  {"gzip, Trailers"},
		"Http2-Settings":      {"AAMAAABkAAQAAP__"},
	}
	p.Sanitize(h)
	if len(h) != 2 || h.Get("X-Third") != "1" || h.Get("Te") != "trailers" {
		t.Errorf("left: %v", h)
	}
	for _, te := range []string{"gzip", "", "trailersx"} {
		h := http.Header{"Te": {te}}
		if p.Sanitize(h); len(h) != 0 {
			t.Errorf("TE %q left %v", te, h)
		}
	}
}

// TestConnectionCannotRemove is the attack of Traefik's CVE-2024-45410: a client
// names a managed header in Connection.
func TestConnectionCannotRemove(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{})
	for _, name := range []string{"X-Amzn-Mtls-Clientcert-Subject", "x-amzn-mtls-clientcert-subject", "X-Forwarded-For", "x-forwarded-proto"} {
		h := http.Header{"Connection": {"close, " + name}, "X-Forwarded-For": {"10.1.1.1"}}
		p.Sanitize(h)
		verifiedConnection(p).Set(h)
		if h.Get(name) == "" {
			t.Errorf("%s was removed", name)
		}
		if h.Get("Connection") != "" {
			t.Error("Connection is passed on")
		}
	}
}

func TestDropInvalid(t *testing.T) {
	names := http.Header{"X-Ok": {"1"}, "X_no": {"1"}, "X.no": {"1"}, "A!": {"1"}}
	p := mustHeaderPolicy(t, HeaderConfig{DropInvalid: true})
	if p.Sanitize(names); len(names) != 1 || names["X-Ok"] == nil {
		t.Errorf("left: %v", names)
	}
}

func TestSanitizeTrailer(t *testing.T) {
	p := mustHeaderPolicy(t, renamedHeaders())
	trailer := http.Header{"Grpc-Status": {"0"}, "X-Checksum": {"1"}}
	for _, name := range []string{
		"X-Amzn-Mtls-Clientcert", "X_amzn_mtls_clientcert", "Client-Subject", "X-Forwarded-For", "X-Amzn-Trace-Id",
		"Transfer-Encoding", "Transfer_Encoding", "Content-Length", "Host", "Trailer", "Connection", "Authorization", "Cookie",
		"Set-Cookie", "Content-Type", "Cache-Control", "If-Match", "Te", "Max-Forwards", "Content-Encoding", "Location",
		"Www-Authenticate", "Proxy-Authorization", "X-Forwarded-Proto", strings.Repeat("a", maxTrailerName+1), "-", "",
	} {
		trailer[name] = []string{"client"}
	}
	p.SanitizeTrailer(trailer)
	if len(trailer) != 2 || trailer["Grpc-Status"] == nil || trailer["X-Checksum"] == nil {
		t.Errorf("left: %v", trailer)
	}
}

// TestGuardTrailer sends trailers, announced and not, through a real server, and
// looks at them when the body has ended.
func TestGuardTrailer(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{})
	got := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Sanitize(r.Header)
		p.GuardTrailer(r)
		if _, ok := r.Trailer["X-Amzn-Mtls-Clientcert"]; ok {
			t.Error("a managed header is announced")
		}
		io.Copy(io.Discard, r.Body)
		got <- r.Trailer
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, X-Amzn-Mtls-Clientcert\r\n\r\n"+
		"1\r\na\r\n0\r\nX-Checksum: 1\r\nX-Amzn-Mtls-Clientcert: spoofed\r\nX_Amzn_Mtls_Clientcert: spoofed\r\nAuthorization: spoofed\r\n\r\n")
	trailer := <-got
	if len(trailer) != 1 || trailer.Get("X-Checksum") != "1" {
		t.Errorf("trailers: %v", trailer)
	}
}

// TestSpoofing is what peers got wrong: every managed header, sent by clients
// without a certificate and with one, on each kind of connection.
func TestSpoofing(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{SubjectName: "Client-Subject", TLSHeaders: true})
	spoofed := func() http.Header {
		h := http.Header{"Client-Subject": {"spoofed"}, "X-Forwarded-Proto": {"spoofed"}, "X-Forwarded-Port": {"spoofed"}}
		for _, name := range managedDefaults() {
			h[name] = []string{"spoofed", "spoofed"}
		}
		return h
	}
	for name, info := range map[string]ConnectionInfo{
		"plain":               {Protocol: ProtocolHTTP, Port: 80},
		"TLS without":         {Protocol: ProtocolHTTPS, Port: 443, TLSVersion: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256"},
		"passthrough without": {Protocol: ProtocolHTTPS, Port: 443, Chain: ""},
		"passthrough":         {Protocol: ProtocolHTTPS, Port: 443, Chain: "chain"},
		"verified":            {Protocol: ProtocolHTTPS, Port: 443, Verified: &ClientCert{Subject: "CN=a", Serial: "01"}},
	} {
		h := spoofed()
		p.Sanitize(h)
		p.Connection(info).Set(h)
		for key, values := range h {
			if slices.Contains(values, "spoofed") {
				t.Errorf("%s: %s is the client's", name, key)
			}
		}
	}
}

func verifiedConnection(p *HeaderPolicy) *ConnectionHeaders {
	return p.Connection(ConnectionInfo{
		Client: netip.MustParseAddrPort("192.0.2.7:4711"), Protocol: ProtocolHTTPS, Port: 8443,
		Verified:   &ClientCert{Serial: "03A5B1", Issuer: "CN=root", Subject: "CN=client", Validity: "NotBefore=a;NotAfter=b", Leaf: "pem"},
		TLSVersion: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256",
	})
}

func TestConnectionHeaders(t *testing.T) {
	h := http.Header{}
	verifiedConnection(mustHeaderPolicy(t, HeaderConfig{SerialNumberName: "x-serial", TLSHeaders: true})).Set(h)
	want := map[string]string{
		"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443",
		"X-Serial": "03A5B1", "X-Amzn-Mtls-Clientcert-Issuer": "CN=root", "X-Amzn-Mtls-Clientcert-Subject": "CN=client",
		"X-Amzn-Mtls-Clientcert-Validity": "NotBefore=a;NotAfter=b", "X-Amzn-Mtls-Clientcert-Leaf": "pem",
		"X-Amzn-Tls-Version": "TLSv1.3", "X-Amzn-Tls-Cipher-Suite": "TLS_AES_128_GCM_SHA256",
	}
	if len(h) != len(want) {
		t.Errorf("got %v", h)
	}
	for name, value := range want {
		if got := h[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	chain := http.Header{}
	mustHeaderPolicy(t, HeaderConfig{}).Connection(ConnectionInfo{Chain: "chain", TLSVersion: "TLSv1.3"}).Set(chain)
	if len(chain) != 3 || chain.Get("X-Amzn-Mtls-Clientcert") != "chain" || chain.Get("X-Forwarded-Proto") != "http" {
		t.Errorf("passthrough: %v", chain)
	}
}

func TestConnectionHeadersRefuseControls(t *testing.T) {
	h := http.Header{}
	mustHeaderPolicy(t, HeaderConfig{}).Connection(ConnectionInfo{
		Verified: &ClientCert{Subject: "CN=a\r\nX-Admin: 1", Issuer: "CN=\u00fc", Serial: "01"},
	}).Set(h)
	if _, ok := h["X-Amzn-Mtls-Clientcert-Subject"]; ok {
		t.Error("a subject with a line end was set")
	}
	if _, ok := h["X-Amzn-Mtls-Clientcert-Issuer"]; ok {
		t.Error("an issuer that is not ASCII was set")
	}
	if h.Get("X-Amzn-Mtls-Clientcert-Serial-Number") != "01" {
		t.Error("the serial is missing")
	}
}

func TestHeaderPolicyFaults(t *testing.T) {
	const subject = "routing_http_request_x_amzn_mtls_clientcert_subject_header_name"
	for _, name := range []string{
		"Host", "content-length", "Content_Length", "Connection", "Transfer.Encoding", "X-Forwarded-For", "x_amzn_trace_id",
		"a b", "a:b", "ü", "--", strings.Repeat("a", MaxHeaderName+1),
		"X-Amzn-Mtls-Clientcert-Serial-Number", "x_amzn_mtls_clientcert_serial_number",
		"Client-Cert", "client_cert_chain", "X-Forwarded.Client-Cert", "x-postern-clientcert-verdict", "X-Postern-Clientcert-New",
	} {
		_, err := NewHeaderPolicy(HeaderConfig{SubjectName: name})
		checkFaults(t, err, subject)
	}
	_, err := NewHeaderPolicy(HeaderConfig{LeafName: "My-Cert", ClientcertName: "my_cert", ForwardedFor: "drop"})
	checkFaults(t, err, "xff_header_processing_mode", "routing_http_request_x_amzn_mtls_clientcert_header_name")
	mustHeaderPolicy(t, HeaderConfig{SubjectName: strings.Repeat("a", MaxHeaderName)})
	mustHeaderPolicy(t, HeaderConfig{SubjectName: "x-amzn-mtls-clientcert-subject"})
}

// referenceFold is the folding of the design, and then what other targets are
// known to do, written in another way than the code under test.
func referenceFold(name string) string {
	folded := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(asciiLower(name), "-")
	return strings.Trim(folded, "-")
}

// FuzzSanitize checks that whatever a client sends, no header that is left folds
// to a managed name, and that everything else is left.
func FuzzSanitize(f *testing.F) {
	for _, name := range []string{"X_Amzn.Mtls-Clientcert", "client subject", "Accept", "x-forwarded-for", "Connection", "_x-Amzn-Tls-", "client_cert", "X-Forwarded.Client-Cert", "x-postern-clientcert_"} {
		f.Add(name, "X-Other", "close")
		f.Add("X-Other", "b", name)
	}
	p := mustHeaderPolicy(f, renamedHeaders())
	managed := regexp.MustCompile(`^(x-amzn-m?tls(-.*)?|client-subject|ssl-protocol|x-forwarded-(for|proto|port)|x-amzn-trace-id|client-cert(-chain)?|x-forwarded-client-cert|x-postern-clientcert(-.*)?)$`)
	f.Fuzz(func(t *testing.T, a, b, connection string) {
		h := http.Header{a: {"1"}, b: {"2"}, http.CanonicalHeaderKey(a): {"3"}, "Connection": {connection}}
		trailer := h.Clone()
		before := h.Clone()
		p.Sanitize(h)
		for name := range h {
			if managed.MatchString(referenceFold(name)) && name != "X-Forwarded-For" && name != "X-Amzn-Trace-Id" {
				t.Errorf("%q is left", name)
			}
		}
		p.SanitizeTrailer(trailer)
		for name := range trailer {
			if managed.MatchString(referenceFold(name)) {
				t.Errorf("%q is left in the trailers", name)
			}
		}
		clean := before.Clone()
		removeAllListed(clean)
		maps.DeleteFunc(clean, func(name string, _ []string) bool { return isHopByHop(name) })
		keepTrailersOnly(clean)
		for name := range clean {
			_, left := h[name]
			if !left && isToken(name) && !managed.MatchString(referenceFold(name)) && name != "Expect" {
				t.Errorf("%q is gone", name)
			}
		}
	})
}

// browserHeaders is what a browser sends.
func browserHeaders(t testing.TB) http.Header {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: example.com\r\n" +
		"User-Agent: Mozilla/5.0\r\nAccept: text/html\r\nAccept-Language: en\r\nAccept-Encoding: gzip, br\r\n" +
		"Cache-Control: no-cache\r\nCookie: a=b\r\nReferer: https://example.com/\r\nSec-Ch-Ua: a\r\nSec-Fetch-Mode: navigate\r\n" +
		"Sec-Fetch-Site: none\r\nX-Requested-With: fetch\r\nX-Forwarded-For: 192.0.2.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r.Header
}

func TestSanitizeDoesNotAllocate(t *testing.T) {
	p, h := mustHeaderPolicy(t, renamedHeaders()), browserHeaders(t)
	if n := testing.AllocsPerRun(100, func() { p.Sanitize(h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSanitize measures what every request pays: a browser's 14 headers,
// none of them managed. Reading the request is not in it.
func BenchmarkSanitize(b *testing.B) {
	for name, cfg := range map[string]HeaderConfig{"default": {}, "renamed": renamedHeaders(), "dropInvalid": {DropInvalid: true}} {
		p, h := mustHeaderPolicy(b, cfg), browserHeaders(b)
		b.Run(fmt.Sprintf("policy=%s/headers=%d", name, len(h)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Sanitize(h)
			}
		})
	}
}

// BenchmarkSetHeaders measures setting the headers of a verified connection.
func BenchmarkSetHeaders(b *testing.B) {
	c, h := verifiedConnection(mustHeaderPolicy(b, HeaderConfig{})), browserHeaders(b)
	b.ReportAllocs()
	for b.Loop() {
		delete(h, "X-Forwarded-For")
		c.Set(h)
	}
}

// TestConnectionsShareHeadersOfOneClientOnly makes headers for clients that differ in
// one respect each, in turn, so that each finds another's in its slot.
func TestConnectionsShareHeadersOfOneClientOnly(t *testing.T) {
	p := mustHeaderPolicy(t, HeaderConfig{TLSHeaders: true})
	base := func() ConnectionInfo {
		return ConnectionInfo{
			Client: netip.MustParseAddrPort("192.0.2.1:1000"), Protocol: ProtocolHTTPS, Port: 443, TLSVersion: "TLSv1.3",
			CipherSuite: "TLS_AES_128_GCM_SHA256",
			Verified:    &ClientCert{Serial: "01", Issuer: "CN=ca", Subject: "CN=a", Validity: "v", Leaf: "leaf"},
		}
	}
	infos := []ConnectionInfo{base()}
	for _, change := range []func(*ConnectionInfo){
		func(i *ConnectionInfo) { i.Verified.Subject = "CN=b" },
		func(i *ConnectionInfo) { i.Verified.Issuer = "CN=other" },
		func(i *ConnectionInfo) { i.Verified.Leaf = "leaf2" },
		func(i *ConnectionInfo) { i.Verified.Validity = "w" },
		func(i *ConnectionInfo) { i.Port = 8443 },
		func(i *ConnectionInfo) { i.TLSVersion = "TLSv1.2" },
		func(i *ConnectionInfo) { i.CipherSuite = "ECDHE" },
		func(i *ConnectionInfo) { i.Client = netip.MustParseAddrPort("192.0.2.2:1000") },
		func(i *ConnectionInfo) { i.Verified = nil },
		func(i *ConnectionInfo) { i.Verified, i.Chain = nil, "chain" },
	} {
		info := base()
		change(&info)
		infos = append(infos, info)
	}
	fresh := make([]http.Header, len(infos))
	for i, info := range infos {
		fresh[i] = http.Header{}
		mustHeaderPolicy(t, HeaderConfig{TLSHeaders: true}).Connection(info).Set(fresh[i])
	}
	for range 3 {
		for i, info := range infos {
			h := http.Header{}
			p.Connection(info).Set(h)
			if !maps.EqualFunc(h, fresh[i], slices.Equal) {
				t.Fatalf("client %d gets %v, want %v", i, h, fresh[i])
			}
		}
	}
	if a, b := p.Connection(base()), p.Connection(base()); a.fixed != b.fixed {
		t.Error("two connections of one client share nothing")
	}
}
