package cdp_test

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb/cdp"
	"github.com/postern-lb/postern/trust"
)

// A lab is a CA whose clients name a distribution point.
type lab struct {
	ca, bad, good *pki.Entity
	url           string
	answer        atomic.Pointer[http.HandlerFunc]
	asked         atomic.Int32
	news          chan struct{}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{ca: pki.NewRoot("root").Intermediate("ca"), news: make(chan struct{}, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.asked.Add(1)
		(*l.answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	l.url = server.URL + "/ca.crl"
	l.bad, l.good = l.client("bad", l.url), l.client("good", l.url)
	return l
}

func (l *lab) client(name string, urls ...string) *pki.Entity {
	return l.ca.Client(name, pki.Template(func(c *x509.Certificate) { c.CRLDistributionPoints = urls }))
}

func (l *lab) serve(h http.HandlerFunc) { l.answer.Store(&h) }

func (l *lab) send(der []byte) {
	l.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(der) })
}

func (l *lab) checker(t *testing.T, change func(*cdp.Config)) *cdp.Checker {
	t.Helper()
	c := cdp.Config{
		AllowedHosts: []string{strings.TrimSuffix(strings.TrimPrefix(l.url, "http://"), "/ca.crl")}, Refresh: time.Second, Timeout: time.Second,
		Logger: slog.New(slog.DiscardHandler), Changed: func() { l.news <- struct{}{} },
	}
	if change != nil {
		change(&c)
	}
	out, err := cdp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	go out.Run(t.Context())
	return out
}

func (l *lab) ask(c *cdp.Checker, who *pki.Entity) trust.AnswerStatus {
	return c.Check(trust.Query{Cert: who.Cert, Issuer: l.ca.Cert, Leaf: true, Wait: true}).Status
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waiting in vain: %s", what)
		}
	}
}

func TestListsAreFetchedAndRefreshed(t *testing.T) {
	l := newLab(t)
	l.send(l.ca.CRL(1))
	c := l.checker(t, nil)
	if a := l.ask(c, l.bad); a != trust.AnswerNone {
		t.Errorf("the first answer is %d", a)
	}
	eventually(t, "the list", func() bool { return l.ask(c, l.bad) == trust.AnswerGood })
	l.send(pki.CRLPEM(l.ca.CRL(2, l.bad)))
	eventually(t, "the revocation", func() bool { return l.ask(c, l.bad) == trust.AnswerRevoked })
	if a := l.ask(c, l.good); a != trust.AnswerGood {
		t.Errorf("the other client is answered %d", a)
	}
	if len(l.news) < 2 || c.Lists() != 1 {
		t.Errorf("%d times told of news, %d lists", len(l.news), c.Lists())
	}
}

// Whatever a server does, the list from before stays.
func TestFaultsChangeNothing(t *testing.T) {
	l := newLab(t)
	now := time.Now()
	old := l.ca.SignCRL(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-48 * time.Hour), NextUpdate: now.Add(time.Hour)})
	current := l.ca.CRL(2, l.bad)
	for name, fault := range map[string]http.HandlerFunc{
		"gone":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) },
		"elsewhere":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", 302) },
		"garbage":    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("garbage")) },
		"cut":        func(w http.ResponseWriter, _ *http.Request) { w.Write(current[:len(current)/2]) },
		"stranger's": func(w http.ResponseWriter, _ *http.Request) { w.Write(pki.NewRoot("ca").CRL(9)) },
		"older":      func(w http.ResponseWriter, _ *http.Request) { w.Write(old) },
		"too large":  func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 100_000)) },
		"slow":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing":    func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			l.send(current)
			failed := make(chan string, 100)
			folder := t.TempDir()
			c := l.checker(t, func(c *cdp.Config) {
				c.MaxSize, c.Folder, c.Refresh = 50_000, folder, 200*time.Millisecond
				c.Count = func(result string) {
					if result == "failed" {
						failed <- result
					}
				}
			})
			eventually(t, "the list", func() bool { return l.ask(c, l.bad) == trust.AnswerRevoked })
			l.serve(fault)
			select {
			case <-failed:
			case <-time.After(15 * time.Second):
				t.Fatal("the fault was not noticed")
			}
			if a, b := l.ask(c, l.bad), l.ask(c, l.good); a != trust.AnswerRevoked || b != trust.AnswerGood {
				t.Errorf("the answers are %d, %d", a, b)
			}
			// The copy survives without the server.
			again := l.checker(t, func(c *cdp.Config) { c.Folder = folder })
			eventually(t, "the copy", func() bool { return l.ask(again, l.bad) == trust.AnswerRevoked })
		})
	}
}

func TestDamagedCopy(t *testing.T) {
	l := newLab(t)
	l.send(l.ca.CRL(1, l.bad))
	folder := t.TempDir()
	first := l.checker(t, func(c *cdp.Config) { c.Folder = folder })
	eventually(t, "the list", func() bool { return l.ask(first, l.bad) == trust.AnswerRevoked })
	files, err := filepath.Glob(filepath.Join(folder, "*.crl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], pki.NewRoot("ca").CRL(1), 0o600); err != nil {
		t.Fatal(err)
	}
	l.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	before := l.asked.Load()
	c := l.checker(t, func(c *cdp.Config) { c.Folder = folder })
	l.ask(c, l.bad)
	eventually(t, "the server to be asked", func() bool { return l.asked.Load() > before })
	if a := l.ask(c, l.good); a != trust.AnswerNone || c.Lists() != 0 {
		t.Errorf("a copy that another CA signed counts: %d", a)
	}
}

// An expired list vouches for nobody, and revokes still.
func TestExpiredList(t *testing.T) {
	l := newLab(t)
	now := time.Now()
	l.send(l.ca.SignCRL(&x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now.Add(-48 * time.Hour), NextUpdate: now.Add(-time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: l.bad.Cert.SerialNumber, RevocationTime: now.Add(-time.Hour)}},
	}))
	c := l.checker(t, nil)
	l.ask(c, l.good)
	eventually(t, "the list", func() bool { return c.Lists() == 1 })
	if a, b := l.ask(c, l.bad), l.ask(c, l.good); a != trust.AnswerRevoked || b != trust.AnswerNone {
		t.Errorf("the answers are %d, %d", a, b)
	}
}

func TestWhatIsNotFollowed(t *testing.T) {
	l := newLab(t)
	l.send(l.ca.CRL(1))
	c := l.checker(t, func(c *cdp.Config) { c.AllowedHosts = []string{"crl.example", "localhost"} })
	for _, url := range []string{l.url, "http://localhost:1/", "file:///etc/passwd", "ldap://crl.example/", ""} {
		l.ask(c, l.client("c", url))
	}
	l.ask(c, l.client("c", "http://a.example", "http://b.example", "http://c.example", "http://d.example", l.url))
	time.Sleep(50 * time.Millisecond)
	if l.asked.Load() != 0 || c.Lists() != 0 {
		t.Errorf("%d requests were made", l.asked.Load())
	}
	if _, err := cdp.New(cdp.Config{}); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Error("no hosts are taken for some")
	}
}

func TestKnownPointsAllocateNothing(t *testing.T) {
	l := newLab(t)
	l.send(l.ca.CRL(1))
	c := l.checker(t, nil)
	eventually(t, "the list", func() bool { return l.ask(c, l.good) == trust.AnswerGood })
	if n := testing.AllocsPerRun(100, func() { l.ask(c, l.good) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
