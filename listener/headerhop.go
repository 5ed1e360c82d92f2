package listener

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// isHopByHop reports whether a header, under its canonical name, concerns one
// connection only: those of RFC 9110, 7.6.1, and of older practice. What Connection
// lists is removed by removeAllListed, and TE is left to keepTrailersOnly: "TE:
// trailers" stays, because gRPC needs it.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

func removeAllListed(h http.Header) {
	for _, list := range h["Connection"] {
		removeListed(h, list)
	}
}

// removeListed removes the headers named in one value of Connection.
func removeListed(h http.Header, list string) {
	for list != "" {
		var name string
		name, list, _ = strings.Cut(list, ",")
		name = textproto.TrimString(name)
		if name != "" && !strings.EqualFold(name, "te") {
			delete(h, textproto.CanonicalMIMEHeaderKey(name))
		}
	}
}

// keepTrailersOnly reduces TE to "trailers", or removes it.
func keepTrailersOnly(h http.Header) {
	values, ok := h["Te"]
	if !ok || len(values) == 1 && values[0] == "trailers" {
		return
	}
	delete(h, "Te")
	for _, value := range values {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(textproto.TrimString(token), "trailers") {
				h["Te"] = []string{"trailers"}
				return
			}
		}
	}
}

// SanitizeTrailer removes from the trailers of a request, or from the map of
// those announced, every managed header in every spelling, X-Forwarded-For and
// X-Amzn-Trace-Id among them, and the fields that must not be trailers because
// they frame, route, authenticate or modify the message (RFC 9110, 6.5.1).
func (p *HeaderPolicy) SanitizeTrailer(trailer http.Header) {
	for name := range trailer {
		if name == "" || p.foldsToManaged(name) || isNoTrailer(name) || p.dropInvalid && !isPlainName(name) {
			delete(trailer, name)
		}
	}
}

// isNoTrailer reports whether a field may not come as a trailer. Names are
// compared folded, like managed ones: a target that merges trailers into its
// headers may fold them.
func isNoTrailer(name string) bool {
	if len(name) > maxTrailerName {
		return true
	}
	switch folded := foldHeaderName(name); folded {
	case "", "set-cookie", "www-authenticate", "proxy-authentication-info", "authentication-info",
		"age", "expires", "location", "retry-after", "vary", "warning", "content-location", "status":
		return true
	default:
		return isReservedName(folded)
	}
}

// maxTrailerName is the length of a trailer's name that is looked at; a longer
// one is removed.
const maxTrailerName = 256

// GuardTrailer makes sure that the trailers of r are sanitised: those announced
// now, and those that come behind the body when it ends, before whoever reads
// the body learns of the end. It replaces r.Body. Call it after
// [HeaderPolicy.Sanitize] and before the request is passed on.
func (p *HeaderPolicy) GuardTrailer(r *http.Request) {
	p.SanitizeTrailer(r.Trailer)
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	r.Body = &trailerGuard{ReadCloser: r.Body, request: r, policy: p}
}

// A trailerGuard sanitises the trailers of a request once its body has ended.
type trailerGuard struct {
	io.ReadCloser
	request *http.Request
	policy  *HeaderPolicy
}

// Read reads from the body. Net/http adds the trailers to the request just
// before it reports the end.
func (g *trailerGuard) Read(b []byte) (int, error) {
	n, err := g.ReadCloser.Read(b)
	if err != nil {
		g.policy.SanitizeTrailer(g.request.Trailer)
	}
	return n, err
}
