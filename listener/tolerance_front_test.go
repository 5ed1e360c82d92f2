package listener

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// namingTarget answers with the names of the X-Amzn-Mtls headers that it got and the
// subject.
func namingTarget(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amzn-Mtls") {
				n++
			}
		}
		fmt.Fprintf(w, "%d %s", n, r.Header.Get("X-Amzn-Mtls-Clientcert-Subject"))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (s *site) tolerant(on Refusal, optional, invalid bool) MutualAuthentication {
	m := s.verify(on)
	m.Optional, m.AllowInvalid = optional, invalid
	return m
}

// asAcme is what namingTarget says of the client acme.
const asAcme = "5 CN=acme-1,O=Postern"

// forgedIdentity is what a client would send that wants to be somebody.
const forgedIdentity = "X-Amzn-Mtls-Clientcert-Subject: CN=admin"

// TestWhoIsTolerated asks with every kind of client, by both protocols and both
// versions of TLS. Empty stands for a client that is not served.
func TestWhoIsTolerated(t *testing.T) {
	const nobody = "0 "
	for _, tt := range []struct {
		optional, invalid bool
		none, stranger    string
	}{
		{false, false, "", ""}, {true, false, nobody, ""}, {false, true, nobody, nobody}, {true, true, nobody, nobody},
	} {
		for _, on := range []Refusal{RefuseReset, RefuseAlert, RefuseForbidden} {
			t.Run(fmt.Sprintf("optional=%v/invalid=%v/%s", tt.optional, tt.invalid, on), func(t *testing.T) {
				bothVersions(t, func(t *testing.T, s *site, version uint16) {
					f := startFront(t, forwarding(t, s.config(s.tolerant(on, tt.optional, tt.invalid)), namingTarget(t)))
					s.store.SetRevocations(s.revokes(s.sub, s.sub.Client("somebody else")))
					for _, who := range []struct {
						entity *pki.Entity
						want   string
					}{{s.acme, asAcme}, {nil, tt.none}, {s.otherRoot.Client("acme-1"), tt.stranger}} {
						cfg := with(s.client(who.entity), upTo(version))
						for _, ask := range []func(*tls.Config) string{f.askOnce, f.askOnceHTTP2} {
							if got := ask(cfg); got != who.want {
								t.Errorf("%v: got %q, want %q", who.entity, got, who.want)
							}
						}
					}
				})
			})
		}
	}
}

// askOnce returns the body, or nothing if the client was not served.
func (f *front) askOnce(cfg *tls.Config) string {
	wire, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer wire.Close()
	a, err := ask(tls.Client(wire, cfg), request(forgedIdentity))
	if err != nil || a.StatusCode != http.StatusOK {
		return ""
	}
	return a.body
}

func (f *front) askOnceHTTP2(cfg *tls.Config) string {
	client := f.http2Client(cfg)
	defer client.CloseIdleConnections()
	return f.askHTTP2(client)
}

func (f *front) askHTTP2(client *http.Client) string {
	req, _ := http.NewRequest("GET", "https://"+frontHost+"/x", nil)
	name, value, _ := strings.Cut(forgedIdentity, ": ")
	req.Header.Set(name, value)
	res, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// The log says of each what was found, and the metrics count them apart.
func TestTolerantLogs(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.tolerant(RefuseReset, false, true)))
	for _, who := range []*pki.Entity{s.acme, nil, s.otherRoot.Client("x")} {
		f.get(s.client(who))
	}
	f.stop()
	var got []any
	for _, e := range f.conns.entries(t, 3) {
		got = append(got, e["tls_verify_status"])
		if e["tls_handshake_latency"] == nil {
			t.Errorf("an established connection without latency: %v", e)
		}
	}
	if want := []any{"Success", nil, "Failed:ClientCertUntrusted"}; !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	c := &conn{policy: f.policy, verdict: &trust.Verdict{Reason: trust.ClientCertUntrusted}, presented: s.acme.Chain()}
	if outcome, why := c.handshakeOutcome(trust.ClientCertUntrusted, nil); outcome != HandshakeTolerated || why != "ClientCertUntrusted" {
		t.Errorf("counted as %s %s", outcome, why)
	}
}

