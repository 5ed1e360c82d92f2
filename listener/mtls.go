package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/trust"
)

// Mode is what a listener does about client certificates (ALB, "Mutual
// authentication with TLS", MutualAuthentication.Mode).
type Mode string

const (
	ModeOff         Mode = "off"         // asks for none
	ModePassthrough Mode = "passthrough" // asks for one, checks nothing, forwards the chain
	ModeVerify      Mode = "verify"      // the trust store decides
)

// Refusal is what a client sees when verify mode refuses it.
type Refusal string

const (
	// RefuseReset is ALB's way: no TLS alert, no HTTP answer, a TCP reset.
	RefuseReset Refusal = "reset"
	// RefuseAlert sends a TLS alert and closes.
	RefuseAlert Refusal = "alert"
	// RefuseForbidden is API Gateway's way: the handshake completes, and every
	// request is answered with 403.
	RefuseForbidden Refusal = "forbidden"
)

// maxPresentedBytes bounds the certificates of one client in every mode, in
// bytes of DER (ALB, "Quotas": TLS message size 64 K).
const maxPresentedBytes = 64 << 10

// MutualAuthentication is a listener's setting for client certificates. The zero
// value is ModeOff.
type MutualAuthentication struct {
	Mode  Mode
	Store *trust.Store // verify only
	// Trust is how the store decides: depth, expiry, identity filters.
	Trust *trust.Policy
	// AdvertisedCAs are named in the CertificateRequest; empty: no names are sent.
	AdvertisedCAs []*x509.Certificate
	OnRefusal     Refusal // default RefuseReset
	// Optional also lets in clients that present no certificate; AllowInvalid those
	// whose certificate is refused, too. Neither has an identity for the targets.
	Optional, AllowInvalid bool
	// NoSessionResumption never issues a ticket, as ALB under mutual TLS.
	NoSessionResumption bool
	// Seen is told of each client that was accepted by the store; nil: nobody is.
	Seen ClientRecorder
}

// A ClientRecorder is told of clients once they have proved that the certificate is
// theirs. It is called at every connection, so it must not wait, and keeps
// references to nothing that it was given but certificates of CAs.
type ClientRecorder interface {
	Accepted(v *trust.Verdict, presented []*x509.Certificate, now time.Time)
}

// A basis is what a verdict rests on besides the certificates and the clock. Two
// verdicts with the same basis cannot differ because of a reload.
type basis struct {
	snapshot    *trust.Snapshot
	revocations *crl.Set
	rules       *trust.RevocationPolicy
	changes     uint64 // of what responders say
}

func (m *MutualAuthentication) basis() basis {
	if m.Store == nil {
		return basis{}
	}
	return basis{m.Store.Snapshot(), m.Store.Revocations(), m.Store.RevocationPolicy(), m.Store.Changes()}
}

// refusedError ends a handshake. Its text goes to the log, never to the client.
type refusedError struct{ verdict *trust.Verdict }

func (e *refusedError) Error() string {
	return fmt.Sprintf("client certificate refused: %s: %s", e.verdict.Reason, e.verdict.Detail)
}

// decide is the VerifyConnection hook of one connection: the only hook of
// crypto/tls that also runs when a session is resumed, so that a new CRL, trust
// store or filter counts at once. It only asks the trust store; a refusal in
// mode forbidden lets the handshake complete and is answered in HTTP.
func (c *conn) decide(cs tls.ConnectionState) error {
	c.presented = cs.PeerCertificates
	m := &c.policy.mtls
	c.basis = m.basis()
	switch m.Mode {
	case ModePassthrough:
		return c.decidePassthrough(cs)
	case ModeVerify:
		c.verdict = m.Store.Verify(cs.PeerCertificates, m.Trust, c.policy.now())
		if c.verdict.Accepted {
			c.expires.Store(m.deadline(c.verdict))
			c.presented = c.shareChain(cs)
			return nil
		}
		if m.OnRefusal == RefuseForbidden || m.tolerates(c.verdict, c.hasCertificate()) {
			return nil
		}
		c.muted = m.OnRefusal == RefuseReset
		return &refusedError{c.verdict}
	}
	return nil
}

