package listener

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-lb/postern/targetgroup"
)

// TestPageBytes compares with a page as captured, and the others by their length,
// which ALB's template fixes at 92 and twice the title's.
func TestPageBytes(t *testing.T) {
	const captured = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n" +
		"<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"
	if got := Page(503); got != captured {
		t.Errorf("page 503:\n%q", got)
	}
	for status, title := range map[int]string{
		301: "301 Moved Permanently", 302: "302 Found", 400: "400 Bad Request", 401: "401 Authorization Required",
		403: "403 Forbidden", 405: "405 Not Allowed", 408: "408 Request Time-out", 413: "413 Request Entity Too Large",
		414: "414 Request-URI Too Large", 421: "421 Misdirected Request", 463: "463", 500: "500 Internal Server Error",
		501: "501 Not Implemented", 502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable",
		504: "504 Gateway Time-out", 505: "505 HTTP Version Not Supported", 507: "507 Insufficient Storage",
	} {
		page := Page(status)
		if len(page) != 92+2*len(title) || !strings.Contains(page, "<title>"+title+"</title>") {
			t.Errorf("page %d: %q", status, page)
		}
	}
	for status, length := range map[int]int{301: 134, 302: 110, 400: 122, 403: 118, 464: 0, 502: 122, 503: 162, 504: 132} {
		if got := len(Page(status)); got != length {
			t.Errorf("page %d has %d bytes, want %d", status, got, length)
		}
	}
}

