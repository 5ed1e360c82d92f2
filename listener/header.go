package listener

import (
	"net/http"
	"net/textproto"
	"strconv"
	"sync/atomic"

	"github.com/postern-lb/postern/internal/fault"
)

// MaxHeaderName is the length in bytes of a name that a managed header may be
// given (ALB, "HTTP header modification").
const MaxHeaderName = 1024

// A ForwardedMode says what becomes of X-Forwarded-For.
type ForwardedMode string

// ALB's values of routing.http.xff_header_processing.mode.
const (
	ForwardedAppend   ForwardedMode = "append"   // the client's address is put behind what is there
	ForwardedPreserve ForwardedMode = "preserve" // the header is left alone, and not made
	ForwardedRemove   ForwardedMode = "remove"   // the header is deleted
)

// A HeaderConfig says which headers the targets get about the client. The zero
// value is ALB's default. The eight names are ALB's when empty.
type HeaderConfig struct {
	SerialNumberName   string // X-Amzn-Mtls-Clientcert-Serial-Number
	IssuerName         string // X-Amzn-Mtls-Clientcert-Issuer
	SubjectName        string // X-Amzn-Mtls-Clientcert-Subject
	ValidityName       string // X-Amzn-Mtls-Clientcert-Validity
	LeafName           string // X-Amzn-Mtls-Clientcert-Leaf
	ClientcertName     string // X-Amzn-Mtls-Clientcert
	TLSVersionName     string // X-Amzn-Tls-Version
	TLSCipherSuiteName string // X-Amzn-Tls-Cipher-Suite

	// TLSHeaders adds the TLS version and cipher suite, in OpenSSL's names.
	TLSHeaders bool
	// ForwardedFor is the fate of X-Forwarded-For; empty means append.
	ForwardedFor ForwardedMode
	// ForwardedClientPort appends the client's port to its address. It has no
	// effect in the modes preserve and remove.
	ForwardedClientPort bool
	// Forward are the headers on client certificates to send beside ALB's.
	Forward []ForwardedHeader
	// DropInvalid removes headers whose names are not letters, digits and
	// hyphens only.
	DropInvalid bool
}

// managedKind numbers the eight headers that can be renamed.
type managedKind int

const (
	kindSerialNumber managedKind = iota
	kindIssuer
	kindSubject
	kindValidity
	kindLeaf
	kindClientcert
	kindTLSVersion
	kindTLSCipherSuite
	managedKinds
)

// managedDefaults returns ALB's names, by kind.
func managedDefaults() [managedKinds]string {
	return [managedKinds]string{
		"X-Amzn-Mtls-Clientcert-Serial-Number",
		"X-Amzn-Mtls-Clientcert-Issuer",
		"X-Amzn-Mtls-Clientcert-Subject",
		"X-Amzn-Mtls-Clientcert-Validity",
		"X-Amzn-Mtls-Clientcert-Leaf",
		"X-Amzn-Mtls-Clientcert",
		"X-Amzn-Tls-Version",
		"X-Amzn-Tls-Cipher-Suite",
	}
}

// managedAttributes returns the listener attributes that rename them, by kind.
func managedAttributes() [managedKinds]string {
	const prefix, suffix = "routing_http_request_x_amzn_", "_header_name"
	return [managedKinds]string{
		prefix + "mtls_clientcert_serial_number" + suffix,
		prefix + "mtls_clientcert_issuer" + suffix,
		prefix + "mtls_clientcert_subject" + suffix,
		prefix + "mtls_clientcert_validity" + suffix,
		prefix + "mtls_clientcert_leaf" + suffix,
		prefix + "mtls_clientcert" + suffix,
		prefix + "tls_version" + suffix,
		prefix + "tls_cipher_suite" + suffix,
	}
}

// The headers that the load balancer writes on every request. A client's own
// copy in the plain spelling is read (for and trace) or overwritten (proto and
// port); in any other spelling it is removed.
const (
	headerForwardedFor   = "X-Forwarded-For"
	headerForwardedProto = "X-Forwarded-Proto"
	headerForwardedPort  = "X-Forwarded-Port"
	headerTraceID        = "X-Amzn-Trace-Id"
)

// identityPrefixes are the folded beginnings of names that only the load
// balancer may send: "x-amzn-mtls" alone or followed by a hyphen and more.
const (
	identityPrefixMTLS = "x-amzn-mtls"
	identityPrefixTLS  = "x-amzn-tls"
)

