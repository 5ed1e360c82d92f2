package ocsp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
	"golang.org/x/sync/errgroup"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/trust"
)

// Check implements trust.Responder. In mode soft it never waits. In mode hard the wait is
// the timeout at most, for each certificate of the path that names a responder.
func (c *Checker) Check(q trust.Query) trust.Answer {
	key := keyOf(q.Cert)
	if k, ok := c.cache.find(key, c.Now()); ok {
		return k.heeded(c.Hard, q.Connected)
	}
	return c.find(key, q)
}

// find asks about a certificate of which nothing is known that still counts. It is on its
// own so that Check allocates nothing.
func (c *Checker) find(key [32]byte, q trust.Query) trust.Answer {
	k := known{cert: q.Cert, issuer: q.Issuer, urls: c.responders(q.Cert, q.Leaf)}
	if len(k.urls) == 0 {
		return c.silent(q)
	}
	asked := c.flights.DoChan(string(key[:]), func() (any, error) { return c.query(key, k), nil })
	if !c.Hard || !q.Wait {
		return trust.Answer{}
	}
	timeout := time.NewTimer(c.Timeout)
	defer timeout.Stop()
	select {
	case result := <-asked:
		return result.Val.(known).heeded(true, false)
	case <-timeout.C:
		return trust.Answer{Status: trust.AnswerFailed, Detail: "no answer within " + c.Timeout.String()}
	}
}

// silent is the answer about a certificate that names no responder who may be asked. CAs
// often name none for their intermediates, for which there are lists.
func (c *Checker) silent(q trust.Query) trust.Answer {
	if !c.Hard || !q.Wait || !q.Leaf {
		return trust.Answer{}
	}
	return trust.Answer{Status: trust.AnswerFailed, Detail: "it names no OCSP responder that is allowed to be asked"}
}

// query asks, remembers the answer and tells if it is bad news.
func (c *Checker) query(key [32]byte, k known) known {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	cert := k.cert
	err := c.ask(ctx, &k)
	if err != nil {
		k.answer = trust.Answer{Status: trust.AnswerFailed, Detail: err.Error()}
		k.until = c.Now().Add(failureTime)
		c.Logger.Warn("asking an OCSP responder failed", "serial_number", fmt.Sprintf("%X", cert.SerialNumber), "error", err)
	}
	c.count(k, err)
	if c.cache.put(key, k, c.Now()) && c.Revoked != nil {
		go c.Revoked()
	}
	return k
}

func (c *Checker) count(k known, err error) {
	if c.Count == nil {
		return
	}
	switch {
	case errors.Is(err, errNotKnown):
		c.Count("unknown")
	case err != nil:
		c.Count("failed")
	case k.answer.Status == trust.AnswerRevoked:
		c.Count("revoked")
	default:
		c.Count("good")
	}
}

// ask goes through the responders of a certificate until one gives an answer that counts.
func (c *Checker) ask(ctx context.Context, k *known) error {
	if err := c.turns.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("%d queries are under way already", MaxQueries)
	}
	defer c.turns.Release(1)
	body, err := ocsp.CreateRequest(k.cert, k.issuer, nil)
	if err != nil {
		return err
	}
	request, err := ocsp.ParseRequest(body)
	if err != nil {
		return err
	}
	var faults []error
	for _, address := range k.urls {
		answer, err := c.post(ctx, address, body)
		if err == nil {
			err = c.answered(answer, request, k)
		}
		if err == nil {
			return nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", address, err))
	}
	return errors.Join(faults...)
}

// Run asks again about certificates whose answers end soon, until ctx does. Without it a
// client that is revoked while it is connected stays.
func (c *Checker) Run(ctx context.Context) {
	tick := time.NewTicker(c.interval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := c.Now()
			c.askAgain(c.cache.due(now, now.Add(2*c.interval())))
		}
	}
}

// askAgain asks about certificates, a few at a time.
func (c *Checker) askAgain(due map[[32]byte]known) {
	var group errgroup.Group
	group.SetLimit(MaxQueries / 4) // the rest is for handshakes
	for key, k := range due {
		group.Go(func() error {
			c.flights.Do(string(key[:]), func() (any, error) { return c.query(key, k), nil })
			return nil
		})
	}
	group.Wait()
}

// interval is how often answers are looked at that end soon.
func (c *Checker) interval() time.Duration {
	return min(max(c.Refresh/20, 100*time.Millisecond), 10*time.Second)
}

func reasonCode(n int) crl.ReasonCode {
	if n < 0 || n > 10 {
		return crl.Unspecified
	}
	return crl.ReasonCode(n)
}
