package listener

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A chopper sends its first write, which is the ClientHello, in pieces.
type chopper struct {
	net.Conn
	chop func(record []byte) [][]byte // the writes to make of it
	done bool
	size int // of the ClientHello message
}

func (c *chopper) Write(b []byte) (int, error) {
	if c.done {
		return c.Conn.Write(b)
	}
	c.done, c.size = true, len(b)-recordHeaderLen
	for _, piece := range c.chop(b) {
		if _, err := c.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// recordsOf splits the message in record over several records that end at the
// given offsets.
func recordsOf(record []byte, ends ...int) []byte {
	message := record[recordHeaderLen:]
	var out []byte
	start := 0
	for _, end := range append(ends, len(message)) {
		n := end - start
		out = append(out, record[0], record[1], record[2], byte(n>>8), byte(n))
		out = append(out, message[start:end]...)
		start = end
	}
	return out
}

// spellings are server names that must all meet the same policy.
func spellings() []string {
	return []string{"", frontHost, strings.ToUpper(frontHost), "unknown.example", "FRONT.example", "127.0.0.1"}
}

// stray is a client that does not care what certificate the server has.
func stray(name string, version uint16) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: version, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// However the ClientHello is cut, it never falls to a weaker policy: without a
// certificate every handshake is refused.
func TestFragmentedHelloIsRefused(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseAlert)))
	attempts := 0
	try := func(name string, version uint16, chop func([]byte) [][]byte) int {
		t.Helper()
		attempts++
		c := &chopper{Conn: f.dial(), chop: chop}
		err := firstRead(tls.Client(c, stray(name, version)))
		c.Close()
		if !strings.Contains(err.Error(), "remote error: tls: ") {
			t.Errorf("attempt %d, name %q: the client got %v", attempts, name, err)
		}
		return c.size
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range spellings() {
			size := try(name, version, func(b []byte) [][]byte { return [][]byte{b} })
			if name != frontHost && name != "" {
				continue
			}
			for at := 1; at < size; at++ {
				try(name, version, func(b []byte) [][]byte { return [][]byte{recordsOf(b, at)} })
			}
		}
	}
	for i, e := range f.conns.entries(t, attempts) {
		if e["tls_verify_status"] != "Failed:UnmappedConnectionError" {
			t.Fatalf("attempt %d: %v", i, e)
		}
	}
}

// The same for a client with a certificate: the decision is the same too.
func TestFragmentedHelloIsServed(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseReset)))
	bytewise := func(b []byte) [][]byte { // one byte a record, one byte a segment
		var ends []int
		for i := 1; i < len(b)-recordHeaderLen; i++ {
			ends = append(ends, i)
		}
		var out [][]byte
		for _, one := range recordsOf(b, ends...) {
			out = append(out, []byte{one})
		}
		return out
	}
	segments := func(b []byte) [][]byte { return [][]byte{b[:3], b[3:7], b[7:60], b[60:]} }
	for _, chop := range []func([]byte) [][]byte{bytewise, segments} {
		for _, name := range spellings() {
			for _, who := range []*pki.Entity{s.acme, s.sub.Client("old", pki.Expired)} {
				n := len(f.conns.all())
				c := &chopper{Conn: f.dial(), chop: chop}
				tc := tls.Client(c, presenting(stray(name, 0), who.TLS()))
				_, err := ask(tc, request())
				c.Close()
				want := "Success"
				if who != s.acme {
					want = "Failed:ClientCertExpired"
				}
				if e := f.conns.entries(t, n+1)[n]; e["tls_verify_status"] != want || (err == nil) != (who == s.acme) {
					t.Errorf("name %q: %v, %v", name, err, e["tls_verify_status"])
				}
			}
		}
	}
}

// Which certificate the server shows has no say in who is let in.
func TestEveryCertificateHasTheSamePolicy(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.Certificates = append(cfg.Certificates, s.serverRoot.Server("*.wild.example").TLS(), s.serverRoot.Server("other.example").TLS())
	f := startFront(t, cfg)
	for _, name := range append(spellings(), "a.wild.example", "other.example", "OTHER.example") {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if err := firstRead(tls.Client(f.dial(), stray(name, version))); !isReset(err) {
				t.Errorf("name %q: the client got %v", name, err)
			}
		}
	}
}

// hosts are spellings of a host of another listener.
func foreignSpellings() []string {
	return []string{"other.example", "OTHER.Example", "other.example.", "other.example:443", "OTHER.EXAMPLE.:8443", "a.wild.example", "A.WILD.example:1"}
}

