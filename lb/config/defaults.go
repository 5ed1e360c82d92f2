package config

import "time"

// The defaults that other packages and the documentation name.
const (
	// DefaultAdminAddress is loopback: the admin side has no log-in.
	DefaultAdminAddress = "127.0.0.1:9901"
	// DefaultSSLPolicy is the default of ALB's console (ALB, "Security
	// policies"). The default of its API still allows TLS 1.0 and is not ours.
	DefaultSSLPolicy = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
	// DefaultMaxConnections bounds the connections of one listener.
	DefaultMaxConnections = 50_000
	// DefaultMaxChainDepth is ALB's "client certificate chain depth".
	DefaultMaxChainDepth = 4
	// DefaultRefusals is how many of the last refused clients are kept.
	DefaultRefusals = 256
	// DefaultVersionsToKeep is how many versions of a trust store are kept.
	DefaultVersionsToKeep = 10
)

// setDefaults methods run before the keys of a block are read, so that a key
// in the file wins. Each sets its whole block, nested blocks included, since a
// block that is left out is never visited. complete methods run afterwards,
// for defaults that depend on other keys.

func (f *File) setDefaults() {
	f.Admin.setDefaults()
	f.LoadBalancer.setDefaults()
	f.SeenClients.setDefaults()
}

func (s *SeenClients) setDefaults() { s.Limit, s.Retention = 10_000, 30*24*time.Hour }

func (a *Admin) setDefaults() { a.Address, a.Refusals = DefaultAdminAddress, DefaultRefusals }

// ALB, "Edit load balancer attributes".
func (b *LoadBalancer) setDefaults() {
	b.Name = "postern"
	b.IdleTimeout = 60 * time.Second
	b.ClientKeepAlive = 3600 * time.Second
	b.EnableHTTP2 = true
	b.XFFHeaderProcessingMode = XFFAppend
	b.DrainTimeout = 30 * time.Second
}

func (l *Listener) setDefaults() {
	l.MutualAuthentication.setDefaults()
	l.MutualAuthentication.Mode = MutualOff
	l.ProxyProtocol.setDefaults()
	l.ProxyProtocol.Mode = ProxyOff
	l.Timeouts.setDefaults()
	l.MaxConnections = DefaultMaxConnections
	l.HTTP2Engine = HTTP2Postern
	l.Attributes.ServerHeaderEnabled = true
}

func (l *Listener) complete() {
	if l.Protocol == ListenerHTTPS && l.SSLPolicy == "" {
		l.SSLPolicy = DefaultSSLPolicy
	}
}

// Mode has no default here: a block that is written must say its mode.
func (m *MutualAuthentication) setDefaults() {
	m.OnRefusal = RefusalReset
	m.SessionResumption = On
	m.MaxChainDepth = DefaultMaxChainDepth
}

func (f *IdentityFilter) setDefaults() { f.Effect = FilterAccept }

func (p *ProxyProtocol) setDefaults() { p.HeaderTimeout = 3 * time.Second }

func (t *Timeouts) setDefaults() {
	t.ClientHello = 5 * time.Second
	t.Handshake = 10 * time.Second
	t.RequestHeaders = 20 * time.Second
}

func (w *WeightedTargetGroup) setDefaults() { w.Weight = 1 }

// ALB, "Action types": each part of the URL stays as it was.
func (r *Redirect) setDefaults() {
	r.Protocol = "#{protocol}"
	r.Host = "#{host}"
	r.Port = "#{port}"
	r.Path = "/#{path}"
	r.Query = "#{query}"
}

func (r *FixedResponse) setDefaults() { r.ContentType = "text/plain" }

// ALB, "Edit target group attributes".
func (g *TargetGroup) setDefaults() {
	g.Protocol = TargetHTTP
	g.ProtocolVersion = HTTP1
	g.LoadBalancingAlgorithmType = RoundRobin
	g.DeregistrationDelay = 300 * time.Second
	g.HealthCheck.setDefaults()
	g.TargetGroupHealth.UnhealthyStateRouting.setDefaults()
}

// ALB, "Health checks for Application Load Balancer target groups": gRPC
// targets are asked for a method that none has, and 12 is UNIMPLEMENTED.
func (g *TargetGroup) complete() {
	path, matcher := "/", "200"
	if g.ProtocolVersion == GRPC {
		path, matcher = "/AWS.ALB/healthcheck", "12"
	}
	if g.HealthCheck.Path == "" {
		g.HealthCheck.Path = path
	}
	if g.HealthCheck.Matcher == "" {
		g.HealthCheck.Matcher = matcher
	}
}

func (h *HealthCheck) setDefaults() {
	h.Enabled = true
	h.Protocol = TargetHTTP
	h.Port = TrafficPort
	h.Interval = 30 * time.Second
	h.Timeout = 5 * time.Second
	h.HealthyThreshold = 5
	h.UnhealthyThreshold = 2
}

func (u *UnhealthyStateRouting) setDefaults() { u.MinimumHealthyTargetsCount = 1 }

func (s *TrustStore) setDefaults() {
	s.RevocationPolicy.setDefaults()
	s.VersionsToKeep = DefaultVersionsToKeep
	s.OCSP.setDefaults()
	s.OCSP.Mode = OCSPOff
	s.CRLDistributionPoints.setDefaults()
}

func (p *CRLDistributionPoints) setDefaults() {
	p.RefreshInterval = time.Hour
	p.Timeout = 30 * time.Second
	p.MaxSize = 32 * MB
}

func (o *OCSP) setDefaults() {
	o.Timeout = 2 * time.Second
	o.RefreshInterval = time.Hour
	o.CacheEntries = 10_000
}

// As ALB.
func (p *RevocationPolicy) setDefaults() {
	p.Missing, p.Expired, p.Scope = MissingAllow, ExpiredAllow, ScopeChain
}

func (l *Log) setDefaults() {
	l.Format = LogALB
	l.MaxSize = 100 * MB
	l.MaxBackups = 5
	l.Queue = 8192
}