// answer runs write behind a real server, over HTTP/1.1 or HTTP/2.
func answer(t *testing.T, request *http.Request, h2 bool, write http.HandlerFunc) (*http.Response, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(write)
	server.EnableHTTP2 = h2
	server.StartTLS()
	defer server.Close()
	request.URL.Scheme, request.URL.Host = "https", server.Listener.Addr().String()
	request.RequestURI = ""
	response, err := server.Client().Transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestWritePage(t *testing.T) {
	hidden, err := NewResponsePolicy(ResponseConfig{ServerDisabled: true, StrictTransportSecurity: "max-age=1", XFrameOptions: "DENY"})
	if err != nil {
		t.Fatal(err)
	}
	for _, h2 := range []bool{false, true} {
		for _, method := range []string{"GET", "HEAD"} {
			response, body := answer(t, ruleRequest(method, "a.com", "/"), h2, func(w http.ResponseWriter, r *http.Request) {
				WritePage(w, r, 502, nil)
			})
			want := Page(502)
			if method == "HEAD" {
				want = ""
			}
			h := response.Header
			if response.StatusCode != 502 || body != want || h.Get("Server") != "awselb/2.0" ||
				h.Get("Content-Type") != "text/html" || h.Get("Content-Length") != "122" || h.Get("Date") == "" {
				t.Errorf("%s h2=%v: %v %q", method, h2, response, body)
			}
			if got := h.Get("Connection"); !h2 && got != "keep-alive" || h2 && got != "" {
				t.Errorf("%s h2=%v: Connection: %q", method, h2, got)
			}
		}
	}
	response, _ := answer(t, ruleRequest("GET", "a.com", "/"), false, func(w http.ResponseWriter, r *http.Request) {
		WritePage(w, r, 400, hidden)
	})
	h := response.Header
	if _, ok := h["Server"]; ok || h.Get("Strict-Transport-Security") != "max-age=1" || h.Get("X-Frame-Options") != "DENY" {
		t.Errorf("with a policy: %v", h)
	}
	if !response.Close {
		t.Error("400 keeps the connection")
	}
}

func TestWritePage464(t *testing.T) {
	response, body := answer(t, ruleRequest("GET", "a.com", "/"), false, func(w http.ResponseWriter, r *http.Request) {
		WritePage(w, r, targetgroup.StatusVersionMismatch, nil)
	})
	if _, ok := response.Header["Content-Type"]; ok || response.StatusCode != 464 || body != "" || response.ContentLength != 0 {
		t.Errorf("%v %q", response, body)
	}
}

func TestWritePageGRPC(t *testing.T) {
	request := ruleRequest("POST", "a.com", "/p.S/M", "Content-Type", "application/grpc+proto")
	response, body := answer(t, request, true, func(w http.ResponseWriter, r *http.Request) { WritePage(w, r, 502, nil) })
	h := response.Header
	if response.StatusCode != 502 || body != "" || h.Get("Content-Type") != "application/grpc" || h.Get("Grpc-Status") != "14" ||
		h.Get("Grpc-Message") != "unavailable" || h.Get("Content-Length") != "0" || h.Get("Server") != "awselb/2.0" {
		t.Errorf("%v %q", response, body)
	}
}

func TestWriteForbidden(t *testing.T) {
	response, body := answer(t, ruleRequest("GET", "a.com", "/"), false, func(w http.ResponseWriter, r *http.Request) {
		WriteForbidden(w, r, "id-1", nil)
	})
	h := response.Header
	if response.StatusCode != 403 || body != `{"message":"Forbidden"}` || h.Get("Content-Type") != "application/json" ||
		h.Get("X-Amzn-Errortype") != "ForbiddenException" || h.Get("X-Amzn-Requestid") != "id-1" || h.Get("Server") != "" {
		t.Errorf("%v %q", response, body)
	}
}

func TestRedirectWrite(t *testing.T) {
	redirect := mustRedirect(t, RedirectConfig{Port: "8443"}, ProtocolHTTPS)
	write := func(w http.ResponseWriter, r *http.Request) { redirect.Write(w, r, 443, nil) }
	response, body := answer(t, ruleRequest("GET", "a.com", "/x?y"), false, write)
	if response.StatusCode != 302 || body != Page(302) || response.Header.Get("Location") != "https://a.com:8443/x?y" {
		t.Errorf("%v %q", response, body)
	}
	response, body = answer(t, ruleRequest("GET", "a.com", "/"+strings.Repeat("x", MaxLocation)), false, write)
	if response.StatusCode != 507 || body != Page(507) || response.Header.Get("Location") != "" {
		t.Errorf("%v %q", response, body)
	}
}

func TestFixedResponseWrite(t *testing.T) {
	for _, tt := range []struct {
		cfg    FixedResponseConfig
		method string
		body   string
		length string
	}{
		{FixedResponseConfig{200, "application/json", "{}"}, "GET", "{}", "2"},
		{FixedResponseConfig{503, "", "down"}, "POST", "down", "4"},
		{FixedResponseConfig{200, "text/plain", "down"}, "HEAD", "", "4"},
		{FixedResponseConfig{404, "", ""}, "GET", "", "0"},
		{FixedResponseConfig{204, "text/plain", "ignored"}, "GET", "", ""},
	} {
		table, err := CompileRules(nil, []ActionConfig{{FixedResponse: &tt.cfg}}, ProtocolHTTP)
		if err != nil {
			t.Fatal(err)
		}
		fixed := table.fallback.Action.FixedResponse
		response, body := answer(t, ruleRequest(tt.method, "a.com", "/"), false, func(w http.ResponseWriter, r *http.Request) {
			fixed.Write(w, r, nil)
		})
		h := response.Header
		if response.StatusCode != fixed.Status() || body != tt.body || h.Get("Content-Length") != tt.length || h.Get("Server") != "awselb/2.0" {
			t.Errorf("%+v: %v %q", tt.cfg, response, body)
		}
		if want := orElse(tt.cfg.ContentType, "text/plain"); fixed.Status() != 204 && h.Get("Content-Type") != want {
			t.Errorf("%+v: Content-Type %q", tt.cfg, h.Get("Content-Type"))
		}
	}
}

func TestResponsePolicy(t *testing.T) {
	p, err := NewResponsePolicy(ResponseConfig{AccessControlAllowOrigin: "*", ContentSecurityPolicy: "default-src 'self'"})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{"Access-Control-Allow-Origin": {"https://a", "https://b"}, "Server": {"target"}, "X-Frame-Options": {"DENY"}}
	p.Apply(h)
	if !slices.Equal(h["Access-Control-Allow-Origin"], []string{"*"}) || h.Get("Content-Security-Policy") != "default-src 'self'" ||
		h.Get("Server") != "target" || h.Get("X-Frame-Options") != "DENY" || len(h) != 4 {
		t.Errorf("got %v", h)
	}
	_, err = NewResponsePolicy(ResponseConfig{
		StrictTransportSecurity: "a\r\nb", XContentTypeOptions: strings.Repeat("a", MaxResponseHeaderValue+1),
		XFrameOptions: strings.Repeat("a", MaxResponseHeaderValue),
	})
	checkFaults(t, err, "routing_http_response_strict_transport_security_header_value",
		"routing_http_response_x_content_type_options_header_value")
}

// TestPageLengths keeps strconv's and the writer's idea of a page together.
func TestPageLengths(t *testing.T) {
	w := httptest.NewRecorder()
	WritePage(w, ruleRequest("GET", "a.com", "/"), 504, nil)
	if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
		t.Errorf("Content-Length %s, body %d", got, w.Body.Len())
	}
}
