package http1

import (
	"net/http"

	"github.com/postern-lb/postern/internal/engine"
)

// commonNames maps headers as clients write them in lower case to their canonical
// names, so that a common name costs no allocation. It never changes.
var commonNames = makeCommonNames(
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Origin",
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Age", "Allow", "Authorization", "Cache-Control",
	"Connection", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Range",
	"Content-Security-Policy", "Content-Type", "Cookie", "Date", "Dnt", "Etag", "Expect", "Expires", "Forwarded", "Host",
	"Http2-Settings", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive",
	"Last-Modified", "Link", "Location", "Origin", "Pragma", "Priority", "Proxy-Authorization", "Range", "Referer",
	"Retry-After", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Websocket-Accept",
	"Sec-Websocket-Extensions", "Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Server",
	"Set-Cookie", "Strict-Transport-Security", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade",
	"Upgrade-Insecure-Requests", "User-Agent", "Vary", "Via", "Www-Authenticate", "X-Amzn-Trace-Id",
	"X-Content-Type-Options", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
	"X-Frame-Options", "X-Powered-By", "X-Real-Ip", "X-Request-Id", "X-Requested-With",
)

func makeCommonNames(names ...string) map[string]string {
	m := make(map[string]string, len(names))
	for _, name := range names {
		lower := []byte(name)
		for i, c := range lower {
			if engine.Is(c, engine.Upper) {
				lower[i] = c | 0x20
			}
		}
		m[string(lower)] = name
	}
	return m
}

// nameShape scans a header name. It returns the length of the token that raw
// begins with and whether that token is in canonical form.
func nameShape(raw []byte) (n int, canonical bool) {
	canonical = true
	wrong := engine.Lower // a letter of this case would not be canonical here
	for n < len(raw) {
		c := raw[n]
		k := engine.ClassOf(c)
		if k&engine.Token == 0 {
			break
		}
		if k&wrong != 0 {
			canonical = false
		}
		wrong = engine.Upper
		if c == '-' {
			wrong = engine.Lower
		}
		n++
	}
	return n, canonical
}

// canonicalName returns the canonical form of a name that has another form.
func canonicalName(name string) string {
	if common, ok := commonNames[name]; ok {
		return common
	}
	return http.CanonicalHeaderKey(name)
}