// shareChain lets go of the certificates that crypto/tls parsed for this connection,
// some 5 KB that it would keep as long as the connection lives: it puts equal ones,
// which all connections of the client share, into the slice that the *tls.Conn
// itself holds. Nobody else can see that slice before the handshake is over.
func (c *conn) shareChain(cs tls.ConnectionState) []*x509.Certificate {
	shared := c.verdict.Share(cs.PeerCertificates, cs.DidResume)
	copy(cs.PeerCertificates, shared)
	return shared
}

func (c *conn) decidePassthrough(cs tls.ConnectionState) error {
	size := 0
	for _, cert := range cs.PeerCertificates {
		size += len(cert.Raw)
	}
	if size > maxPresentedBytes {
		return &refusedError{&trust.Verdict{
			Reason: trust.ClientCertMaxSizeExceeded,
			Detail: fmt.Sprintf("the client sent %d bytes of certificates, the limit is %d", size, maxPresentedBytes),
		}}
	}
	if len(cs.PeerCertificates) > 0 {
		c.chain = trust.EncodeChain(cs.PeerCertificates)
	}
	return nil
}

// deadline returns when v, an acceptance by the store, must be asked for again, as Unix
// time: the clock alone ends it then. 0 if it never does.
func (m *MutualAuthentication) deadline(v *trust.Verdict) int64 {
	end := m.Store.Deadline(v, m.Trust)
	if end.IsZero() {
		return 0
	}
	return end.Unix()
}

// again is what was decided anew about one client, for all its connections.
type again struct{ verdict *trust.Verdict }

func (a *again) decide(p *Policy, c *conn) *trust.Verdict {
	if a.verdict == nil {
		a.verdict = p.mtls.Store.Reaffirm(c.verdict, c.presented, p.mtls.Trust, p.now())
	}
	return a.verdict
}

// recheck decides again about the client of an open connection. Nil means that
// it may stay.
func (p *Policy) recheck(c *conn, known *again) *trust.Verdict {
	if p.outdates(c) {
		return &trust.Verdict{Detail: fmt.Sprintf("it was made by %s in mode %s, and the listener now speaks %s in mode %s",
			c.policy.protocol, c.policy.mtls.Mode, p.protocol, p.mtls.Mode)}
	}
	if p.mtls.Mode != ModeVerify {
		return nil
	}
	if v := c.judged(); !v.Accepted {
		return p.recheckRefused(c, v)
	}
	verdict := known.decide(p, c)
	switch {
	case verdict.Accepted:
		c.expires.Store(p.mtls.deadline(verdict))
		return nil
	case verdict.Busy:
		// A flood of strangers must not cost a known client its connection. The look
		// at expired chains, a second from now, asks again.
		c.expires.Store(p.now().Unix() - 1)
		return nil
	case p.mtls.AllowInvalid && c.revise(verdict):
		return nil
	}
	return verdict
}

// outdates reports whether c was made under a mode that is not p's. What is known
// of its client, if anything, is then not what p promises to the targets.
func (p *Policy) outdates(c *conn) bool {
	return p.protocol != c.policy.protocol || p.mtls.Mode != c.policy.mtls.Mode
}

// handshakeReasons maps what crypto/tls says of a client certificate that it
// refuses by itself, before any hook runs, to ALB's reason codes. The texts are
// crypto/tls's own; a test holds them against the toolchain in use.
var handshakeReasons = []struct {
	text   string
	reason trust.Reason
}{
	{"failed to parse client certificate", trust.ClientCertInvalid},
	{"client certificate contains an unsupported public key", trust.ClientCertTypeUnsupported},
	{"client sent certificate containing RSA key larger", trust.ClientCertIncompatible},
	{"client certificate used with invalid signature algorithm", trust.ClientCertIncompatible},
	{"handshake message of length", trust.ClientCertMaxSizeExceeded},
}

// missingText is what crypto/tls says of a client without a certificate.
const missingText = "client didn't provide a certificate"

// handshakeReason names the reason for which a handshake failed.
func handshakeReason(err error) trust.Reason {
	text := err.Error()
	for _, h := range handshakeReasons {
		if strings.Contains(text, h.text) {
			return h.reason
		}
	}
	return trust.UnmappedConnectionError
}
