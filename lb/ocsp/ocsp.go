// Package ocsp asks OCSP responders (RFC 6960) whether client certificates are revoked. A
// [Checker] is a trust.Responder. Start from [New], and keep [Checker.Run] going.
//
// Requests carry no nonce, so that responders may answer from what they have signed in
// advance (RFC 5019). An answer counts if the issuer of the certificate signed it, or a
// responder that the issuer certified for this (id-kp-OCSPSigning), if it is about this
// very issuer and serial number, and if its time has not passed. It is remembered until
// then, for an hour at most unless told otherwise, and asked for again before, as long as
// somebody wants to know.
package ocsp

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"log/slog"

	"github.com/postern-lb/postern/internal/outbound"
	"github.com/postern-lb/postern/trust"
)

// Limits and defaults.
const (
	DefaultTimeout      = 2 * time.Second
	DefaultRefresh      = time.Hour
	DefaultCacheEntries = 10_000

	// MaxResponse is the largest answer that is read, in bytes.
	MaxResponse = 64 << 10
	// MaxQueries is how many responders are asked at one time.
	MaxQueries = 64
	// MaxURLs is how many of the responders that a certificate names are tried.
	MaxURLs = 2
	// failureTime is how long nobody is asked again about a certificate after a failure.
	failureTime = 10 * time.Second
	// retryTime is how much longer it takes until somebody asks though no client does.
	retryTime = 50 * time.Second
	// endlessTime is how old an answer without nextUpdate may be: without a nonce, somebody
	// could have kept it.
	endlessTime = 10 * time.Minute
	// clockSkew is how far in the future an answer may begin.
	clockSkew = 5 * time.Minute
	// forgetTime is how long an answer is kept fresh that nobody asked for.
	forgetTime = 24 * time.Hour
)

// Config says whom to ask, and what to make of silence.
type Config struct {
	// Hard refuses clients of whom no responder says that they are good, and makes a
	// handshake wait for it. Otherwise only an answer that says revoked matters, and
	// nobody waits: the connection of a client is closed when it comes.
	Hard bool
	// Responder is asked in place of those that clients' own certificates name.
	Responder string
	// AllowedHosts are the hosts that certificates may name: HOST for the usual ports, or
	// HOST:PORT. That of Responder is among them.
	AllowedHosts []string
	// Timeout bounds one query and what a handshake waits, Refresh the time for which an
	// answer counts; 0 means the defaults.
	Timeout, Refresh time.Duration
	// CacheEntries bounds how many certificates are remembered; 0 means the default.
	CacheEntries int
	// Revoked is called, from a goroutine of its own, after a responder said revoked of a
	// certificate of which it was not known.
	Revoked func()
	// Count counts queries by result: good, revoked, unknown, failed.
	Count  func(result string)
	Logger *slog.Logger
	Now    func() time.Time
}

// A Checker asks responders and remembers what they say. It is safe for concurrent use.
type Checker struct {
	Config
	client  *http.Client
	hosts   *outbound.Hosts
	cache   cache
	flights singleflight.Group
	turns   *semaphore.Weighted
}

// New checks a Config. The error says what is wrong with it.
func New(c Config) (*Checker, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = DefaultCacheEntries
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	checker := &Checker{Config: c, turns: semaphore.NewWeighted(MaxQueries)}
	checker.cache.limit = c.CacheEntries
	allowed := c.AllowedHosts
	if c.Responder != "" {
		u, err := url.Parse(c.Responder)
		if err != nil || !outbound.SpeaksHTTP(u) {
			return nil, fmt.Errorf("%q is not the address of a responder: write http://HOST/ or https://HOST/", c.Responder)
		}
		allowed = append(slices.Clone(allowed), u.Host)
	} else if len(allowed) == 0 {
		return nil, errors.New("names nobody to ask: list allowed_hosts, or set responder")
	}
	var err error
	if checker.hosts, err = outbound.NewHosts(allowed); err != nil {
		return nil, err
	}
	checker.client = checker.hosts.Client(c.Timeout)
	return checker, nil
}

// responders returns the addresses to ask about a certificate. That of the config speaks
// for what clients present themselves: their CAs are another CA's business.
func (c *Checker) responders(cert *x509.Certificate, leaf bool) []string {
	if c.Responder != "" && leaf {
		return []string{c.Responder}
	}
	var out []string
	for _, text := range cert.OCSPServer {
		if len(out) < MaxURLs && c.hosts.Allows(text) {
			out = append(out, text)
		}
	}
	return out
}

