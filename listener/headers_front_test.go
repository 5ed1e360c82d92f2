package listener

import (
	"bufio"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/targetgroup"
)

// A rawTarget answers every request with 200 and keeps the bytes of its head.
type rawTarget struct {
	net.Listener
	heads chan string
}

func newRawTarget(t *testing.T) *rawTarget {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	target := &rawTarget{ln, make(chan string, 16)}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go target.serve(nc)
		}
	}()
	return target
}

func (s *rawTarget) serve(nc net.Conn) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for {
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
		}
		s.heads <- head.String()
		if _, err := io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// headers returns the lines of the last request that begin with one of prefixes,
// sorted: in which order differently named headers come means nothing (RFC 9110,
// section 5.3).
func (s *rawTarget) headers(prefixes ...string) []string {
	var out []string
	for line := range strings.SplitSeq(<-s.heads, "\r\n") {
		for _, prefix := range prefixes {
			if strings.HasPrefix(strings.ToLower(line), strings.ToLower(prefix)) {
				out = append(out, line)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// backend is a target group of one target that is not checked.
func backend(t *testing.T, address string) targetgroup.Backend {
	t.Helper()
	off := false
	g, err := targetgroup.New(targetgroup.Config{
		Name: "target", Targets: []targetgroup.TargetConfig{{Address: address}},
		HealthCheck:   targetgroup.HealthCheck{Enabled: &off},
		OnStateChange: targetgroup.LogStateChanges(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// forwarding makes cfg forward to a target.
func forwarding(t *testing.T, cfg Config, address string) Config {
	cfg.Backends = map[string]targetgroup.Backend{"target": backend(t, address)}
	cfg.DefaultActions = []ActionConfig{{Forward: &ForwardConfig{TargetGroups: []WeightedGroup{{Name: "target"}}}}}
	return cfg
}

// oddClient has a subject with everything that RFC 2253 escapes, a multi-valued
// and an unknown attribute aside.
func oddClient(ca *pki.Entity) *pki.Entity {
	return ca.Client("odd", pki.Serial(big.NewInt(0x0af00d)),
		pki.Window(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2054, 11, 12, 13, 14, 15, 0, time.UTC)),
		pki.Subject(pkix.Name{
			CommonName: `#Müller, "A+B" <x>; \back `, Organization: []string{" Acme=1"}, Country: []string{"DE"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "0001"}},
		}))
}

const (
	oddSubject  = `serialNumber=0001,CN=\#M\C3\BCller\, \"A\+B\" \<x\>\; \\back\ ,O=\ Acme=1,C=DE`
	oddValidity = `NotBefore=2024-01-02T03:04:05Z;NotAfter=2054-11-12T13:14:15Z`
)

// encodedPEM is ALB's encoding written another way: PEM, with only the space and
// the line feed escaped.
func encodedPEM(who ...*pki.Entity) string {
	var b strings.Builder
	for _, e := range who {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Cert.Raw}))
	}
	return strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(b.String())
}

// forged is every managed name, as a client would send it.
func forged() []string {
	var out []string
	for _, name := range managedDefaults() {
		out = append(out, name+": forged", strings.ReplaceAll(name, "-", "_")+": forged")
	}
	return append(out, "Connection: X-Amzn-Mtls-Clientcert-Subject, X-Amzn-Mtls-Clientcert")
}

func TestHeadersByMode(t *testing.T) {
	s := newSite(t)
	odd := oddClient(s.sub)
	verified := []string{
		"X-Amzn-Mtls-Clientcert-Issuer: CN=Partner CA 1,O=Postern",
		"X-Amzn-Mtls-Clientcert-Leaf: " + encodedPEM(odd),
		"X-Amzn-Mtls-Clientcert-Serial-Number: 0AF00D",
		"X-Amzn-Mtls-Clientcert-Subject: " + oddSubject,
		"X-Amzn-Mtls-Clientcert-Validity: " + oddValidity,
	}
	for _, test := range []struct {
		name string
		mode MutualAuthentication
		who  *pki.Entity
		want []string
	}{
		{"off", MutualAuthentication{}, odd, nil},
		{"passthrough", MutualAuthentication{Mode: ModePassthrough}, odd, []string{"X-Amzn-Mtls-Clientcert: " + encodedPEM(odd, s.sub)}},
		{"passthrough without certificate", MutualAuthentication{Mode: ModePassthrough}, nil, nil},
		{"passthrough checks nothing", MutualAuthentication{Mode: ModePassthrough}, pki.NewSelfSigned("stranger", pki.Expired), nil},
		{"verify", s.verify(RefuseReset), odd, verified},
		{"verify, forbidden", s.verify(RefuseForbidden), odd, verified},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := newRawTarget(t)
			f := startFront(t, forwarding(t, s.config(test.mode), target.Addr().String()))
			tc := f.connect(s.client(test.who))
			if test.name == "passthrough checks nothing" {
				test.want = []string{"X-Amzn-Mtls-Clientcert: " + encodedPEM(test.who)}
			}
			// Twice on one connection: the second request is served from what the
			// first one prepared.
			for range 2 {
				if a, err := ask(tc, request(forged()...)); err != nil || a.StatusCode != 200 {
					t.Fatalf("got %v, %v", a, err)
				}
				got := target.headers("x-amzn-mtls", "x_amzn_mtls", "x-amzn-tls", "x_amzn_tls")
				if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("the target got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			}
		})
	}
}

func TestHeadersAreRenamed(t *testing.T) {
	s := newSite(t)
	target := newRawTarget(t)
	cfg := forwarding(t, s.config(s.verify(RefuseReset)), target.Addr().String())
	cfg.Headers = HeaderConfig{
		SerialNumberName: "X-Serial", IssuerName: "X-Issuer", SubjectName: "X-Subject", ValidityName: "X-Validity",
		LeafName: "X-Leaf", ClientcertName: "X-Chain", TLSVersionName: "X-Version", TLSCipherSuiteName: "X-Suite", TLSHeaders: true,
	}
	f := startFront(t, cfg)
	tc := f.connect(s.client(s.acme))
	forgery := append(forged(), "x-serial: forged", "X_Subject: forged", "X-Chain: forged", "x-version: forged")
	if _, err := ask(tc, request(forgery...)); err != nil {
		t.Fatal(err)
	}
	leaf, _ := url.PathUnescape(encodedPEM(s.acme))
	got := target.headers("x-amzn-mtls", "x_amzn", "x-amzn-tls", "x-serial", "x-issuer", "x-subject", "x_subject", "x-validity", "x-leaf", "x-chain", "x-version", "x-suite")
	want := []string{
		"X-Issuer: CN=Partner CA 1,O=Postern", "X-Leaf: " + encodedPEM(s.acme),
		"X-Serial: " + strings.ToUpper(s.acme.Cert.SerialNumber.Text(16)), "X-Subject: CN=acme-1,O=Postern",
		"X-Suite: TLS_AES_128_GCM_SHA256",
		"X-Validity: NotBefore=" + s.acme.Cert.NotBefore.UTC().Format("2006-01-02T15:04:05Z") + ";NotAfter=" + s.acme.Cert.NotAfter.UTC().Format("2006-01-02T15:04:05Z"),
		"X-Version: TLSv1.3",
	}
	if len(want[2])%2 != 0 { // whole bytes
		want[2] = strings.Replace(want[2], ": ", ": 0", 1)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the target got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if leaf != string(s.acme.PEM()) {
		t.Errorf("undoing the percent encoding gives %q", leaf)
	}
	// A reload renames them on the connection that is open.
	cfg.Headers = HeaderConfig{SubjectName: "X-Who"}
	f.apply(cfg)
	if _, err := ask(tc, request("X-Who: forged")); err != nil {
		t.Fatal(err)
	}
	if got := target.headers("x-who", "x-subject"); len(got) != 1 || got[0] != "X-Who: CN=acme-1,O=Postern" {
		t.Errorf("after the reload the target got %q", got)
	}
}
