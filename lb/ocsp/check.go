package ocsp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/trust"
)

// Check implements trust.Responder. In mode soft it never waits.
func (c *Checker) Check(cert, issuer *x509.Certificate, wait bool) trust.Answer {
	key, now := keyOf(cert), c.Now()
	if k, ok := c.cache.find(key, now); ok {
		return k.heeded(c.Hard, wait)
	}
	if len(c.responders(cert)) == 0 {
		return c.silent(cert, wait)
	}
	asked := c.flights.DoChan(string(key[:]), func() (any, error) { return c.query(key, cert, issuer), nil })
	if !c.Hard || !wait {
		return trust.Answer{}
	}
	timeout := time.NewTimer(c.Timeout)
	defer timeout.Stop()
	select {
	case result := <-asked:
		return result.Val.(known).heeded(true, true)
	case <-timeout.C:
		return trust.Answer{Status: trust.AnswerFailed, Detail: "no answer within " + c.Timeout.String()}
	}
}

// silent is the answer about a certificate that names no responder who may be asked. CAs
// often name none for their intermediates, for which there are lists.
func (c *Checker) silent(cert *x509.Certificate, wait bool) trust.Answer {
	if !c.Hard || !wait || cert.IsCA {
		return trust.Answer{}
	}
	return trust.Answer{Status: trust.AnswerFailed, Detail: "it names no OCSP responder that is allowed to be asked"}
}

// query asks, remembers the answer and tells if it is bad news.
func (c *Checker) query(key [32]byte, cert, issuer *x509.Certificate) known {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	k, err := c.ask(ctx, cert, issuer)
	k.cert, k.issuer = cert, issuer
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
func (c *Checker) ask(ctx context.Context, cert, issuer *x509.Certificate) (known, error) {
	if err := c.turns.Acquire(ctx, 1); err != nil {
		return known{}, fmt.Errorf("%d queries are under way already", MaxQueries)
	}
	defer c.turns.Release(1)
	body, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return known{}, err
	}
	request, err := ocsp.ParseRequest(body)
	if err != nil {
		return known{}, err
	}
	var faults []error
	for _, address := range c.responders(cert) {
		answer, err := c.post(ctx, address, body)
		if err == nil {
			var k known
			if k, err = c.answered(answer, request, cert, issuer); err == nil {
				return k, nil
			}
		}
		faults = append(faults, fmt.Errorf("%s: %w", address, err))
	}
	return known{}, errors.Join(faults...)
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
			for key, k := range c.cache.due(now, now.Add(2*c.interval())) {
				c.flights.DoChan(string(key[:]), func() (any, error) { return c.query(key, k.cert, k.issuer), nil })
			}
		}
	}
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
