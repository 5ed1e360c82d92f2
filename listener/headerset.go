package listener

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/postern-lb/postern/internal/http1"
)

// A ClientCert is what targets are told of a verified client certificate, each
// value in ALB's form (ALB, "HTTP headers and mutual TLS").
type ClientCert struct {
	Serial   string // capital hex digits
	Issuer   string // RFC 2253
	Subject  string // RFC 2253
	Validity string // NotBefore=…;NotAfter=…
	Leaf     string // URL-encoded PEM
}

// A ConnectionInfo is what is known of a client connection once its handshake
// is over.
type ConnectionInfo struct {
	Client   netip.AddrPort // TCP peer, or what a trusted PROXY header says
	Protocol Protocol       // of the listener
	Port     uint16         // of the listener
	// Verified is the client certificate in mode verify, or nil.
	Verified *ClientCert
	// Chain is the URL-encoded PEM of all that the client sent, in mode
	// passthrough; empty if it sent no certificate.
	Chain string
	// Evidence is what headers beyond ALB's are made of; nil if none are sent.
	Evidence *Evidence
	// TLSVersion and CipherSuite are in OpenSSL's names, such as TLSv1.3 and
	// TLS_AES_128_GCM_SHA256; empty without TLS.
	TLSVersion, CipherSuite string
}

// ConnectionHeaders are the managed headers that all requests of a connection
// get. They never change, and may be set by several goroutines at once.
type ConnectionHeaders struct {
	mode   ForwardedMode
	client string   // as it stands in X-Forwarded-For; empty if not known
	alone  []string // client, as the only value
	fixed  *http1.Fields
}

// A fixedHeader is one header with its one value. The slice is shared by all
// requests of the connection; its capacity is 1, so appending to it copies.
type fixedHeader struct {
	name  string
	value []string
}

// Connection prepares the headers for the requests of one connection, so that
// setting them costs no more than a few map writes. Connections of one client share what
// is the same for all of them.
//
// A value that holds a control character or a byte that is not ASCII is left
// out: no certificate can break out of its header.
func (p *HeaderPolicy) Connection(info ConnectionInfo) *ConnectionHeaders {
	c := &ConnectionHeaders{mode: p.mode}
	if info.Client.Addr().IsValid() {
		c.client = forwardedAddress(info.Client, p.clientPort)
		c.alone = []string{c.client}[:1:1]
	}
	info.Client = netip.AddrPort{}
	slot := &p.recent[recentSlot(&info)]
	if r := slot.Load(); r != nil && r.of(&info) {
		c.fixed = r.fixed
		return c
	}
	r := newRecentFields(p, info)
	slot.Store(r)
	c.fixed = r.fixed
	return c
}

// recentClients is how many sets of headers a policy remembers: with a certificate of
// 2 KB each, under 2 MB.
const recentClients = 256

// recentFields are the headers of a connection that depend on nothing but info. They
// never change.
type recentFields struct {
	info     ConnectionInfo // without Client, and Verified pointing at verified
	verified ClientCert
	fixed    *http1.Fields
}

// recentSlot is where the headers for info are remembered. Clients that share a slot
// take turns in it, which costs time and nothing else.
func recentSlot(info *ConnectionInfo) uint64 {
	if info.Verified != nil {
		return xxhash.Sum64String(info.Verified.Serial) % recentClients
	}
	return xxhash.Sum64String(info.Chain) % recentClients
}

func newRecentFields(p *HeaderPolicy, info ConnectionInfo) *recentFields {
	r := &recentFields{info: info, fixed: p.fields(&info)}
	if info.Verified != nil {
		r.verified = *info.Verified
		r.info.Verified = &r.verified
	}
	return r
}

// of reports whether r was made of the same. Strings that are one in memory, as those
// of a client that comes back are, compare at a glance.
func (r *recentFields) of(info *ConnectionInfo) bool {
	mine, other := r.info, *info
	mine.Verified, other.Verified = nil, nil
	if !mine.Evidence.equal(other.Evidence) {
		return false
	}
	mine.Evidence, other.Evidence = nil, nil
	if mine != other || (r.info.Verified == nil) != (info.Verified == nil) {
		return false
	}
	return info.Verified == nil || r.verified == *info.Verified
}

// fields writes out what is fixed.
func (p *HeaderPolicy) fields(info *ConnectionInfo) *http1.Fields {
	f := new(http1.Fields)
	add := func(name, value string) {
		if visible(value) && isASCII(value) {
			f.Add(name, value) // names were checked by NewHeaderPolicy
		}
	}
	add(headerForwardedProto, schemeOf(info.Protocol))
	add(headerForwardedPort, strconv.Itoa(int(info.Port)))
	if v := info.Verified; v != nil {
		add(p.names[kindSerialNumber], v.Serial)
		add(p.names[kindIssuer], v.Issuer)
		add(p.names[kindSubject], v.Subject)
		add(p.names[kindValidity], v.Validity)
		add(p.names[kindLeaf], v.Leaf)
	} else if info.Chain != "" {
		add(p.names[kindClientcert], info.Chain)
	}
	p.addForwarded(f, info.Evidence)
	if p.tls && info.TLSVersion != "" {
		add(p.names[kindTLSVersion], info.TLSVersion)
		add(p.names[kindTLSCipherSuite], info.CipherSuite)
	}
	return f
}

// Set writes the managed headers into h, which [HeaderPolicy.Sanitize] has been
// through: X-Forwarded-For by the mode, the others over whatever is there. The
// values must not be modified in place.
func (c *ConnectionHeaders) Set(h http.Header) {
	c.setForwardedFor(h)
	c.fixed.Set(h)
}
