package config

import (
	"net/netip"
	"time"
)

// Listener is one port that clients connect to.
type Listener struct {
	Name string `yaml:"name,required,filled"`
	// Address is HOST:PORT to listen on; an empty host is every address, and
	// port 0 lets the system choose.
	Address  string           `yaml:"address,required,filled"`
	Protocol ListenerProtocol `yaml:"protocol,required"`
	// Certificates are the server's; the first is the default. Required on
	// HTTPS listeners, refused on HTTP ones.
	Certificates []Certificate `yaml:"certificates"`
	// SSLPolicy names an ALB security policy. Empty on an HTTP listener.
	SSLPolicy            string               `yaml:"ssl_policy"`
	MutualAuthentication MutualAuthentication `yaml:"mutual_authentication"`
	ProxyProtocol        ProxyProtocol        `yaml:"proxy_protocol"`
	Timeouts             Timeouts             `yaml:"timeouts"`
	// MaxConnections bounds the connections open at one time.
	MaxConnections int `yaml:"max_connections" range:"1..1000000"`
	// MaxHandshakes bounds the TLS handshakes under way at one time; 0 means as
	// many as suit the processors.
	MaxHandshakes int `yaml:"max_handshakes" range:"0..1000000"`
	// HTTP2Engine is what speaks HTTP/2 with clients.
	HTTP2Engine    HTTP2Engine        `yaml:"http2_engine"`
	Rules          []Rule             `yaml:"rules"`
	DefaultActions []Action           `yaml:"default_actions,required,filled"`
	Attributes     ListenerAttributes `yaml:",inline"`
}

// ListenerProtocol is what clients speak on a listener.
type ListenerProtocol string

// The protocols of a listener.
const (
	ListenerHTTP  ListenerProtocol = "HTTP"
	ListenerHTTPS ListenerProtocol = "HTTPS"
)

func (ListenerProtocol) values() []string {
	return []string{string(ListenerHTTP), string(ListenerHTTPS)}
}

// HTTP2Engine is what speaks HTTP/2 with clients.
type HTTP2Engine string

// The engines: Postern's own, and that of Go's standard library to fall back on.
const (
	HTTP2Postern  HTTP2Engine = "postern"
	HTTP2Standard HTTP2Engine = "standard"
)

func (HTTP2Engine) values() []string { return []string{string(HTTP2Postern), string(HTTP2Standard)} }

// Certificate names the two PEM files of a server certificate.
type Certificate struct {
	// Certificate is the path of the chain, leaf first.
	Certificate string `yaml:"certificate,required,filled,path"`
	PrivateKey  string `yaml:"private_key,required,filled,path"`
}

// MutualAuthentication says whether clients are asked for a certificate and
// who decides on it (ALB, "Mutual authentication with TLS").
type MutualAuthentication struct {
	Mode MutualMode `yaml:"mode,required"`
	// TrustStore names an entry of File.TrustStores; set exactly in verify mode.
	TrustStore                    string  `yaml:"trust_store"`
	IgnoreClientCertificateExpiry bool    `yaml:"ignore_client_certificate_expiry"`
	AdvertiseTrustStoreCANames    bool    `yaml:"advertise_trust_store_ca_names"`
	OnRefusal                     Refusal `yaml:"on_refusal"`
	SessionResumption             OnOff   `yaml:"session_resumption"`
	// Optional admits clients without a certificate, and AllowInvalid those with a
	// refused one too; verify mode only.
	Optional     bool `yaml:"optional"`
	AllowInvalid bool `yaml:"allow_invalid"`
	// IdentityFilters admit a verified certificate if none of them denies it and
	// one accepts it; an empty list admits all.
	IdentityFilters []IdentityFilter `yaml:"identity_filters"`
	// MaxChainDepth is how many certificates a client may send.
	MaxChainDepth int `yaml:"max_chain_depth" range:"1..10"`
	// ForwardHeaders are sent to targets beside ALB's headers; in mode passthrough
	// only the verdict may be.
	ForwardHeaders []ForwardHeader `yaml:"forward_headers"`
}

// ForwardHeader is a header on client certificates that ALB does not have.
type ForwardHeader string

// The headers: RFC 9440's two, Envoy's, and Postern's own.
const (
	HeaderClientCert      ForwardHeader = "client_cert"
	HeaderClientCertChain ForwardHeader = "client_cert_chain"
	HeaderXFCC            ForwardHeader = "xfcc"
	HeaderVerdict         ForwardHeader = "verdict"
	HeaderFingerprint     ForwardHeader = "fingerprint"
	HeaderSPIFFEID        ForwardHeader = "spiffe_id"
)

func (ForwardHeader) values() []string {
	return []string{
		string(HeaderClientCert), string(HeaderClientCertChain), string(HeaderXFCC),
		string(HeaderVerdict), string(HeaderFingerprint), string(HeaderSPIFFEID),
	}
}

// MutualMode is ALB's mutual authentication mode.
type MutualMode string

// The modes: ask for no certificate, hand on whatever is sent, or admit only
// what a trust store vouches for.
const (
	MutualOff         MutualMode = "off"
	MutualPassthrough MutualMode = "passthrough"
	MutualVerify      MutualMode = "verify"
)

func (MutualMode) values() []string {
	return []string{string(MutualOff), string(MutualPassthrough), string(MutualVerify)}
}

// Refusal is what a client with a refused certificate gets.
type Refusal string

// The refusals: as ALB, a TLS alert, or HTTP 403 as API Gateway.
const (
	RefusalReset     Refusal = "reset"
	RefusalAlert     Refusal = "alert"
	RefusalForbidden Refusal = "forbidden"
)

