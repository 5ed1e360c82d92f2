package listener

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A stranger is a client that must be refused.
type stranger struct {
	name   string
	cert   *tls.Certificate // nil: none
	reason trust.Reason
	policy trust.Policy
	// beforeHooks: crypto/tls refuses it by itself, so that no handshake completes
	// in mode forbidden.
	beforeHooks bool
	// unproven: the chain is good, the key is another's.
	unproven bool
}

// strangers makes one client for each reason. One of them is in the revocation
// list that it puts in force.
func strangers(t *testing.T, s *site) []stranger {
	cert := func(e *pki.Entity) *tls.Certificate { c := e.TLS(); return &c }
	filter, err := trust.NewFilter(trust.FilterConfig{SubjectCN: []string{"nobody-*"}})
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	revoked := s.sub.Client("secret-revoked")
	s.store.SetRevocations(s.revokes(s.sub, revoked))
	garbage := cert(s.acme)
	garbage.Certificate = [][]byte{[]byte("this is no certificate")}
	stolen := cert(s.acme)
	stolen.PrivateKey = revoked.Key
	deep := s.sub
	for range 3 {
		deep = deep.Intermediate("Partner CA below")
	}
	large := s.sub.Client("secret-large", pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, 50<<10)}}
	}))
	return []stranger{
		{name: "no certificate", reason: trust.UnmappedConnectionError},
		{name: "untrusted", cert: cert(pki.NewRoot("Other Root").Client("secret-other")), reason: trust.ClientCertUntrusted},
		{name: "self-signed", cert: cert(pki.NewSelfSigned("secret-self")), reason: trust.ClientCertUntrusted},
		{name: "expired", cert: cert(s.sub.Client("secret-old", pki.Expired)), reason: trust.ClientCertExpired},
		{name: "not yet valid", cert: cert(s.sub.Client("secret-new", pki.NotYetValid)), reason: trust.ClientCertNotYetValid},
		{name: "revoked", cert: cert(revoked), reason: trust.ClientCertCrlHit},
		{name: "wrong purpose", cert: cert(s.sub.Client("secret-server", pki.ServerOnly)), reason: trust.ClientCertPurposeInvalid},
		{name: "too deep", cert: cert(deep.Client("secret-deep")), reason: trust.ClientCertMaxChainDepthExceeded},
		{name: "too large", cert: cert(large), reason: trust.ClientCertMaxSizeExceeded},
		{name: "Ed25519", cert: cert(s.sub.Client("secret-ed", pki.Key(edKey))), reason: trust.ClientCertTypeUnsupported},
		{name: "weak key", cert: cert(s.sub.Client("secret-weak", pki.RSA(1024))), reason: trust.ClientCertIncompatible},
		{name: "filter", cert: cert(s.acme), reason: trust.ClientCertRejected, policy: trust.Policy{Filters: []trust.Filter{filter}}},
		{name: "unparsable", cert: garbage, reason: trust.ClientCertInvalid, beforeHooks: true},
		{name: "stolen certificate", cert: stolen, reason: trust.UnmappedConnectionError, beforeHooks: true, unproven: true},
	}
}

func (w *stranger) client(s *site, version uint16) *tls.Config {
	cfg := with(s.client(nil), upTo(version))
	if w.cert != nil {
		cfg = presenting(cfg, *w.cert)
	}
	return cfg
}

// eachRefusal runs test for every stranger, with TLS 1.2 and 1.3, on a listener
// that refuses in the given way.
func eachRefusal(t *testing.T, on Refusal, test func(*testing.T, *site, *front, *stranger, uint16)) {
	s := newSite(t)
	for _, who := range strangers(t, s) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(who.name+"/"+tls.VersionName(version), func(t *testing.T) {
				m := s.verify(on)
				m.Trust = &who.policy
				if who.unproven { // a warm memo must not help either
					warm := startFront(t, s.config(m))
					warm.get(s.client(s.acme))
				}
				test(t, s, startFront(t, s.config(m)), &who, version)
			})
		}
	}
}

// refusedLine checks the connection log after the one attempt of who.
func refusedLine(t *testing.T, f *front, who *stranger, version uint16) {
	t.Helper()
	f.hangUp()
	f.stop()
	e := f.conns.entries(t, 1)[0]
	if e["tls_verify_status"] != "Failed:"+string(who.reason) {
		t.Errorf("tls_verify_status is %v, want %v (detail: %v)", e["tls_verify_status"], who.reason, e["detail"])
	}
	if e["tls_protocol"] != TLSVersionName(version) {
		t.Errorf("tls_protocol is %v", e["tls_protocol"])
	}
	if detail, _ := e["detail"].(string); detail == "" {
		t.Error("the log does not say why")
	}
	wantSubject := who.cert != nil && !(who.beforeHooks && !who.unproven)
	if (e["leaf_client_cert_subject"] != nil) != wantSubject {
		t.Errorf("leaf_client_cert_subject is %v", e["leaf_client_cert_subject"])
	}
}

func TestRefusedByReset(t *testing.T) {
	eachRefusal(t, RefuseReset, func(t *testing.T, s *site, f *front, who *stranger, version uint16) {
		wire := f.dial()
		tc := tls.Client(wire, who.client(s, version))
		err := firstRead(tc)
		if !isReset(err) {
			t.Errorf("the client got %v, want a connection reset", err)
		}
		noAlert(t, wire, version)
		refusedLine(t, f, who, version)
	})
}

