package listener

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/internal/vectors"
	"github.com/postern-lb/postern/trust"
)

// TestVectorsByHandshake has real clients present chains of NIST's PKITS, those
// whose private keys are at hand. What the connection log says is what trust's
// TestVectors finds for the same case, the first time and the second.
func TestVectorsByHandshake(t *testing.T) {
	suite, err := vectors.Open("../trust/testdata/vectors", "pkits")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	answers := make(map[string]int)
	for i := range suite.Cases {
		c := &suite.Cases[i]
		if c.Inapplicable != "" {
			continue
		}
		key, err := suite.Key(c.Chain[0])
		if err != nil {
			continue // of most cases there is none
		}
		answers[c.Answer]++
		t.Run(c.Name, func(t *testing.T) { presentVector(t, s, suite, c, key) })
	}
	if answers[vectors.Accept] < 3 || answers[string(trust.ClientCertUntrusted)] < 5 || answers[string(trust.ClientCertCrlHit)] < 2 {
		t.Errorf("cases by answer: %v", answers)
	}
}

func presentVector(t *testing.T, s *site, suite *vectors.Suite, c *vectors.Case, key []byte) {
	s.t = t
	m := s.verify(RefuseForbidden)
	m.Store, m.Trust = vectorStore(t, suite, c), &trust.Policy{MaxDepth: trust.LargestMaxDepth}
	cfg := s.config(m)
	cfg.now = func() time.Time { return suite.Time(c) }
	f := startFront(t, cfg)

	chain, err := suite.Certificates(c.Chain...)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	client := presenting(s.client(nil), tls.Certificate{Certificate: chain, PrivateKey: private.(crypto.Signer)})
	code, status := http.StatusForbidden, "Failed:"+c.Answer
	if c.Answer == vectors.Accept {
		code, status = http.StatusOK, "Success"
	}
	for range 2 {
		if got := f.get(client).StatusCode; got != code {
			t.Errorf("status %d, want %d", got, code)
		}
	}
	f.hangUp()
	f.stop()
	for _, e := range f.conns.entries(t, 2) {
		if e["tls_verify_status"] != status {
			t.Errorf("tls_verify_status %v, want %s (detail: %v)", e["tls_verify_status"], status, e["detail"])
		}
	}
}

// vectorStore trusts what a case says.
func vectorStore(t *testing.T, suite *vectors.Suite, c *vectors.Case) *trust.Store {
	t.Helper()
	trusted, err := suite.Certificates(c.Trusted...)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, der := range trusted {
		text = append(text, pki.PEM(&x509.Certificate{Raw: der})...)
	}
	b, err := trust.ParseBundle(text, suite.Time(c))
	if err != nil {
		t.Fatal(err)
	}
	ders, err := suite.Lists(c.CRLs...)
	if err != nil {
		t.Fatal(err)
	}
	var sources []crl.Source
	for i, der := range ders {
		list, err := crl.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, crl.Source{Name: strconv.Itoa(i), List: list})
	}
	set, err := crl.NewSet(sources, b.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	store := trust.NewStore("vectors", trust.Options{Log: slog.New(slog.DiscardHandler)})
	store.Publish(b, set, "1")
	return store
}
