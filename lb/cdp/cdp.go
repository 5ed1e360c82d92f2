// Package cdp fetches the revocation lists that certificates name as their CRL
// distribution points (RFC 5280, 4.2.1.13). A [Checker] is a trust.Responder. Start from
// [New], and keep [Checker.Run] going.
//
// No handshake waits for a list: the first client that names a point starts the fetching,
// and is judged without. A list counts for the CA that issued the certificate which names
// it, if that CA signed it; the CA need not be in the bundle. Partitions and scopes are
// heeded as those of any list.
package cdp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/outbound"
	"github.com/postern-lb/postern/trust"
)

// Limits and defaults.
const (
	DefaultTimeout = 30 * time.Second
	DefaultRefresh = time.Hour
	DefaultMaxSize = 32 << 20

	// MaxURLs is how many points of one certificate are heeded.
	MaxURLs = 4
	// MaxPoints is how many points, of all certificates, are followed.
	MaxPoints = 1000
	// MaxFetches is how many lists are fetched at one time.
	MaxFetches = 4
	// maxIssuers is how many CAs may name one point.
	maxIssuers = 4
	// firstRetry is the pause after a failure; it doubles up to the refresh interval.
	firstRetry = 10 * time.Second
	// forgetTime is how long a point is kept up that no client names any more.
	forgetTime = 7 * 24 * time.Hour
)

// Config says where lists may be fetched from, and how.
type Config struct {
	// AllowedHosts are the hosts that certificates may name: HOST for the usual ports, or
	// HOST:PORT. Required.
	AllowedHosts []string
	// Timeout bounds one fetch, Refresh is the time between two; 0 means the defaults.
	Timeout, Refresh time.Duration
	// MaxSize is the largest list, in bytes; 0 means the default.
	MaxSize int64
	// Folder keeps the last good lists; empty: nothing does.
	Folder string
	// Changed is called after a list was replaced.
	Changed func()
	// Count counts fetches by result: replaced, same, failed.
	Count  func(result string)
	Logger *slog.Logger
	Now    func() time.Time
}

// A Checker follows distribution points. It is safe for concurrent use.
type Checker struct {
	Config
	hosts  *outbound.Hosts
	client *http.Client
	turns  *semaphore.Weighted

	mu     sync.RWMutex
	points map[string][]*point // by URL
	count  int
	full   bool // told the log
}

// A point is one address as the source of one CA's list.
type point struct {
	url    string
	issuer *x509.Certificate
	denied bool // its host is not on the list
	set    atomic.Pointer[crl.Set]
	used   atomic.Int64 // Unix time

	// Owned by who holds busy.
	busy     sync.Mutex
	list     *crl.List
	failures int
	due      atomic.Int64 // Unix time
}

// New checks a Config. The error says what is wrong with it.
func New(c Config) (*Checker, error) {
	if len(c.AllowedHosts) == 0 {
		return nil, errors.New("names no hosts that lists may be fetched from: list allowed_hosts")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	hosts, err := outbound.NewHosts(c.AllowedHosts)
	if err != nil {
		return nil, err
	}
	return &Checker{
		Config: c, hosts: hosts, client: hosts.Client(c.Timeout), turns: semaphore.NewWeighted(MaxFetches),
		points: make(map[string][]*point),
	}, nil
}

// Check implements trust.Responder. It never waits, and a list that is not there does not
// matter: what its absence means is for the revocation policy to say.
func (c *Checker) Check(q trust.Query) trust.Answer {
	var out trust.Answer
	urls := q.Cert.CRLDistributionPoints
	for _, url := range urls[:min(len(urls), MaxURLs)] {
		p := c.find(url, q.Issuer)
		if p == nil {
			c.follow(url, q.Issuer)
			continue
		}
		switch a := p.says(q, c.Now()); a.Status {
		case trust.AnswerRevoked:
			return a
		case trust.AnswerGood:
			out = a
		}
	}
	return out
}

// says is what the list of a point says of a certificate.
func (p *point) says(q trust.Query, now time.Time) trust.Answer {
	if second := now.Unix(); p.used.Load() != second {
		p.used.Store(second)
	}
	r := p.set.Load().Status(q.Cert, q.Issuer)
	switch {
	case r.Status == crl.Revoked:
		return trust.Answer{Status: trust.AnswerRevoked, Reason: r.Reason,
			Detail: "the list at " + p.url + " of " + r.List.ThisUpdate().Format(time.RFC3339)}
	case r.Status == crl.Good && (r.FreshUntil.IsZero() || !now.After(r.FreshUntil)):
		return trust.Answer{Status: trust.AnswerGood}
	}
	return trust.Answer{}
}

func (c *Checker) find(url string, issuer *x509.Certificate) *point {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.points[url] {
		if p.denied || sameCA(p.issuer, issuer) {
			return p
		}
	}
	return nil
}

func sameCA(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) && bytes.Equal(a.RawSubject, b.RawSubject)
}

// follow begins to fetch a list, if that is allowed and there is room.
func (c *Checker) follow(url string, issuer *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.points[url] {
		if p.denied || sameCA(p.issuer, issuer) {
			return
		}
	}
	if c.count >= MaxPoints || len(c.points[url]) >= maxIssuers {
		if !c.full {
			c.Logger.Warn("certificates name more CRL distribution points than are followed", "at_most", MaxPoints, "one_more", url)
		}
		c.full = true
		return
	}
	p := &point{url: url, issuer: issuer, denied: !c.hosts.Allows(url)}
	p.used.Store(c.Now().Unix())
	c.points[url] = append(c.points[url], p)
	c.count++
	if p.denied {
		c.Logger.Warn("a certificate names a CRL distribution point whose host is not in allowed_hosts", "url", cut(url))
		return
	}
	go c.start(p)
}

// cut shortens text of a certificate for the log.
func cut(s string) string { return s[:min(len(s), 200)] }

// Lists returns how many lists there are.
func (c *Checker) Lists() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := 0
	for _, points := range c.points {
		for _, p := range points {
			if p.set.Load() != nil {
				n++
			}
		}
	}
	return n
}

// older reports whether a list was issued before another: by number or else by thisUpdate.
// Whoever is in the way could otherwise take revocations back with a list of last week.
func older(list, than *crl.List) bool {
	if a, b := list.Number(), than.Number(); a != nil && b != nil {
		return a.Cmp(b) < 0
	}
	return list.ThisUpdate().Before(than.ThisUpdate())
}

// same reports whether a list is the one that is known.
func same(list, known *crl.List) bool {
	return list.ThisUpdate().Equal(known.ThisUpdate()) && number(list).Cmp(number(known)) == 0 && list.Len() == known.Len()
}

func number(l *crl.List) *big.Int {
	if n := l.Number(); n != nil {
		return n
	}
	return new(big.Int)
}
