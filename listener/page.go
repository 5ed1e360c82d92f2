package listener

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-lb/postern/targetgroup"
)

// StatusTooManyForwarded answers a request whose X-Forwarded-For holds more than
// MaxForwardedFor addresses (ALB, "Troubleshoot your Application Load Balancers").
// ALB's other statuses of its own are package targetgroup's.
const StatusTooManyForwarded = 463

// serverName is the Server header of everything that ALB answers itself.
const serverName = "awselb/2.0"

// forbiddenBody is what API Gateway answers to a client certificate that it does
// not accept.
const forbiddenBody = `{"message":"Forbidden"}`

// pageTitle returns the title of ALB's page for a status: nginx's wording, which
// is not always that of the RFC.
func pageTitle(status int) string {
	switch status {
	case 301:
		return "301 Moved Permanently"
	case 302:
		return "302 Found"
	case 400:
		return "400 Bad Request"
	case 401:
		return "401 Authorization Required"
	case 403:
		return "403 Forbidden"
	case 405:
		return "405 Not Allowed"
	case 408:
		return "408 Request Time-out"
	case 413:
		return "413 Request Entity Too Large"
	case 414:
		return "414 Request-URI Too Large"
	case 421:
		return "421 Misdirected Request"
	case 500:
		return "500 Internal Server Error"
	case 501:
		return "501 Not Implemented"
	case 502:
		return "502 Bad Gateway"
	case 503:
		return "503 Service Temporarily Unavailable"
	case 504:
		return "504 Gateway Time-out"
	case 505:
		return "505 HTTP Version Not Supported"
	case 507:
		return "507 Insufficient Storage"
	}
	return strconv.Itoa(status)
}

// Page returns the body of ALB's own page for a status, with CRLF line ends. It
// is empty for 464. A status that ALB has no words for is titled with the bare
// number.
func Page(status int) string {
	if status == targetgroup.StatusVersionMismatch {
		return ""
	}
	title := pageTitle(status)
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" +
		title + "</h1></center>\r\n</body>\r\n</html>\r\n"
}

// WritePage answers r with the load balancer's own page for status and with the
// headers that ALB sends along; p may be nil. Headers that are in w already, such
// as Location, stay. The body is left out for HEAD.
//
// A gRPC request over HTTP/2 gets a response without page, whose grpc-status
// says that the service is unavailable, under the same HTTP status.
func WritePage(w http.ResponseWriter, r *http.Request, status int, p *ResponsePolicy) {
	h := w.Header()
	beginResponse(h, r, p)
	if targetgroup.IsGRPC(r) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Content-Length", "0")
		h.Set("Grpc-Status", "14")
		h.Set("Grpc-Message", "unavailable")
		w.WriteHeader(status)
		return
	}
	body := Page(status)
	if body != "" {
		h.Set("Content-Type", "text/html")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.ProtoMajor == 1 && endsConnection(status) {
		h.Set("Connection", "close")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, body) // an error means that the client is gone
	}
}

// WriteForbidden answers r as API Gateway answers a client whose certificate it
// does not accept. RequestID is an opaque id that the log has too: the client is
// told nothing else.
func WriteForbidden(w http.ResponseWriter, r *http.Request, requestID string, p *ResponsePolicy) {
	h := w.Header()
	beginResponse(h, r, p)
	delete(h, "Server") // API Gateway sends none
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(forbiddenBody)))
	// Set in API Gateway's spelling, which HTTP/1.1 clients see.
	h["x-amzn-RequestId"] = []string{requestID}
	h["x-amzn-ErrorType"] = []string{"ForbiddenException"}
	w.WriteHeader(http.StatusForbidden)
	if r.Method != http.MethodHead {
		io.WriteString(w, forbiddenBody) // an error means that the client is gone
	}
}

// beginResponse sets the headers that every response of the load balancer's own
// has. HTTP/1.1 clients are told that the connection stays, as ALB tells them;
// the server corrects that if it does not.
func beginResponse(h http.Header, r *http.Request, p *ResponsePolicy) {
	h.Set("Server", serverName)
	if r.ProtoMajor == 1 && h.Get("Connection") == "" {
		if r.Close {
			h.Set("Connection", "close")
		} else {
			h.Set("Connection", "keep-alive")
		}
	}
	p.Apply(h)
}

// endsConnection reports whether ALB closes the connection with its page: after
// these statuses it cannot tell where the next request begins.
func endsConnection(status int) bool {
	switch status {
	case 400, 408, 413, 414, 501, 505:
		return true
	}
	return false
}

// appendPage appends the whole HTTP/1.1 answer for a request that could not be read:
// status line, ALB's headers and page. The connection ends with it.
func appendPage(b []byte, status int, now time.Time, p *ResponsePolicy) []byte {
	body := Page(status)
	h := http.Header{
		"Server": {serverName}, "Date": {now.UTC().Format(http.TimeFormat)}, "Content-Type": {"text/html"},
		"Content-Length": {strconv.Itoa(len(body))}, "Connection": {"close"},
	}
	p.Apply(h)
	b = append(b, "HTTP/1.1 "+pageTitle(status)+"\r\n"...)
	for name, values := range h {
		b = append(b, name+": "+values[0]+"\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}
