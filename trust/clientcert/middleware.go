package clientcert

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/postern-lb/postern/trust"
)

// Config says how a program learns who its clients are.
type Config struct {
	// Source is the header to read. Required.
	Source Source
	// Store decides about the certificates. Required.
	Store *trust.Store
	// Policy is what is asked beyond the store: depth, expiry, identity filters. Nil is
	// the strictest of ALB's settings.
	Policy *trust.Policy
	// TrustedProxies are the addresses that the load balancer connects from. A request
	// from elsewhere is refused, whatever stands in it.
	TrustedProxies []netip.Prefix
	// AnyProxy believes the header whoever sends it. It is for programs that only the
	// load balancer can reach, and must be set for want of TrustedProxies.
	AnyProxy bool
	// Optional lets requests without a certificate pass, without a client in their
	// context. One that is refused, or cannot be read, is refused all the same.
	Optional bool
	// Refuse answers a request that is refused; nil: 403 with a body that does not tell
	// why. The verdict is for the log.
	Refuse func(w http.ResponseWriter, r *http.Request, why *trust.Verdict)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// check reports what a Config lacks.
func (c *Config) check() error {
	switch {
	case c.Source.read == nil:
		return errors.New("clientcert: no Source: use clientcert.ALB() or another")
	case c.Store == nil:
		return errors.New("clientcert: no Store")
	case len(c.TrustedProxies) == 0 && !c.AnyProxy:
		return errors.New("clientcert: no TrustedProxies: name the load balancer's addresses, or set AnyProxy if nobody else can reach this program")
	}
	return c.Policy.Check()
}

// NewMiddleware returns what guards a handler: requests whose client the store accepts go
// on, with the verdict in their context ([From]); others are refused. The error says
// what the Config lacks. What it returns is safe for concurrent use.
func NewMiddleware(c Config) (func(http.Handler) http.Handler, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Refuse == nil {
		c.Refuse = forbid
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v := c.judge(r)
			switch {
			case v == nil:
				next.ServeHTTP(w, r)
			case v.Accepted:
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, v)))
			default:
				c.Refuse(w, r, v)
			}
		})
	}, nil
}

// forbid tells the client nothing that it does not know.
func forbid(w http.ResponseWriter, _ *http.Request, _ *trust.Verdict) {
	http.Error(w, "client certificate refused", http.StatusForbidden)
}

// judge returns the verdict on the client of a request; nil if it has no certificate and
// needs none.
func (c *Config) judge(r *http.Request) *trust.Verdict {
	if !c.AnyProxy && !c.fromProxy(r.RemoteAddr) {
		return &trust.Verdict{Reason: trust.UnmappedConnectionError, Index: -1,
			Detail: "the request does not come from a trusted proxy, so that its headers prove nothing"}
	}
	chain, err := c.Source.Chain(r.Header)
	switch {
	case errors.Is(err, ErrAbsent) && c.Optional:
		return nil
	case errors.Is(err, ErrAbsent):
		return trust.RefuseMissing()
	case err != nil:
		return &trust.Verdict{Reason: trust.ClientCertInvalid, Index: -1, Detail: err.Error()}
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	return c.Store.Verify(chain, c.Policy, now())
}

// fromProxy reports whether an address, as net/http has it, is that of a trusted proxy.
// IPv4 addresses within IPv6 count as IPv4; zones do not count.
func (c *Config) fromProxy(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	address := at.Addr().Unmap().WithZone("")
	for _, p := range c.TrustedProxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

type key struct{}

// From returns the verdict on the client of the request whose context it is: accepted,
// with its Identity and its verified Chain. There is none if the middleware let a request
// without a certificate pass, or was not there.
func From(ctx context.Context) (*trust.Verdict, bool) {
	v, ok := ctx.Value(key{}).(*trust.Verdict)
	return v, ok
}
