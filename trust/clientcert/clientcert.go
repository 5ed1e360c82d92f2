// Package clientcert is for programs behind a load balancer that hands client
// certificates on in a header: behind ALB in passthrough mode, Postern, nginx, HAProxy,
// Envoy, Traefik and others. It reads the header, however mangled on the way, verifies
// the certificates against a trust store, and tells the program who the client is.
//
// Start from [NewMiddleware], which guards an http.Handler, or from [Source.Chain],
// which only reads.
//
//	guard, err := clientcert.NewMiddleware(clientcert.Config{
//		Source:         clientcert.ALB(),
//		Store:          store, // *trust.Store
//		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
//	})
//	http.Handle("/", guard(handler)) // in which clientcert.From(r.Context()) is the client
//
// # What a header proves
//
// A certificate is public. Whoever can reach the program past the load balancer can send
// anybody's in a header. The proof that the client holds the key was given to the load
// balancer, in TLS, and only the network can say that a request came from there:
// security groups, a private subnet, mutual TLS behind the load balancer. The
// middleware wants the addresses of the load balancer for that reason. It cannot replace
// a network in which addresses are forged.
//
// Choose the one header that your load balancer sets and that it removes from what
// clients send. A second source that it passes through, such as Client-Cert behind ALB,
// would let clients say who they are. So a [Source] reads exactly one header, or one
// pair, and refuses a request in which it stands twice.
//
// # Encodings
//
// ALB percent-encodes PEM and leaves "+", "=" and "/" as they are. A form decoder makes
// blanks of the pluses; frameworks decode twice, or once too little; proxies fold lines,
// and people put the value through JSON, shell variables and headers of their own. All
// of that can be undone, because DER says how long it is and a certificate that parses
// is a certificate: what is tried is bounded (see the Max constants), and what is left
// over that is neither certificate nor separator is an error.
//
// Nothing that this package repairs decides about trust. What comes out is verified by
// [trust.Store.Verify] like a certificate of a handshake.
package clientcert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-lb/postern/trust"
)

// Bounds on one request.
const (
	// MaxHeaderBytes is the longest value that is read: a chain of trust.MaxChainBytes in
	// base64, every character of it percent-encoded twice, would be longer; ALB itself
	// bounds a header to 16 KB and all of them to 64 KB.
	MaxHeaderBytes = 256 << 10
	// MaxCertificates is how many certificates a chain may have.
	MaxCertificates = trust.LargestMaxDepth
	// MaxDecodings is how many layers of percent encoding are undone.
	MaxDecodings = 3
)

// ErrAbsent says that the request has no certificate: the client presented none, or the
// header is empty.
var ErrAbsent = errors.New("the request carries no client certificate")

// An Error says why a header cannot be read. It quotes nothing of it.
type Error struct {
	Header  string
	Problem string
}

// Error returns the header's name and the problem.
func (e *Error) Error() string { return e.Header + ": " + e.Problem }

// A Source is the header, or the pair, that a load balancer sets. It is immutable and safe
// for concurrent use. The zero Source reads nothing; use the functions that return one.
type Source struct {
	leaf, rest string // names of headers; rest is empty if leaf holds the chain
	read       func(text string) ([]*x509.Certificate, error)
}

// ALB is X-Amzn-Mtls-Clientcert, the chain as ALB and Postern send it in passthrough mode
// (ALB, "Mutual authentication with TLS", passthrough).
func ALB() Source { return Header("X-Amzn-Mtls-Clientcert") }

// ALBLeaf is X-Amzn-Mtls-Clientcert-Leaf, the client's own certificate as ALB and Postern
// send it in verify mode. To verify it again the trust store must hold its issuer.
func ALBLeaf() Source { return Header("X-Amzn-Mtls-Clientcert-Leaf") }

// RFC9440 is Client-Cert and, if it is there, Client-Cert-Chain.
func RFC9440() Source {
	return Source{leaf: "Client-Cert", rest: "Client-Cert-Chain", read: decode}
}

// XFCC is Envoy's X-Forwarded-Client-Cert, with Cert or Chain in it. It must have exactly
// one element: behind several proxies that append to it, what the first ones say is
// hearsay.
func XFCC() Source { return Source{leaf: "X-Forwarded-Client-Cert", read: decodeXFCC} }

// Header is a header of any name with PEM or base64 of DER, one certificate or several,
// in any of the encodings above. It reads what nginx ($ssl_client_escaped_cert,
// $ssl_client_cert), HAProxy (%[ssl_c_der,base64]), Traefik (X-Forwarded-Tls-Client-Cert),
// Apache, Azure and Cloudflare send.
func Header(name string) Source { return Source{leaf: http.CanonicalHeaderKey(name), read: decode} }

// Chain returns the certificates of a request, leaf first, none of them verified. The error
// is [ErrAbsent] or an *[Error]. It is safe for concurrent use.
func (s Source) Chain(h http.Header) ([]*x509.Certificate, error) {
	chain, err := s.header(h, s.leaf)
	if err != nil || s.rest == "" {
		return chain, err
	}
	if len(chain) != 1 {
		return nil, &Error{s.leaf, fmt.Sprintf("holds %d certificates; it is one, and the others stand in %s", len(chain), s.rest)}
	}
	rest, err := s.header(h, s.rest)
	if err != nil && !errors.Is(err, ErrAbsent) {
		return nil, err
	}
	if len(rest) >= MaxCertificates {
		return nil, &Error{s.rest, fmt.Sprintf("holds more than %d certificates", MaxCertificates-1)}
	}
	return append(chain, rest...), nil
}

func (s Source) header(h http.Header, name string) ([]*x509.Certificate, error) {
	values := h[name]
	switch {
	case s.read == nil:
		return nil, &Error{"(no header)", "the source was not chosen: use clientcert.ALB() or another"}
	case len(values) == 0 || (len(values) == 1 && values[0] == ""):
		return nil, ErrAbsent
	case len(values) > 1:
		return nil, &Error{name, fmt.Sprintf("stands in the request %d times; a load balancer sets it once", len(values))}
	case len(values[0]) > MaxHeaderBytes:
		return nil, &Error{name, fmt.Sprintf("has %d bytes; at most %d are read", len(values[0]), MaxHeaderBytes)}
	}
	chain, err := s.read(values[0])
	if err != nil {
		return nil, &Error{name, err.Error()}
	}
	return chain, nil
}