// A HeaderPolicy knows the managed headers of a listener, those that targets
// trust because only the load balancer writes them: it removes them from
// requests, in every spelling that a target might read as theirs, and sets them.
// It never changes and may be used by any number of goroutines.
//
// The order that keeps clients out: [HeaderPolicy.Sanitize] once, before
// anything looks at the headers; set last, with [ConnectionHeaders.Set]; and
// [HeaderPolicy.GuardTrailer] around the body. What is set after Sanitize cannot
// be taken away by the client's Connection header, which is gone by then.
type HeaderPolicy struct {
	names       [managedKinds]string // canonical
	renames     []string             // folded names outside the two prefixes
	tls         bool
	mode        ForwardedMode
	clientPort  bool
	dropInvalid bool
	forward     []ForwardedHeader
	// suspect says with which first bytes a name may be a managed one, so that
	// most names are let pass after a glance.
	suspect [256]suspicion
	// recent remembers the headers of clients seen lately; safe for all.
	recent [recentClients]atomic.Pointer[recentFields]
}

// NewHeaderPolicy checks cfg. The error, if any, is a [fault.List] with paths in
// the config keys of the listener and the load balancer.
func NewHeaderPolicy(cfg HeaderConfig) (*HeaderPolicy, error) {
	var faults fault.List
	p := &HeaderPolicy{
		tls:         cfg.TLSHeaders,
		mode:        cfg.ForwardedFor,
		clientPort:  cfg.ForwardedClientPort,
		dropInvalid: cfg.DropInvalid,
	}
	switch p.mode {
	case ForwardedAppend, ForwardedPreserve, ForwardedRemove:
	case "":
		p.mode = ForwardedAppend
	default:
		faults.Add("xff_header_processing_mode", "is %q: choose append, preserve or remove", string(p.mode))
	}
	p.setNames(&faults, &cfg)
	p.setForward(&faults, cfg.Forward)
	p.setSuspects()
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// setNames checks the renames, and that no two headers end up with one name.
func (p *HeaderPolicy) setNames(faults *fault.List, cfg *HeaderConfig) {
	configured := [managedKinds]string{
		cfg.SerialNumberName, cfg.IssuerName, cfg.SubjectName, cfg.ValidityName,
		cfg.LeafName, cfg.ClientcertName, cfg.TLSVersionName, cfg.TLSCipherSuiteName,
	}
	defaults, attributes := managedDefaults(), managedAttributes()
	taken := make(map[string]string, managedKinds)
	for kind, name := range configured {
		if name == "" {
			name = defaults[kind]
		} else if problem := checkRename(name); problem != "" {
			faults.Add(attributes[kind], "%q %s", name, problem)
			continue
		}
		folded := foldHeaderName(name)
		if other, ok := taken[folded]; ok {
			faults.Add(attributes[kind], "%q is the name that %s gives: targets may read the two as one; choose another", name, other)
		}
		taken[folded] = attributes[kind]
		p.names[kind] = textproto.CanonicalMIMEHeaderKey(name)
		if !isIdentityName(folded) {
			p.renames = append(p.renames, folded)
		}
	}
}

// checkRename returns what is wrong with a new name of a managed header.
func checkRename(name string) string {
	folded := foldHeaderName(name)
	switch {
	case len(name) > MaxHeaderName:
		return "is too long: at most " + strconv.Itoa(MaxHeaderName) + " characters"
	case !isToken(name):
		return "is no header name: use letters, digits and hyphens"
	case folded == "":
		return "has neither letter nor digit: use letters, digits and hyphens"
	case isForwardedName(folded):
		return "is a header on client certificates of another form than this one, see mutual_authentication.forward_headers: choose a name of your own"
	case isReservedName(folded):
		return "is a header with a meaning of its own, which clients would lose: choose a name of your own"
	}
	return ""
}

// isReservedName reports whether a folded name belongs to HTTP itself or to a
// header that the load balancer handles otherwise.
func isReservedName(folded string) bool {
	switch folded {
	case "host", "content-length", "connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
		"expect", "proxy-connection", "proxy-authenticate", "proxy-authorization", "authorization", "cookie",
		"content-type", "content-encoding", "content-range", "range", "accept", "accept-encoding", "user-agent",
		"cache-control", "pragma", "max-forwards", "via", "forwarded", "date", "origin", "referer", "http2-settings",
		"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "x-amzn-trace-id":
		return true
	}
	return false
}

// A suspicion is what the first byte of a name gives rise to.
type suspicion uint8

const (
	unsuspected suspicion = iota
	suspected
	suspectedClient // of Client-Cert and -Chain only: the second byte says more
)

// setSuspects fills the table of first bytes. Bytes that are neither letters
// nor digits may stand in front of any name, since folding drops them.
func (p *HeaderPolicy) setSuspects() {
	for b := range 256 {
		switch {
		case !isAlphanumeric(byte(b)) || lowerByte(byte(b)) == 'x':
			p.suspect[b] = suspected
		case lowerByte(byte(b)) == 'c':
			p.suspect[b] = suspectedClient
		}
	}
	for _, name := range p.renames {
		for b := range 256 {
			if lowerByte(byte(b)) == name[0] {
				p.suspect[b] = suspected
			}
		}
	}
}

// Sanitize makes the headers of a client's request fit to be looked at and passed
// on. In this order it removes the hop-by-hop headers (those that Connection lists,
// and those that concern one connection by their name), Expect, which the load
// balancer answers itself, and every managed header (see
// [HeaderPolicy.RemoveManaged]); and, if the policy drops invalid headers, those whose
// names are not letters, digits and hyphens. Read Upgrade before, if it matters. What
// the load balancer adds must be added afterwards, so that no client can have it
// removed by naming it in Connection.
//
// Keys are expected in the canonical form that the servers give them.
func (p *HeaderPolicy) Sanitize(h http.Header) {
	removeAllListed(h)
	for name := range h { // one walk over the map for all that is left to do
		if isHopByHop(name) || name == "Expect" || p.removes(name) {
			delete(h, name)
		}
	}
	keepTrailersOnly(h)
}

// RemoveManaged is the last part of [HeaderPolicy.Sanitize]: it removes the
// headers that only the load balancer may write. These are the six of the client
// certificate and the two of TLS under their default names and the names they
// were given; every other name that begins with X-Amzn-Mtls- or X-Amzn-Tls-;
// Client-Cert, Client-Cert-Chain, X-Forwarded-Client-Cert and what begins with
// X-Postern-Clientcert, sent or not; and X-Forwarded-Proto and -Port. X-Forwarded-For and X-Amzn-Trace-Id are kept if
// spelt exactly so, for [ConnectionHeaders.Set] and [SetTraceID] to go on from.
//
// Names are compared folded: without regard to case, any run of characters other
// than letters and digits being one hyphen, and none at the ends. That covers
// what is known of targets: CGI and WSGI take '-' and '_' (and some '.', and
// others) for the same. A suspect name with bytes that are not ASCII is removed,
// since some languages change the case of those into ASCII letters.
//
// It does not allocate.
func (p *HeaderPolicy) RemoveManaged(h http.Header) {
	for name := range h {
		if p.removes(name) {
			delete(h, name)
		}
	}
}

// removes reports whether a client's header called name is to be removed. Most
// names are settled by their first byte.
func (p *HeaderPolicy) removes(name string) bool {
	if p.dropInvalid && !isPlainName(name) {
		return true
	}
	return name == "" || p.isSuspect(name) && p.isManaged(name)
}

// isSuspect looks at the first byte, and at the second of the many names, such as
// Cookie, that begin like Client-Cert.
func (p *HeaderPolicy) isSuspect(name string) bool {
	switch p.suspect[name[0]] {
	case unsuspected:
		return false
	case suspectedClient:
		return len(name) > 1 && (lowerByte(name[1]) == 'l' || name[1] >= 0x80)
	}
	return true
}

// isManaged is removes for a suspect name.
func (p *HeaderPolicy) isManaged(name string) bool {
	return name != headerForwardedFor && name != headerTraceID && p.foldsToManaged(name)
}

// foldsToManaged reports whether a target might take name for a header that the
// load balancer writes.
func (p *HeaderPolicy) foldsToManaged(name string) bool {
	if !isASCII(name) {
		return true
	}
	f := folder{rest: name}
	first, _ := f.next()
	second, _ := f.next()
	third, _ := f.next() // the three settle most names that get here
	if first == 'x' && second == '-' && isManagedX(name, third) || first == 'c' && isClientCertName(name) {
		return true
	}
	for _, rename := range p.renames {
		if first == rename[0] && foldedEqual(name, rename) {
			return true
		}
	}
	return false
}

// isManagedX is foldsToManaged for a name that folds to x-, third and more.
func isManagedX(name string, third byte) bool {
	switch third {
	case 'a':
		return foldedPrefix(name, identityPrefixMTLS) || foldedPrefix(name, identityPrefixTLS) || foldedEqual(name, "x-amzn-trace-id")
	case 'f':
		return foldedEqual(name, "x-forwarded-for") || foldedEqual(name, "x-forwarded-proto") ||
			foldedEqual(name, "x-forwarded-port") || foldedEqual(name, foldedXFCC)
	case 'p':
		return foldedPrefix(name, identityPrefixPostern)
	}
	return false
}

// isPlainName reports whether name is letters, digits and hyphens only, as
// drop_invalid_header_fields demands.
func isPlainName(name string) bool {
	for i := range len(name) {
		if !isAlphanumeric(name[i]) && name[i] != '-' {
			return false
		}
	}
	return name != ""
}
