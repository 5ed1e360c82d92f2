package listener

import (
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A flood of strangers keeps the verifier busy at the moment when a new trust store
// has emptied the memo. The look at open connections then finds nothing out, and
// must neither close them nor forget to look again.
func TestRecheckUnderAFlood(t *testing.T) {
	root := pki.NewRoot("root")
	known, now := root.Client("known"), time.Now()
	store := trust.NewStore("s", trust.Options{MaxConcurrent: 1, VerifyWait: time.Nanosecond})
	p := &Policy{now: time.Now, mtls: MutualAuthentication{Mode: ModeVerify, Store: store}}
	c := &conn{policy: p, tc: new(tls.Conn), verdict: &trust.Verdict{Accepted: true}, presented: known.Chain()}

	stop := make(chan struct{})
	var flood sync.WaitGroup
	stranger := pki.NewRoot("other").Client("stranger").Chain()
	for range 4 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					store.Verify(stranger, nil, now)
				}
			}
		})
	}
	defer flood.Wait()
	defer close(stop)
	for deadline := now.Add(20 * time.Second); ; {
		bundle, err := trust.ParseBundle(pki.PEM(root.Cert, pki.NewRoot("another").Cert), now)
		if err != nil {
			t.Fatal(err)
		}
		store.Publish(bundle, nil, "")
		if v := p.recheck(c, new(again)); v != nil {
			t.Fatalf("refused: %s: %s", v.Reason, v.Detail)
		}
		if end := c.expires.Load(); end < now.Unix()+60 {
			return // it will be looked at again
		}
		if time.Now().After(deadline) {
			t.Fatal("the verifier was never busy")
		}
	}
}
