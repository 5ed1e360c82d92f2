package lb

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/trust"
)

const (
	// expiryLook is how often certificates and revocation lists are compared with the
	// clock, for the log.
	expiryLook = time.Minute
	// expiryRepeat is how often the log repeats what has not been mended.
	expiryRepeat = 24 * time.Hour
	// maxExpiryLines bounds the lines of one look; the rest are counted.
	maxExpiryLines = 20
)

// A dated thing ends at a time: a certificate or a revocation list.
type dated struct {
	key  [sha256.Size]byte
	code string // how near the end is; empty: not near
	what string // for the log
	args []any
}

// An expiryLog tells once when a thing comes nearer to its end, and then daily. A
// thing that it has not seen before was told of when it was read. It is not safe for
// concurrent use.
type expiryLog struct {
	logger *slog.Logger
	said   map[[sha256.Size]byte]said
}

type said struct {
	code string
	at   time.Time
}

// tellExpiry looks at what expires until ctx ends.
func (b *LoadBalancer) tellExpiry(ctx context.Context) {
	told := &expiryLog{logger: b.logger}
	tick := time.NewTicker(expiryLook)
	defer tick.Stop()
	for {
		now := b.now()
		told.look(b.dated(now), now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look tells what is to be told of things, which are all that there are.
func (e *expiryLog) look(things []dated, now time.Time) {
	next := make(map[[sha256.Size]byte]said, len(things))
	lines, more := 0, 0
	for _, t := range things {
		before, known := e.said[t.key]
		now := said{t.code, now}
		tell := known && t.code != "" && (t.code != before.code || now.at.Sub(before.at) >= expiryRepeat)
		if known && !tell && t.code == before.code {
			now.at = before.at
		}
		next[t.key] = now
		switch {
		case !tell:
		case lines == maxExpiryLines:
			more++
		default:
			lines++
			e.logger.Log(context.Background(), expiryLevel(t.code), t.what, append([]any{"code", t.code}, t.args...)...)
		}
	}
	if more > 0 {
		e.logger.Warn("more certificates and revocation lists have expired or will soon: see the metrics", "count", more)
	}
	e.said = next
}

func expiryLevel(code string) slog.Level {
	if code == string(trust.WarnExpired) {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// dated lists everything that ends.
func (b *LoadBalancer) dated(now time.Time) []dated {
	var out []dated
	for name, s := range b.runtime.storeStates() {
		for _, c := range s.material.bundle.Certificates {
			out = append(out, datedCertificate("trust_store", name, c, now))
		}
		out = append(out, datedLists(name, s.material.set, now)...)
	}
	for name, certificates := range b.runtime.servedCertificates() {
		for _, c := range certificates {
			out = append(out, datedCertificate("listener", name, c, now))
		}
	}
	return out
}

// datedCertificate is a certificate of the trust store or the listener of that name.
func datedCertificate(kind, name string, c *x509.Certificate, now time.Time) dated {
	out := dated{key: thing(kind, name, string(c.Raw)), code: string(trust.ExpiryWarning(c, now))}
	if out.code != "" {
		id := trust.NewIdentity(c)
		out.what = map[string]string{"trust_store": "expiry of a CA certificate", "listener": "expiry of a server certificate"}[kind]
		out.args = []any{kind, name, "subject", id.Subject, "serial_number", id.Serial, "not_after", c.NotAfter.UTC()}
	}
	return out
}

func datedLists(store string, set *crl.Set, now time.Time) []dated {
	near := make(map[string]string)
	for _, w := range set.Warnings(now) {
		if w.Kind == crl.Expired || w.Kind == crl.Due {
			near[w.Source] = string(w.Kind)
		}
	}
	var out []dated
	for _, l := range set.Lists() {
		out = append(out, dated{
			key: thing("crl", store, l.Name, l.ThisUpdate.String(), fmt.Sprint(l.Number)), code: near[l.Name], what: "expiry of a revocation list",
			args: []any{"trust_store", store, "list", l.Name, "issuer", l.Issuer, "next_update", l.NextUpdate},
		})
	}
	return out
}

// thing makes a key of parts, which hold no NUL but for the last.
func thing(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(nil))
}
