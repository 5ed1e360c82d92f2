package listener

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/targetgroup"
)

// Defaults of a Config, and the ranges that Compile accepts.
const (
	DefaultIdleTimeout     = 60 * time.Second   // ALB: idle_timeout, 1 s to 4000 s
	DefaultClientKeepAlive = 3600 * time.Second // ALB: client_keep_alive, 60 s to 604800 s
	DefaultClientHello     = 5 * time.Second
	DefaultHandshake       = 10 * time.Second
	DefaultRequestHeaders  = 20 * time.Second
	DefaultMaxConnections  = 50_000
)

// Timeouts bound what a client, or a drain, may take.
type Timeouts struct {
	ClientHello    time.Duration // from accept, or the PROXY header, to a whole ClientHello
	Handshake      time.Duration // from the ClientHello to the end of the handshake
	RequestHeaders time.Duration // from a request's first byte to its last header
	Idle           time.Duration // between bytes, on either side
	KeepAlive      time.Duration // age after which a connection takes one more request
	Drain          time.Duration // how long requests in flight may go on at shutdown; 0 cuts them at once
}

// Config says everything about one listener. [Compile] checks it; the zero value
// of a field has the default named here.
type Config struct {
	Name     string
	Address  string // HOST:PORT
	Protocol Protocol
	// ELB is the load balancer's id in the logs: app/NAME/ID.
	ELB string

	// Certificates are the server's, the default first. HTTPS only.
	Certificates         []tls.Certificate
	SecurityPolicy       string // ELBSecurityPolicy-…; default DefaultSecurityPolicy
	MutualAuthentication MutualAuthentication
	HTTP2                bool        // offer h2 by ALPN
	HTTP2Engine          HTTP2Engine // default HTTP2Postern

	ProxyProtocol  *ProxyProtocolConfig // nil: connections come without a header
	Timeouts       Timeouts
	MaxConnections int
	// MaxHandshakes bounds the TLS handshakes under way; 0 means
	// DefaultHandshakesPerCore times GOMAXPROCS.
	MaxHandshakes int

	Rules          []RuleConfig
	DefaultActions []ActionConfig
	// Backends are the target groups by name: at least those that actions name.
	Backends map[string]targetgroup.Backend

	Headers            HeaderConfig
	Responses          ResponseConfig
	PreserveHostHeader bool
	// ForeignHosts are names that belong to listeners with another mutual TLS
	// policy; requests for them get 421 here. Names of this listener's own
	// certificates never count as foreign.
	ForeignHosts []string

	ConnectionLog, AccessLog *Log             // nil: not written
	Refusals                 *Refusals        // nil: none are kept
	Metrics                  *ListenerMetrics // nil: not counted

	now func() time.Time // tests replace it; nil: time.Now
}

// A Policy is a Config that was checked and compiled. It never changes, and is
// safe for concurrent use.
type Policy struct {
	name, address, elb string
	protocol           Protocol

	tlsBase *tls.Config // nil on an HTTP listener
	certs   *CertificateIndex
	mtls    MutualAuthentication
	digest  [sha256.Size]byte // of all that a session ticket must not outlive
	tickets *ticketKeys
	proxy   *ProxyProtocol // nil: no header

	timeouts       Timeouts
	serverSettings serverSettings
	maxConnections int
	maxHandshakes  int

	rules        *RuleTable
	headers      *HeaderPolicy
	responses    *ResponsePolicy
	preserveHost bool
	forwards     map[string]targetgroup.Backend // by target group
	hosts        *PolicySet                     // nil: no host is foreign

	connLog, accessLog *Log
	refusals           *Refusals
	metrics            *ListenerMetrics
	now                func() time.Time
}

// Name returns the name of the listener.
func (p *Policy) Name() string { return p.name }