// answered takes in what a responder sent, or says why it does not count.
func (c *Checker) answered(body []byte, request *ocsp.Request, k *known) error {
	r, err := ocsp.ParseResponseForCert(body, k.cert, nil)
	if err != nil {
		return fmt.Errorf("the answer does not count: %w", err)
	}
	now := c.Now()
	if err := mayAnswer(r, k.issuer, now); err != nil {
		return err
	}
	if !aboutThis(r.TBSResponseData, request) {
		return errors.New("the answer is about another issuer")
	}
	switch {
	case r.ThisUpdate.After(now.Add(clockSkew)):
		return errors.New("the answer is dated in the future")
	case r.NextUpdate.IsZero() && now.Sub(r.ThisUpdate) > endlessTime:
		return fmt.Errorf("the answer has no end and is of %s", r.ThisUpdate.UTC().Format(time.RFC3339))
	case !r.NextUpdate.IsZero() && now.After(r.NextUpdate):
		return fmt.Errorf("the answer ended at %s", r.NextUpdate.UTC().Format(time.RFC3339))
	}
	k.issued, k.until = r.ThisUpdate, now.Add(c.Refresh)
	if !r.NextUpdate.IsZero() && r.NextUpdate.Before(k.until) {
		k.until = r.NextUpdate
	}
	switch r.Status {
	case ocsp.Good:
		k.answer = trust.Answer{Status: trust.AnswerGood}
	case ocsp.Revoked:
		k.answer = trust.Answer{Status: trust.AnswerRevoked, Reason: reasonCode(r.RevocationReason),
			Detail: "its OCSP responder since " + r.RevokedAt.UTC().Format(time.RFC3339)}
	default:
		return errNotKnown
	}
	return nil
}

var errNotKnown = errors.New("the responder does not know the certificate")

// mayAnswer checks who signed: the issuer, or whom it certified for that (RFC 6960,
// 4.2.2.2). A certificate in the response has been checked to have signed it, but not for
// whose it is: it may be the issuer's own, too.
func mayAnswer(r *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	delegate := r.Certificate
	if delegate == nil || bytes.Equal(delegate.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		if err := r.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("the issuer did not sign the answer: %w", err)
		}
		return nil
	}
	if err := delegate.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("the issuer did not certify who signed the answer: %w", err)
	}
	if now.Before(delegate.NotBefore) || now.After(delegate.NotAfter) {
		return errors.New("the responder's certificate has ended, or not begun")
	}
	if !slices.Contains(delegate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return errors.New("the certificate that signed the answer is not for that: it lacks id-kp-OCSPSigning")
	}
	return nil
}

// aboutThis reports whether every answer in a response that has the serial number is about
// the issuer that was asked about. A delegate may answer for several, with serial
// numbers of their own.
func aboutThis(tbs []byte, request *ocsp.Request) bool {
	data := cryptobyte.String(tbs)
	var responses cryptobyte.String
	if !data.ReadASN1(&data, asn1.SEQUENCE) || !data.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) {
		return false
	}
	var who cryptobyte.String
	var tag asn1.Tag
	if !data.ReadAnyASN1(&who, &tag) || !data.SkipASN1(asn1.GeneralizedTime) || !data.ReadASN1(&responses, asn1.SEQUENCE) {
		return false
	}
	found := false
	for !responses.Empty() {
		var single, id, name, key, serial cryptobyte.String
		if !responses.ReadASN1(&single, asn1.SEQUENCE) || !single.ReadASN1(&id, asn1.SEQUENCE) || !id.SkipASN1(asn1.SEQUENCE) ||
			!id.ReadASN1(&name, asn1.OCTET_STRING) || !id.ReadASN1(&key, asn1.OCTET_STRING) || !id.ReadASN1(&serial, asn1.INTEGER) {
			return false
		}
		if !bytes.Equal(serial, serialContent(request)) {
			continue
		}
		if !bytes.Equal(name, request.IssuerNameHash) || !bytes.Equal(key, request.IssuerKeyHash) {
			return false
		}
		found = true
	}
	return found
}

// serialContent is the serial number asked about, as DER has its content.
func serialContent(request *ocsp.Request) []byte {
	var b cryptobyte.Builder
	b.AddASN1BigInt(request.SerialNumber)
	out := cryptobyte.String(b.BytesOrPanic())
	var content cryptobyte.String
	out.ReadASN1(&content, asn1.INTEGER)
	return content
}

// keyOf is how a certificate is remembered. Its signature is part of it, and with that its
// issuer.
func keyOf(cert *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(cert.Raw) }
