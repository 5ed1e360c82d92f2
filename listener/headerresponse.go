package listener

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/internal/fault"
)

// MaxResponseHeaderValue is the length in bytes of a configured response header
// (ALB, "HTTP header modification").
const MaxResponseHeaderValue = 1 << 10

// A ResponseConfig sets headers on all responses of a listener, in place of the
// target's. An empty value leaves the target's header alone.
type ResponseConfig struct {
	StrictTransportSecurity       string
	AccessControlAllowOrigin      string
	AccessControlAllowMethods     string
	AccessControlAllowHeaders     string
	AccessControlAllowCredentials string
	AccessControlExposeHeaders    string
	AccessControlMaxAge           string
	ContentSecurityPolicy         string
	XContentTypeOptions           string
	XFrameOptions                 string
	// ServerDisabled takes the Server header out of all responses
	// (routing.http.response.server.enabled = false).
	ServerDisabled bool
}

// A ResponsePolicy is a checked ResponseConfig. It never changes. A nil policy
// changes nothing.
type ResponsePolicy struct {
	set          []fixedHeader
	removeServer bool
}

// NewResponsePolicy checks cfg. The error, if any, is a [fault.List] with paths
// in the config keys of the listener.
func NewResponsePolicy(cfg ResponseConfig) (*ResponsePolicy, error) {
	var faults fault.List
	p := &ResponsePolicy{removeServer: cfg.ServerDisabled}
	for _, header := range [...]struct{ name, value string }{
		{"Strict-Transport-Security", cfg.StrictTransportSecurity},
		{"Access-Control-Allow-Origin", cfg.AccessControlAllowOrigin},
		{"Access-Control-Allow-Methods", cfg.AccessControlAllowMethods},
		{"Access-Control-Allow-Headers", cfg.AccessControlAllowHeaders},
		{"Access-Control-Allow-Credentials", cfg.AccessControlAllowCredentials},
		{"Access-Control-Expose-Headers", cfg.AccessControlExposeHeaders},
		{"Access-Control-Max-Age", cfg.AccessControlMaxAge},
		{"Content-Security-Policy", cfg.ContentSecurityPolicy},
		{"X-Content-Type-Options", cfg.XContentTypeOptions},
		{"X-Frame-Options", cfg.XFrameOptions},
	} {
		if header.value == "" {
			continue
		}
		if problem := checkAttributeValue(header.value); problem != "" {
			faults.Add(responseAttribute(header.name), "%s", problem)
		}
		p.set = append(p.set, fixedHeader{header.name, []string{header.value}[:1:1]})
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// responseAttribute returns the config key that sets a response header.
func responseAttribute(name string) string {
	return "routing_http_response_" + strings.ReplaceAll(lowerASCII(name), "-", "_") + "_header_value"
}

func checkAttributeValue(value string) string {
	const others = " _:;.,\\/'?!(){}[]@<>=-+*#&`|~^%"
	if len(value) > MaxResponseHeaderValue {
		return "is too long: at most " + strconv.Itoa(MaxResponseHeaderValue) + " characters"
	}
	for i := range len(value) {
		if !isAlphanumeric(value[i]) && strings.IndexByte(others, value[i]) < 0 {
			return "holds a character that is not allowed: use letters, digits and any of" + others
		}
	}
	return ""
}

// Apply sets the configured headers in those of a response, the target's or the
// load balancer's own, and removes Server if so configured.
func (p *ResponsePolicy) Apply(h http.Header) {
	if p == nil {
		return
	}
	for i := range p.set {
		h[p.set[i].name] = p.set[i].value
	}
	if p.removeServer {
		delete(h, "Server")
	}
}