func TestMisdirectedRequests(t *testing.T) {
	s := newSite(t)
	cfg := s.config(s.verify(RefuseReset))
	cfg.ForeignHosts = []string{"other.example", "*.wild.example", frontHost, "not a name"}
	f := startFront(t, cfg)
	want := map[string]int{frontHost: 200, "FRONT.example.:443": 200, sideHost: 200, "unknown.example": 200, "127.0.0.1": 200, "wild.example": 200, "b.a.wild.example": 200}
	for _, host := range foreignSpellings() {
		want[host] = http.StatusMisdirectedRequest
	}
	tc := f.connect(s.client(s.acme))
	h2 := f.http2Client(s.client(s.acme))
	for host, status := range want {
		a, err := ask(tc, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if err != nil || a.StatusCode != status || (a.body == "here") != (status == 200) {
			t.Errorf("HTTP/1.1, host %q: got %v %v, want %d", host, a, err, status)
		}
		r, _ := http.NewRequest("GET", "https://"+frontHost+"/", nil)
		r.Host = host
		answer, err := h2.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != status || answer.ProtoMajor != 2 {
			t.Errorf("HTTP/%d, host %q: got %d, want %d", answer.ProtoMajor, host, answer.StatusCode, status)
		}
	}
	// A target in absolute form names the host, whatever the Host header says.
	a, err := ask(tc, "GET https://other.example/ HTTP/1.1\r\nHost: "+frontHost+"\r\n\r\n")
	if err != nil || a.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("absolute form: got %v %v", a, err)
	}
	// The certificate's name was asked for by SNI; an HTTP listener has no policy.
	plain := cfg
	plain.Protocol, plain.MutualAuthentication, plain.Certificates = ProtocolHTTP, MutualAuthentication{}, nil
	p := startFront(t, plain)
	if a, err := ask(p.dial(), "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"); err != nil || a.StatusCode != 200 {
		t.Errorf("HTTP listener: got %v %v", a, err)
	}
}

func TestAdvertisedNames(t *testing.T) {
	s := newSite(t)
	second := pki.NewRoot("Second Root")
	m := s.verify(RefuseReset)
	on := m
	on.AdvertisedCAs = append(on.AdvertisedCAs, s.root.Cert, second.Cert)
	for _, test := range []struct {
		name string
		mode MutualAuthentication
		want []string
	}{
		{"off", m, nil},
		{"on", on, []string{string(s.root.Cert.RawSubject), string(second.Cert.RawSubject)}},
		{"passthrough", MutualAuthentication{Mode: ModePassthrough, AdvertisedCAs: on.AdvertisedCAs}, nil},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			f := startFront(t, s.config(test.mode))
			asked := false
			cfg := with(s.client(nil), upTo(version))
			cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				var got []string
				for _, name := range info.AcceptableCAs {
					got = append(got, string(name))
				}
				if strings.Join(got, "|") != strings.Join(test.want, "|") {
					t.Errorf("%s: the client was told %q", test.name, got)
				}
				c := s.acme.TLS()
				return &c, nil
			}
			if f.get(cfg); !asked {
				t.Errorf("%s: the client was not asked for a certificate", test.name)
			}
			f.get(s.client(s.acme)) // the names only help a client to choose
		}
	}
}

// A policy whose CA names do not fit into a handshake is refused when it is made.
func TestTooManyAdvertisedNames(t *testing.T) {
	s := newSite(t)
	m := s.verify(RefuseReset)
	for size := 0; size <= maxCANames; size += len(m.AdvertisedCAs[0].RawSubject) + 2 {
		m.AdvertisedCAs = append(m.AdvertisedCAs, pki.NewRoot(strings.Repeat("n", 60)+time.Now().Format("150405.000000000")).Cert)
	}
	if _, err := Compile(s.config(m), nil); err == nil || !strings.Contains(err.Error(), "advertise_trust_store_ca_names") {
		t.Errorf("got %v", err)
	}
	m.AdvertisedCAs = m.AdvertisedCAs[:len(m.AdvertisedCAs)-1]
	f := startFront(t, s.config(m))
	f.get(s.client(s.acme))
}

// OpenSSL's client agrees: no alert, no answer.
func TestOpenSSLSeesNoAlert(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	s := newSite(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		f := startFront(t, s.config(s.verify(RefuseReset)))
		cmd := exec.Command(openssl, "s_client", "-connect", f.addr, "-servername", frontHost, "-msg", version)
		stdin, err := cmd.StdinPipe() // stays open: closing it would end the client
		if err != nil {
			t.Fatal(err)
		}
		out, _ := cmd.CombinedOutput()
		stdin.Close()
		if !strings.Contains(string(out), "<<< ") || strings.Contains(string(out), "Alert") {
			t.Errorf("%s: openssl says\n%s", version, out)
		}
		f.stop()
		if e := f.conns.entries(t, 1)[0]; e["tls_verify_status"] != "Failed:"+string(trust.UnmappedConnectionError) {
			t.Errorf("the log has %v", e)
		}
	}
}