func (Refusal) values() []string {
	return []string{string(RefusalReset), string(RefusalAlert), string(RefusalForbidden)}
}

// IdentityFilter accepts or denies the clients whose certificate matches.
type IdentityFilter struct {
	Effect FilterEffect     `yaml:"effect"`
	Match  CertificateMatch `yaml:",inline"`
}

// FilterEffect is what becomes of a client that a filter matches.
type FilterEffect string

// The effects.
const (
	FilterAccept FilterEffect = "accept"
	FilterDeny   FilterEffect = "deny"
)

func (FilterEffect) values() []string { return []string{string(FilterAccept), string(FilterDeny)} }

// CertificateMatch says which client certificates are meant. Of each kind one value
// must match, and all kinds that are given must. Values are not checked here;
// package trust compiles them.
type CertificateMatch struct {
	SubjectCN         []string `yaml:"subject_cn,filled,single"`
	SubjectOU         []string `yaml:"subject_ou,filled,single"`
	SubjectO          []string `yaml:"subject_o,filled,single"`
	SANDNS            []string `yaml:"san_dns,filled,single"`
	SANURI            []string `yaml:"san_uri,filled,single"`
	SANEmail          []string `yaml:"san_email,filled,single"`
	SANIP             []string `yaml:"san_ip,filled,single"`
	SPIFFEID          []string `yaml:"spiffe_id,filled,single"`
	SPIFFETrustDomain []string `yaml:"spiffe_trust_domain,filled,single"`
	Issuer            []string `yaml:"issuer,filled,single"`
	Serial            []string `yaml:"serial,filled,single"`
	SHA256            []string `yaml:"sha256,filled,single"`
	SPKISHA256        []string `yaml:"spki_sha256,filled,single"`
}

// ProxyProtocol says whether connections begin with a PROXY protocol header.
type ProxyProtocol struct {
	Mode ProxyMode `yaml:"mode,required"`
	// TrustedSources are the only peers whose header is believed; in mode
	// require there is at least one.
	TrustedSources []netip.Prefix `yaml:"trusted_sources"`
	HeaderTimeout  time.Duration  `yaml:"header_timeout" range:"100ms..60s"`
}

// ProxyMode says whether a PROXY protocol header is expected.
type ProxyMode string

// The modes. There is no optional one: a header that may be missing can be forged.
const (
	ProxyOff     ProxyMode = "off"
	ProxyRequire ProxyMode = "require"
)

func (ProxyMode) values() []string { return []string{string(ProxyOff), string(ProxyRequire)} }

// Timeouts bound what a client may take before its first request is read.
type Timeouts struct {
	ClientHello    time.Duration `yaml:"client_hello" range:"100ms..300s"`
	Handshake      time.Duration `yaml:"handshake" range:"100ms..300s"`
	RequestHeaders time.Duration `yaml:"request_headers" range:"100ms..4000s"`
}

// ListenerAttributes are ALB's listener attributes (ALB, "Enable HTTP header
// modification") by Terraform's names, flat on the listener in the file.
//
// A request header name renames a header that the listener sets; empty keeps
// ALB's name. A response header value is put on every response in place of the
// target's; empty leaves the target's alone.
type ListenerAttributes struct {
	MTLSClientCertSerialNumberHeaderName string `yaml:"routing_http_request_x_amzn_mtls_clientcert_serial_number_header_name"`
	MTLSClientCertIssuerHeaderName       string `yaml:"routing_http_request_x_amzn_mtls_clientcert_issuer_header_name"`
	MTLSClientCertSubjectHeaderName      string `yaml:"routing_http_request_x_amzn_mtls_clientcert_subject_header_name"`
	MTLSClientCertValidityHeaderName     string `yaml:"routing_http_request_x_amzn_mtls_clientcert_validity_header_name"`
	MTLSClientCertLeafHeaderName         string `yaml:"routing_http_request_x_amzn_mtls_clientcert_leaf_header_name"`
	MTLSClientCertHeaderName             string `yaml:"routing_http_request_x_amzn_mtls_clientcert_header_name"`
	TLSVersionHeaderName                 string `yaml:"routing_http_request_x_amzn_tls_version_header_name"`
	TLSCipherSuiteHeaderName             string `yaml:"routing_http_request_x_amzn_tls_cipher_suite_header_name"`

	ServerHeaderEnabled           bool   `yaml:"routing_http_response_server_enabled"`
	StrictTransportSecurity       string `yaml:"routing_http_response_strict_transport_security_header_value"`
	AccessControlAllowOrigin      string `yaml:"routing_http_response_access_control_allow_origin_header_value"`
	AccessControlAllowMethods     string `yaml:"routing_http_response_access_control_allow_methods_header_value"`
	AccessControlAllowHeaders     string `yaml:"routing_http_response_access_control_allow_headers_header_value"`
	AccessControlAllowCredentials string `yaml:"routing_http_response_access_control_allow_credentials_header_value"`
	AccessControlExposeHeaders    string `yaml:"routing_http_response_access_control_expose_headers_header_value"`
	AccessControlMaxAge           string `yaml:"routing_http_response_access_control_max_age_header_value"`
	ContentSecurityPolicy         string `yaml:"routing_http_response_content_security_policy_header_value"`
	XContentTypeOptions           string `yaml:"routing_http_response_x_content_type_options_header_value"`
	XFrameOptions                 string `yaml:"routing_http_response_x_frame_options_header_value"`
}
