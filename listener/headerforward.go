package listener

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/http1"
	"github.com/postern-lb/postern/trust"
)

// This file is about the headers on client certificates that ALB does not have. They
// are sent beside ALB's, if the listener asks for them, and taken from clients always.

// A ForwardedHeader is a kind of header beyond ALB's that a listener may send.
type ForwardedHeader string

// The kinds. All but the verdict say who the client is, which only mode verify knows.
const (
	ForwardClientCert      ForwardedHeader = "client_cert"       // RFC 9440, the certificate
	ForwardClientCertChain ForwardedHeader = "client_cert_chain" // RFC 9440, its intermediates
	ForwardXFCC            ForwardedHeader = "xfcc"              // Envoy's X-Forwarded-Client-Cert
	ForwardVerdict         ForwardedHeader = "verdict"           // what was decided, and why
	ForwardFingerprint     ForwardedHeader = "fingerprint"       // SHA-256 of the certificate
	ForwardSPIFFEID        ForwardedHeader = "spiffe_id"
)

// The names of these headers. They cannot be changed.
const (
	headerClientCert      = "Client-Cert"
	headerClientCertChain = "Client-Cert-Chain"
	headerXFCC            = "X-Forwarded-Client-Cert"
	headerVerdict         = "X-Postern-Clientcert-Verdict"
	headerReason          = "X-Postern-Clientcert-Reason"
	headerFingerprint     = "X-Postern-Clientcert-Sha256"
	headerSPIFFEID        = "X-Postern-Clientcert-Spiffe-Id"
	headerOverflow        = "X-Postern-Clientcert-Overflow"
)

// identityPrefixPostern begins all names of Postern's own, those to come as well.
const identityPrefixPostern = "x-postern-clientcert"

const foldedXFCC = "x-forwarded-client-cert"

// isForwardedName reports whether a folded name is one of these headers'.
func isForwardedName(folded string) bool {
	return isClientCertName(folded) || folded == foldedXFCC || foldedPrefix(folded, identityPrefixPostern)
}

// isClientCertName reports whether name folds to one of RFC 9440's.
func isClientCertName(name string) bool {
	return foldedEqual(name, "client-cert") || foldedEqual(name, "client-cert-chain")
}

// MaxForwardedHeader is the size, from which on none of these headers is sent, name
// included. It is what ALB takes of a header from clients; targets seldom take more.
const MaxForwardedHeader = MaxRequestHeader

// The values of X-Postern-Clientcert-Verdict.
const (
	verdictAccepted  = "accepted"
	verdictRefused   = "refused"   // the reason is in a header of its own
	verdictAbsent    = "absent"    // the client presented no certificate
	verdictUnchecked = "unchecked" // mode passthrough
)

// Evidence is what the headers beyond ALB's are made of.
type Evidence struct {
	Verdict string       // accepted, refused, absent or unchecked
	Reason  trust.Reason // of a refusal
	// Path is the verified path, leaf first and trust store certificate last; empty
	// unless accepted.
	Path []*x509.Certificate
}

// equal compares by the bytes of certificates. Those of a client that comes back are
// mostly one in memory.
func (e *Evidence) equal(other *Evidence) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.Verdict == other.Verdict && e.Reason == other.Reason &&
		slices.EqualFunc(e.Path, other.Path, func(a, b *x509.Certificate) bool { return a == b || a.Equal(b) })
}

// evidence is what is known of a connection under a verdict, for a policy that sends
// headers of it; nil for others.
func (c *conn) evidence(p *HeaderPolicy, verdict *trust.Verdict) *Evidence {
	switch {
	case len(p.forward) == 0 || c.policy.mtls.Mode == ModeOff:
		return nil
	case verdict != nil && verdict.Accepted:
		return &Evidence{Verdict: verdictAccepted, Path: verdict.Chain}
	case len(c.presented) == 0:
		return &Evidence{Verdict: verdictAbsent}
	case verdict != nil:
		return &Evidence{Verdict: verdictRefused, Reason: verdict.Reason}
	}
	return &Evidence{Verdict: verdictUnchecked}
}