// Who was let in without a certificate does a full handshake next time, so that a
// certificate that came since is seen; who sent a bad one stays who it is.
func TestTolerantResumption(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		f := startFront(t, forwarding(t, s.config(s.tolerant(RefuseReset, false, true)), namingTarget(t)))
		anonymous, cache := s.resuming(nil, version)
		f.get(anonymous)
		if cache.session == nil {
			t.Fatal("no ticket came, so that nothing is tested")
		}
		if a := f.get(presenting(anonymous, s.acme.TLS())); a.resumed || a.body != asAcme {
			t.Errorf("resumed %v, body %q", a.resumed, a.body)
		}
		stranger, _ := s.resuming(s.otherRoot.Client("x"), version)
		for i := range 2 {
			if a := f.get(stranger); a.resumed != (i == 1) || a.body != "0 " {
				t.Errorf("connection %d of a stranger: resumed %v, body %q", i, a.resumed, a.body)
			}
		}
		acme, _ := s.resuming(s.acme, version)
		f.get(acme)
		s.store.SetRevocations(s.revokes(s.sub, s.acme))
		if a := f.get(acme); !a.resumed || a.body != "0 " {
			t.Errorf("revoked and resumed %v: body %q", a.resumed, a.body)
		}
		// Tickets of a listener that tolerates do not open one that does not.
		strict := s.config(s.verify(RefuseReset))
		strict.DefaultActions, strict.Backends = f.config.DefaultActions, f.config.Backends
		s.store.SetRevocations(nil)
		f.apply(strict)
		if a := f.get(acme); a.resumed {
			t.Error("a session outlived allow_invalid")
		}
	})
}

// A certificate that is revoked while its connection is open costs that its
// identity under allow_invalid, and itself under optional.
func TestRevokedWhileTolerated(t *testing.T) {
	s := newSite(t)
	for _, invalid := range []bool{false, true} {
		f := startFront(t, forwarding(t, s.config(s.tolerant(RefuseReset, !invalid, invalid)), namingTarget(t)))
		one, two := f.connect(s.client(s.acme)), f.http2Client(s.client(s.acme))
		none := f.connect(s.client(nil))
		for range 2 {
			if a, err := ask(one, request()); err != nil || a.body != asAcme {
				t.Fatal(a, err)
			}
			if got := f.askHTTP2(two); got != asAcme {
				t.Fatal(got)
			}
		}
		f.idle()
		s.store.SetRevocations(s.revokes(s.sub, s.acme))
		want := 2
		if invalid {
			want = 0
		}
		if n := f.Recheck(); n != want {
			t.Errorf("allow_invalid %v: %d connections closed, want %d", invalid, n, want)
		}
		if a, err := ask(one, request()); (err == nil) != invalid || err == nil && a.body != "0 " {
			t.Errorf("allow_invalid %v: HTTP/1.1 got %v, %v", invalid, a, err)
		}
		if got := f.askHTTP2(two); invalid && got != "0 " || !invalid && got != "" {
			t.Errorf("allow_invalid %v: HTTP/2 got %q", invalid, got)
		}
		if a, err := ask(none, request()); err != nil || a.body != "0 " {
			t.Errorf("without certificate: %v, %v", a, err)
		}
		s.store.SetRevocations(nil)
		f.Recheck()
		if invalid {
			if a, err := ask(one, request()); err != nil || a.body != "0 " {
				t.Errorf("a revoked client is believed again without a handshake: %v, %v", a, err)
			}
			if !strings.Contains(f.told.text(), "ClientCertCrlHit") {
				t.Error("the operator was told nothing")
			}
		}
	}
}

// idle waits until no request is in flight.
func (f *front) idle() {
	f.t.Helper()
	eventually(f.t, "the connections are idle", func() bool {
		return !slices.ContainsFunc(f.live.list(), func(c *conn) bool { return c.active.Load() })
	})
}

// What is in flight has gone out under an identity; it does not outlive that.
func TestRevokedInFlight(t *testing.T) {
	s := newSite(t)
	target, asked, _ := slowTarget(t)
	f := startFront(t, forwarding(t, s.config(s.tolerant(RefuseReset, false, true)), target))
	one, two := f.connect(s.client(s.acme)), f.connectH2(s.client(s.acme))
	io.WriteString(one, request())
	two.ask(1, "/slow")
	<-asked
	<-asked
	s.store.SetRevocations(s.revokes(s.sub, s.acme))
	since := time.Now()
	if n := f.Recheck(); n != 2 {
		t.Errorf("%d connections closed, want 2", n)
	}
	ended(t, one, since)
	if _, complete, goAway := two.until(1); complete || !goAway && testEngine() != HTTP2Standard {
		t.Errorf("HTTP/2: answered %v, GOAWAY %v", complete, goAway)
	}
}