// firstRead does a handshake and returns what ends the connection, which must not
// be an answer. Under TLS 1.3 a client learns by reading that it was refused.
func firstRead(tc *tls.Conn) error {
	if err := tc.Handshake(); err != nil {
		return err
	}
	n, err := tc.Read(make([]byte, 1))
	if n > 0 || err == nil {
		return errors.New("the client was sent data")
	}
	return err
}

// noAlert checks that nothing but the server's first flight came. Under TLS 1.3
// an alert is sealed and looks like data, but for its length.
func noAlert(t *testing.T, wire *tap, version uint16) {
	t.Helper()
	for _, r := range wire.records() {
		if r[0] == recordAlert || version == tls.VersionTLS13 && r[0] == recordAppData && r[1] == sealedAlertLen-recordHeaderLen {
			t.Errorf("an alert came: records %v", wire.records())
			return
		}
	}
}

func TestRefusedByAlert(t *testing.T) {
	eachRefusal(t, RefuseAlert, func(t *testing.T, s *site, f *front, who *stranger, version uint16) {
		tc := tls.Client(f.dial(), who.client(s, version))
		err := firstRead(tc)
		if !strings.Contains(err.Error(), "remote error: tls: ") {
			t.Errorf("the client got %v, want a TLS alert", err)
		}
		if who.cert == nil && version == tls.VersionTLS13 && !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("the client got %v, want certificate_required", err)
		}
		refusedLine(t, f, who, version)
	})
}

func TestRefusedByForbidden(t *testing.T) {
	eachRefusal(t, RefuseForbidden, func(t *testing.T, s *site, f *front, who *stranger, version uint16) {
		if who.beforeHooks {
			tc := tls.Client(f.dial(), who.client(s, version))
			if err := firstRead(tc); !strings.Contains(err.Error(), "remote error: tls: ") {
				t.Errorf("the client got %v, want a TLS alert", err)
			}
			refusedLine(t, f, who, version)
			return
		}
		wire := f.dial()
		tc := tls.Client(wire, who.client(s, version))
		var ids []string
		for range 2 {
			a, err := ask(tc, request())
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, forbidden(t, who, a.Response, a.body))
		}
		tc.Close()
		f.stop()
		logged := f.access.entries(t, 2)
		for i, id := range ids {
			if logged[i]["refusal_id"] != id || logged[i]["error_reason"] != string(who.reason) {
				t.Errorf("the client was told %s, the log has %v %v", id, logged[i]["refusal_id"], logged[i]["error_reason"])
			}
		}
		if ids[0] == ids[1] {
			t.Error("two answers with one id")
		}
		refusedLine(t, f, who, version)
	})
}

// forbidden checks the answer and returns its id.
func forbidden(t *testing.T, who *stranger, r *http.Response, body string) string {
	t.Helper()
	if r.StatusCode != http.StatusForbidden || body != `{"message":"Forbidden"}` || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %q %q", r.StatusCode, r.Header.Get("Content-Type"), body)
	}
	var raw bytes.Buffer
	r.Header.Write(&raw)
	text := strings.ToLower(raw.String() + body)
	for _, secret := range []string{"secret", "acme", "partner", "cert", "expired", "revoked", strings.ToLower(string(who.reason))} {
		if strings.Contains(text, secret) {
			t.Errorf("the answer tells the client %q:\n%s", secret, text)
		}
	}
	return r.Header.Get("X-Amzn-Requestid")
}

func TestForbiddenOverHTTP2(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(s.verify(RefuseForbidden)))
	who := stranger{reason: trust.ClientCertExpired}
	client := f.http2Client(s.client(s.sub.Client("secret-old", pki.Expired)))
	for i, path := range []string{"/", "/x?y", "/admin"} {
		r, err := client.Get("https://" + frontHost + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		id := forbidden(t, &who, r, string(body))
		if got := f.access.entries(t, i+1)[i]; got["refusal_id"] != id || r.ProtoMajor != 2 {
			t.Errorf("HTTP/%d, id %s, log %v", r.ProtoMajor, id, got["refusal_id"])
		}
	}
	f.conns.entries(t, 1)
}

// ALB's own format, once through a whole listener.
func TestConnectionLogLine(t *testing.T) {
	s := newSite(t)
	conns := &lines{}
	cfg := s.config(s.verify(RefuseReset))
	cfg.ConnectionLog = &Log{Writer: conns}
	f := startFront(t, cfg)
	f.get(s.client(s.acme))
	refused := tls.Client(f.dial(), with(s.client(nil), upTo(tls.VersionTLS12)))
	if err := refused.Handshake(); err == nil {
		t.Fatal("a client without certificate was let in")
	}
	f.stop()
	all := conns.all()
	if len(all) != 2 {
		t.Fatalf("the log has %d lines:\n%s", len(all), strings.Join(all, "\n"))
	}
	for i, want := range []string{"TLSv1.3|TLS_AES_128_GCM_SHA256|Success|CN=acme-1,O=Postern", "TLSv1.2|ECDHE-ECDSA-AES128-GCM-SHA256|Failed:UnmappedConnectionError|-"} {
		e := connFields(t, all[i])
		if got := strings.Join([]string{e[4], e[5], e[10], e[7]}, "|"); got != want {
			t.Errorf("line %d has %s, want %s", i, got, want)
		}
		if (e[6] != "-") != (i == 0) {
			t.Errorf("line %d: the handshake latency is %s", i, e[6])
		}
	}
}