// Compile checks cfg and makes a Policy of it. The error is a [fault.List] with
// paths below the listener in the config file. The policy before, if there was
// one, lends its ticket keys, so that sessions survive a reload that changes
// nothing about mutual TLS.
func Compile(cfg Config, before *Policy) (*Policy, error) {
	var faults fault.List
	p := &Policy{
		name: cfg.Name, address: cfg.Address, elb: cfg.ELB, protocol: cfg.Protocol,
		mtls: cfg.MutualAuthentication, timeouts: cfg.Timeouts.withDefaults(),
		maxConnections: cfg.MaxConnections, preserveHost: cfg.PreserveHostHeader,
		connLog: cfg.ConnectionLog, accessLog: cfg.AccessLog, refusals: cfg.Refusals, metrics: cfg.Metrics, now: cfg.now,
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.maxConnections == 0 {
		p.maxConnections = DefaultMaxConnections
	}
	if p.maxHandshakes = cfg.MaxHandshakes; p.maxHandshakes == 0 {
		p.maxHandshakes = defaultHandshakes()
	}
	p.serverSettings = serverSettings{p.timeouts.Idle, p.timeouts.RequestHeaders, cfg.HTTP2, cfg.HTTP2Engine}
	p.checkEngine(&faults)
	p.checkMutualAuthentication(&faults)
	p.compileTLS(&cfg, &faults)
	p.compileRequests(&cfg, &faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	p.digest = p.policyDigest(&cfg)
	p.tickets = newTicketKeys(p.now)
	if before != nil && before.digest == p.digest {
		p.tickets = before.tickets
	}
	return p, nil
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.ClientHello, DefaultClientHello}, {&t.Handshake, DefaultHandshake},
		{&t.RequestHeaders, DefaultRequestHeaders}, {&t.Idle, DefaultIdleTimeout},
		{&t.KeepAlive, DefaultClientKeepAlive},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

func (p *Policy) checkMutualAuthentication(faults *fault.List) {
	m := &p.mtls
	if m.Mode == "" {
		m.Mode = ModeOff
	}
	if m.OnRefusal == "" {
		m.OnRefusal = RefuseReset
	}
	switch {
	case m.Mode != ModeOff && m.Mode != ModePassthrough && m.Mode != ModeVerify:
		faults.Add("mutual_authentication.mode", "is %q: choose off, passthrough or verify", m.Mode)
	case m.OnRefusal != RefuseReset && m.OnRefusal != RefuseAlert && m.OnRefusal != RefuseForbidden:
		faults.Add("mutual_authentication.on_refusal", "is %q: choose reset, alert or forbidden", m.OnRefusal)
	case m.Mode == ModeVerify && m.Store == nil:
		faults.Add("mutual_authentication.trust_store", "is missing: verify mode needs a trust store")
	case m.Mode != ModeVerify && m.Optional:
		faults.Add("mutual_authentication.optional", "has no effect in mode %s: set mode to verify, or leave it out", m.Mode)
	case m.Mode != ModeVerify && m.AllowInvalid:
		faults.Add("mutual_authentication.allow_invalid", "has no effect in mode %s: set mode to verify, or leave it out", m.Mode)
	case m.Mode != ModeOff && p.protocol != ProtocolHTTPS:
		faults.Add("mutual_authentication.mode", "is %q, which needs protocol HTTPS", m.Mode)
	}
	if m.Trust != nil {
		faults.AddUnder("mutual_authentication", m.Trust.Check())
	}
}

func (p *Policy) checkEngine(faults *fault.List) {
	switch e := &p.serverSettings.engine; *e {
	case "":
		*e = HTTP2Postern
	case HTTP2Postern, HTTP2Standard:
	default:
		faults.Add("http2_engine", "is %q: choose postern or standard", *e)
	}
}

func (p *Policy) compileTLS(cfg *Config, faults *fault.List) {
	if cfg.ProxyProtocol != nil {
		var err error
		p.proxy, err = NewProxyProtocol(*cfg.ProxyProtocol)
		faults.AddUnder("proxy_protocol", err)
	}
	if p.protocol != ProtocolHTTPS {
		return
	}
	if len(cfg.Certificates) == 0 {
		faults.Add("certificates", "is empty: an HTTPS listener needs a certificate")
		return
	}
	name := cfg.SecurityPolicy
	if name == "" {
		name = DefaultSecurityPolicy
	}
	security, err := LookupSecurityPolicy(name)
	faults.AddUnder("ssl_policy", err)
	p.certs, err = NewCertificateIndex(cfg.Certificates[0], cfg.Certificates[1:])
	faults.AddUnder("certificates", err)
	if len(*faults) == 0 {
		p.tlsBase, err = p.newTLSBase(cfg.HTTP2, security)
		faults.AddUnder("mutual_authentication.advertise_trust_store_ca_names", err)
	}
	p.hosts = foreignHosts(cfg)
}

func (p *Policy) compileRequests(cfg *Config, faults *fault.List) {
	var err error
	p.rules, err = CompileRules(cfg.Rules, cfg.DefaultActions, cfg.Protocol)
	faults.AddUnder("", err)
	p.headers, err = NewHeaderPolicy(cfg.Headers)
	faults.AddUnder("", err)
	if p.headers != nil {
		p.headers.checkForward(faults, p.mtls.Mode)
	}
	p.responses, err = NewResponsePolicy(cfg.Responses)
	faults.AddUnder("", err)
	if p.rules == nil {
		return
	}
	p.rules.checkCertificates(faults, p.mtls.Mode)
	p.forwards = make(map[string]targetgroup.Backend)
	for _, name := range p.rules.TargetGroups() {
		backend := cfg.Backends[name]
		if backend == nil {
			faults.Add("", "forwards to target group %q, which does not exist", name)
			continue
		}
		p.forwards[name] = backend
	}
}

// Ids of the two kinds of host in a policy's PolicySet.
const (
	hostElsewhere PolicyID = iota // belongs to another listener's mutual TLS policy
	hostHere
)

// foreignHosts makes the set that misdirected requests are found with. Names
// that are no host names cannot be asked for and are left out.
func foreignHosts(cfg *Config) *PolicySet {
	if len(cfg.ForeignHosts) == 0 {
		return nil
	}
	hosts := make(map[string]PolicyID)
	for _, name := range cfg.ForeignHosts {
		hosts[name] = hostElsewhere
	}
	for i := range cfg.Certificates {
		for _, name := range CertificateHosts(&cfg.Certificates[i]) {
			hosts[name] = hostHere
		}
	}
	for name := range hosts {
		if _, _, err := NormalizeHostPattern(name); err != nil {
			delete(hosts, name)
		}
	}
	set, err := NewPolicySet(hostHere, hosts)
	if err != nil {
		panic("listener: internal error: " + err.Error())
	}
	return set
}

// CertificateHosts returns the host names of a server certificate as the
// certificate has them, wildcards included. Leaf must be set.
func CertificateHosts(cert *tls.Certificate) []string {
	if len(cert.Leaf.DNSNames) == 0 && cert.Leaf.Subject.CommonName != "" {
		return []string{cert.Leaf.Subject.CommonName}
	}
	return cert.Leaf.DNSNames
}

// policyDigest covers everything under which a session was admitted but the
// trust store's content, which ticketScope adds, and the CRLs, which are looked
// up again at each resumption.
func (p *Policy) policyDigest(cfg *Config) [sha256.Size]byte {
	h := sha256.New()
	write := func(parts ...string) {
		for _, s := range parts {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
			h.Write([]byte(s))
		}
	}
	m := &p.mtls
	write("postern mutual tls policy 2", p.name, string(m.Mode), string(m.OnRefusal), cfg.SecurityPolicy,
		strconv.FormatBool(m.Optional), strconv.FormatBool(m.AllowInvalid))
	if m.Mode == ModeVerify {
		digest := m.Trust.Digest(m.Store.Name())
		h.Write(digest[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