// setForward checks which headers are asked for.
func (p *HeaderPolicy) setForward(faults *fault.List, kinds []ForwardedHeader) {
	for i, kind := range kinds {
		path := fault.Index("mutual_authentication.forward_headers", i)
		switch kind {
		case ForwardClientCert, ForwardClientCertChain, ForwardXFCC, ForwardVerdict, ForwardFingerprint, ForwardSPIFFEID:
		default:
			faults.Add(path, "is %q: choose client_cert, client_cert_chain, xfcc, verdict, fingerprint or spiffe_id", string(kind))
			continue
		}
		if j := slices.Index(kinds, kind); j < i {
			faults.Add(path, "is %s a second time: leave it out", string(kind))
		}
	}
	if slices.Contains(kinds, ForwardClientCertChain) && !slices.Contains(kinds, ForwardClientCert) {
		faults.Add("mutual_authentication.forward_headers", "has client_cert_chain without client_cert, which RFC 9440 forbids: add client_cert")
	}
	p.forward = slices.Clone(kinds)
}

// checkForward refuses what a mode cannot back: a header in the form of a verified
// identity, about a certificate that nobody looked at.
func (p *HeaderPolicy) checkForward(faults *fault.List, mode Mode) {
	for i, kind := range p.forward {
		path := fault.Index("mutual_authentication.forward_headers", i)
		switch {
		case mode == ModeOff:
			faults.Add(path, "has no effect in mode off: set mode to verify, or leave it out")
		case mode == ModePassthrough && kind != ForwardVerdict:
			faults.Add(path, "%s would vouch for a certificate that mode passthrough does not check: set mode to verify, or leave it out", string(kind))
		}
	}
}

// addForwarded adds the headers that the listener asks for. One that would be too
// large is left out whole and named in X-Postern-Clientcert-Overflow.
func (p *HeaderPolicy) addForwarded(f *http1.Fields, e *Evidence) {
	if e == nil {
		return
	}
	var overflow []string
	add := func(name, value string) {
		switch {
		case value == "":
		case !fits(name, value):
			overflow = append(overflow, strings.ToLower(name))
		case visible(value) && isASCII(value):
			f.Add(name, value) // the names are in order
		}
	}
	for _, kind := range p.forward {
		if kind == ForwardVerdict {
			add(headerVerdict, e.Verdict)
			add(headerReason, string(e.Reason))
			continue
		}
		if e.Verdict != verdictAccepted || len(e.Path) == 0 {
			continue
		}
		name, value := identityHeader(kind, e.Path)
		if kind == ForwardClientCertChain && value != "" && !fits(headerClientCert, byteSequences(e.Path[:1])) {
			// Never without the certificate itself (RFC 9440, section 2.3).
			overflow = append(overflow, strings.ToLower(name))
			continue
		}
		add(name, value)
	}
	add(headerOverflow, strings.Join(overflow, ", "))
}

func fits(name, value string) bool { return headerLineBytes(name, value) < MaxForwardedHeader }

// identityHeader returns one header about an accepted client; the value is empty if
// there is nothing to say.
func identityHeader(kind ForwardedHeader, path []*x509.Certificate) (name, value string) {
	switch kind {
	case ForwardClientCert:
		return headerClientCert, byteSequences(path[:1])
	case ForwardClientCertChain:
		return headerClientCertChain, byteSequences(intermediates(path))
	case ForwardXFCC:
		return headerXFCC, xfcc(path)
	case ForwardFingerprint:
		return headerFingerprint, fingerprint(path[0])
	case ForwardSPIFFEID:
		return headerSPIFFEID, trust.SPIFFEID(path[0])
	}
	panic(fmt.Sprintf("listener: no header for %q", kind))
}

// intermediates returns a path without the leaf and the trust store's certificate,
// which targets that care have themselves (RFC 9440, section 2.3).
func intermediates(path []*x509.Certificate) []*x509.Certificate {
	if len(path) < 3 {
		return nil
	}
	return path[1 : len(path)-1]
}
