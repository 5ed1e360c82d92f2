package ocsp_test

import (
	"crypto"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb/ocsp"
	"github.com/postern-lb/postern/trust"
)

var (
	root   = pki.NewRoot("root")
	client = root.Client("client")
)

// responding answers every request with what respond makes.
func responding(t *testing.T, respond func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(respond))
	t.Cleanup(server.Close)
	return server.URL
}

// signedBy is an answer about the client, changed, that signer signs.
func signedBy(t *testing.T, signer *pki.Entity, change func(*xocsp.Response)) []byte {
	t.Helper()
	now := time.Now()
	r := xocsp.Response{
		Status: xocsp.Good, SerialNumber: client.Cert.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour),
		IssuerHash: crypto.SHA1,
	}
	if signer != root {
		r.Certificate = signer.Cert
	}
	if change != nil {
		change(&r)
	}
	der, err := xocsp.CreateResponse(root.Cert, signer.Cert, r, signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func checker(t testing.TB, change func(*ocsp.Config)) *ocsp.Checker {
	t.Helper()
	c := ocsp.Config{Hard: true, Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
	change(&c)
	out, err := ocsp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func signing(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }

func TestAnswers(t *testing.T) {
	delegate, plain := root.Client("responder", pki.Template(signing)), root.Client("responder")
	stale := root.Client("responder", pki.Template(signing), pki.Expired)
	stranger := pki.NewRoot("root").Client("responder", pki.Template(signing))
	sent := func(der []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(der) }
	}
	for name, tt := range map[string]struct {
		respond func(http.ResponseWriter, *http.Request)
		want    trust.AnswerStatus
		detail  string
	}{
		"good, by the issuer":    {sent(signedBy(t, root, nil)), trust.AnswerGood, ""},
		"good, by a delegate":    {sent(signedBy(t, delegate, nil)), trust.AnswerGood, ""},
		"good, without an end":   {sent(signedBy(t, root, func(r *xocsp.Response) { r.NextUpdate = time.Time{} })), trust.AnswerGood, ""},
		"issuer's own in it":     {sent(signedBy(t, root, func(r *xocsp.Response) { r.Certificate = root.Cert })), trust.AnswerGood, ""},
		"revoked":                {sent(signedBy(t, root, func(r *xocsp.Response) { r.Status, r.RevokedAt, r.RevocationReason = xocsp.Revoked, time.Now(), 1 })), trust.AnswerRevoked, "OCSP responder since"},
		"not known":              {sent(signedBy(t, root, func(r *xocsp.Response) { r.Status = xocsp.Unknown })), trust.AnswerFailed, "does not know"},
		"delegate not for it":    {sent(signedBy(t, plain, nil)), trust.AnswerFailed, "id-kp-OCSPSigning"},
		"delegate has ended":     {sent(signedBy(t, stale, nil)), trust.AnswerFailed, "has ended"},
		"stranger's delegate":    {sent(signedBy(t, stranger, nil)), trust.AnswerFailed, "did not certify"},
		"stranger":               {sent(signedBy(t, pki.NewRoot("root"), func(r *xocsp.Response) { r.Certificate = nil })), trust.AnswerFailed, "did not sign"},
		"another serial number":  {sent(signedBy(t, root, func(r *xocsp.Response) { r.SerialNumber = root.Cert.SerialNumber })), trust.AnswerFailed, "does not count"},
		"ended":                  {sent(signedBy(t, root, func(r *xocsp.Response) { r.NextUpdate = time.Now().Add(-time.Second) })), trust.AnswerFailed, "ended at"},
		"of the future":          {sent(signedBy(t, root, func(r *xocsp.Response) { r.ThisUpdate = time.Now().Add(time.Hour) })), trust.AnswerFailed, "future"},
		"garbage":                {sent([]byte("garbage")), trust.AnswerFailed, "does not count"},
		"cut":                    {sent(signedBy(t, root, nil)[:100]), trust.AnswerFailed, "does not count"},
		"too large":              {sent(make([]byte, ocsp.MaxResponse+1)), trust.AnswerFailed, "too large"},
		"500":                    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, trust.AnswerFailed, "500"},
		"sent elsewhere":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", 302) }, trust.AnswerFailed, "302"},
		"no answer":              {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, trust.AnswerFailed, ""},
		"broken off":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, trust.AnswerFailed, "EOF"},
		"answer to other issuer": {sent(forOtherIssuer(t, delegate)), trust.AnswerFailed, "another issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			address := responding(t, tt.respond)
			c := checker(t, func(c *ocsp.Config) { c.Responder = address })
			for range 2 { // asked, then remembered
				a := c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: true})
				if a.Status != tt.want || !strings.Contains(a.Detail, tt.detail) {
					t.Fatalf("the answer is %+v, want status %d and %q", a, tt.want, tt.detail)
				}
			}
			if a := c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Connected: true}); tt.want == trust.AnswerFailed && a.Status != trust.AnswerNone {
				t.Errorf("a client that is connected is answered %+v", a)
			}
		})
	}
}

