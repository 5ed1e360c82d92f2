package listener

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/postern-lb/postern/trust"
)

// A guestBook is a ClientRecorder that tests can read.
type guestBook struct {
	mu    sync.Mutex
	names []string
}

func (g *guestBook) Accepted(v *trust.Verdict, presented []*x509.Certificate, _ time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v.Accepted {
		g.names = append(g.names, presented[0].Subject.CommonName)
	}
}

func (g *guestBook) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.names...)
}

// TestSeen holds that a recorder is told of those who were let in, resumed or not, and
// neither of strangers nor of who presents a certificate without having its key.
func TestSeen(t *testing.T) {
	bothVersions(t, func(t *testing.T, s *site, version uint16) {
		book := new(guestBook)
		m := s.verify(RefuseReset)
		m.Seen = book
		f := startFront(t, s.config(m))
		thief := s.acme.TLS()
		thief.PrivateKey = s.sub.Client("thief").Key
		for _, cfg := range []*tls.Config{
			with(s.client(s.otherRoot.Client("stranger")), upTo(version)), with(presenting(s.client(nil), thief), upTo(version)),
		} {
			if err := firstRead(tls.Client(f.dial(), cfg)); err == nil {
				t.Error("let in")
			}
		}
		resuming, _ := s.resuming(s.acme, version)
		f.resumed(resuming)
		if !f.resumed(resuming) {
			t.Error("not resumed")
		}
		if got := book.all(); len(got) != 2 || got[0] != "acme-1" || got[1] != "acme-1" {
			t.Errorf("told of %q", got)
		}
	})
}