// A reload that takes the tolerance away closes the connections that lived by it.
func TestToleranceEnds(t *testing.T) {
	for _, on := range []Refusal{RefuseReset, RefuseForbidden} {
		s := newSite(t)
		f := startFront(t, s.config(s.tolerant(on, false, true)))
		good, none, stranger := f.connect(s.client(s.acme)), f.connect(s.client(nil)), f.connect(s.client(s.otherRoot.Client("x")))
		for _, nc := range []net.Conn{good, none, stranger} {
			if a, err := ask(nc, request()); err != nil || a.StatusCode != 200 {
				t.Fatal(a, err)
			}
		}
		f.apply(s.config(s.tolerant(on, true, false)))
		for _, who := range []struct {
			nc   net.Conn
			want int
		}{{good, 200}, {none, 200}, {stranger, 403}} {
			a, err := ask(who.nc, request())
			if err == nil && a.StatusCode != who.want || err != nil && (who.want == 200 || on == RefuseForbidden) {
				t.Errorf("%s, optional: %v, %v, want %d", on, a, err, who.want)
			}
		}
		f.apply(s.config(s.verify(on)))
		if a, err := ask(none, request()); err == nil && (a.StatusCode != 403 || on == RefuseReset) {
			t.Errorf("%s: a client without certificate got %v", on, a.Status)
		}
		if a, err := ask(good, request()); err != nil || a.StatusCode != 200 {
			t.Errorf("%s: %v, %v", on, a, err)
		}
	}
}

// Nothing was found out about a client for whom there was no time: that may be a good
// one, which is not to go on as a bad one for as long as it is connected.
func TestBusyIsNotTolerated(t *testing.T) {
	m := MutualAuthentication{Mode: ModeVerify, Optional: true, AllowInvalid: true}
	if m.tolerates(&trust.Verdict{Busy: true}, true) || !m.tolerates(&trust.Verdict{}, true) {
		t.Error("busy and refused are confused")
	}
}

func TestToleranceIsForVerifyMode(t *testing.T) {
	s := newSite(t)
	for _, mode := range []Mode{ModeOff, ModePassthrough} {
		for _, m := range []MutualAuthentication{{Mode: mode, Optional: true}, {Mode: mode, AllowInvalid: true}} {
			if _, err := Compile(s.config(m), nil); err == nil || !strings.Contains(err.Error(), "has no effect in mode") {
				t.Errorf("%+v: %v", m, err)
			}
		}
	}
}

// Other people's clients: what curl and openssl make of it.
func TestToleranceWithOtherClients(t *testing.T) {
	s := newSite(t)
	f := startFront(t, forwarding(t, s.config(s.tolerant(RefuseReset, true, false)), namingTarget(t)))
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots := write("roots.pem", s.serverRoot.PEM())
	chain, key := write("acme.pem", pki.PEM(s.acme.Chain()...)), write("acme.key", s.acme.KeyPEM())
	url := "https://" + frontHost + ":" + f.addr[strings.LastIndexByte(f.addr, ':')+1:] + "/x"
	for _, version := range []string{"--http1.1", "--http2"} {
		for _, tt := range []struct {
			args []string
			want string
		}{{nil, "0 "}, {[]string{"--cert", chain, "--key", key}, asAcme}} {
			args := append([]string{"-sS", "-m", "20", version, "--cacert", roots, "--connect-to", "::" + f.addr, url}, tt.args...)
			runClient(t, "curl", args, tt.want)
		}
	}
	for _, tls := range []string{"-tls1_2", "-tls1_3"} {
		runClient(t, "openssl", []string{"s_client", "-quiet", tls, "-CAfile", roots, "-verify_return_error", "-servername", frontHost,
			"-connect", f.addr}, "0 ")
	}
}

// runClient runs a client that is to print want. Openssl reads its request from the
// standard input.
func runClient(t *testing.T, name string, args []string, want string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	if name == "openssl" {
		cmd.Stdin = strings.NewReader(request("Connection: close"))
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSuffix(string(out), "\n"), want) {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}