// forOtherIssuer is what a delegate of root says of another CA's certificate with the same
// serial number.
func forOtherIssuer(t *testing.T, delegate *pki.Entity) []byte {
	t.Helper()
	der, err := xocsp.CreateResponse(pki.NewRoot("other").Cert, delegate.Cert, xocsp.Response{
		Status: xocsp.Good, SerialNumber: client.Cert.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute),
		NextUpdate: time.Now().Add(time.Hour), IssuerHash: crypto.SHA1, Certificate: delegate.Cert,
	}, delegate.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// In mode soft nobody waits, and bad news is told once.
func TestSoftNeverWaits(t *testing.T) {
	release, news := make(chan struct{}), make(chan struct{}, 10)
	revoked := signedBy(t, root, func(r *xocsp.Response) { r.Status, r.RevokedAt = xocsp.Revoked, time.Now() })
	address := responding(t, func(w http.ResponseWriter, _ *http.Request) { <-release; w.Write(revoked) })
	c := checker(t, func(c *ocsp.Config) { c.Hard, c.Responder, c.Revoked = false, address, func() { news <- struct{}{} } })
	for range 3 {
		if a := c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: true}); a.Status != trust.AnswerNone {
			t.Fatalf("the answer is %+v", a)
		}
	}
	close(release)
	select {
	case <-news:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	if a := c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: false}); a.Status != trust.AnswerRevoked {
		t.Errorf("the answer is %+v", a)
	}
	if len(news) != 0 {
		t.Error("the news was told again")
	}
}

// An answer that ends is asked for again by Run, and nobody asks twice at a time.
func TestRunAsksAgain(t *testing.T) {
	var asked atomic.Int32
	good := signedBy(t, root, nil)
	address := responding(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); asked.Add(1); w.Write(good) })
	c := checker(t, func(c *ocsp.Config) { c.Responder, c.Refresh = address, time.Second })
	go c.Run(t.Context())
	c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: true})
	for end := time.Now().Add(10 * time.Second); asked.Load() < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("asked %d times", asked.Load())
		}
	}
}

func TestHosts(t *testing.T) {
	var asked atomic.Int32
	good := signedBy(t, root, nil)
	address := responding(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.Write(good) })
	hostPort := strings.TrimPrefix(address, "http://")
	_, port, _ := strings.Cut(hostPort, ":")
	for name, tt := range map[string]struct {
		allowed []string
		url     string
		want    trust.AnswerStatus
	}{
		"listed":                        {[]string{hostPort}, address, trust.AnswerGood},
		"not listed":                    {[]string{"ocsp.example"}, address, trust.AnswerFailed},
		"listed with another port":      {[]string{"127.0.0.1:1"}, address, trust.AnswerFailed},
		"listed without its port":       {[]string{"127.0.0.1"}, address, trust.AnswerFailed},
		"a name that leads here":        {[]string{"localhost:" + port}, "http://localhost:" + port, trust.AnswerFailed},
		"a user in the address":         {[]string{hostPort}, "http://u@" + hostPort, trust.AnswerFailed},
		"another scheme":                {[]string{hostPort}, "ldap://" + hostPort, trust.AnswerFailed},
		"no address":                    {[]string{hostPort}, "://", trust.AnswerFailed},
		"listed, in another case":       {[]string{"LOCALHOST:" + port, hostPort}, strings.Replace(address, "http", "HTTP", 1), trust.AnswerGood},
		"the third of three is ignored": {[]string{hostPort}, "", trust.AnswerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			urls := []string{tt.url}
			if tt.url == "" {
				urls = []string{address + "/../", "http://127.0.0.1:1/", address}
				urls[0] = "http://127.0.0.1:1/"
				tt.allowed = append(tt.allowed, "127.0.0.1:1")
			}
			named := root.Client("client", pki.Serial(client.Cert.SerialNumber), pki.Template(func(c *x509.Certificate) { c.OCSPServer = urls }))
			asked.Store(0)
			a := checker(t, func(c *ocsp.Config) { c.AllowedHosts = tt.allowed }).Check(trust.Query{Cert: named.Cert, Issuer: root.Cert, Leaf: true, Wait: true})
			if a.Status != tt.want || (asked.Load() > 0) != (tt.want == trust.AnswerGood) {
				t.Errorf("the answer is %+v, and %d were asked", a, asked.Load())
			}
		})
	}
}

// The memory is bounded.
func TestCacheIsBounded(t *testing.T) {
	address := responding(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c := checker(t, func(c *ocsp.Config) { c.Responder, c.CacheEntries = address, 100 })
	key := pki.Key(root.Key)
	for range 150 {
		c.Check(trust.Query{Cert: root.Client("c", key).Cert, Issuer: root.Cert, Leaf: true, Wait: true})
	}
	if n := c.Entries(); n != 100 {
		t.Errorf("%d certificates are remembered, want 100", n)
	}
}

func TestRememberedAnswersAllocateNothing(t *testing.T) {
	good := signedBy(t, root, nil)
	address := responding(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(good) })
	c := checker(t, func(c *ocsp.Config) { c.Responder = address })
	c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: true})
	if n := testing.AllocsPerRun(100, func() { c.Check(trust.Query{Cert: client.Cert, Issuer: root.Cert, Leaf: true, Wait: true}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
