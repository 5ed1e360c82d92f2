package listener

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postern-lb/postern/internal/fault"
)

// MaxFixedResponseBody is the number of characters of a fixed response's body
// (ALB, "Action types for listener rules").
const MaxFixedResponseBody = 1024

// A FixedResponseConfig answers without asking any target.
type FixedResponseConfig struct {
	StatusCode  int    // 2xx, 4xx or 5xx
	ContentType string // one of ALB's five types; empty is text/plain
	MessageBody string // at most MaxFixedResponseBody characters
}

// A FixedResponse is a compiled fixed-response action. It is never modified.
type FixedResponse struct {
	status      int
	contentType string
	body        string
}

// fixedContentTypes returns the types that a fixed response may have.
func fixedContentTypes() []string {
	return []string{"text/plain", "text/css", "text/html", "application/javascript", "application/json"}
}

func compileFixedResponse(faults *fault.List, path string, cfg *FixedResponseConfig) *FixedResponse {
	f := &FixedResponse{status: cfg.StatusCode, contentType: orElse(cfg.ContentType, "text/plain"), body: cfg.MessageBody}
	if class := f.status / 100; class != 2 && class != 4 && class != 5 {
		faults.Add(fault.Join(path, "status_code"), "is %d: choose a status 2xx, 4xx or 5xx", f.status)
	}
	if types := fixedContentTypes(); !slices.Contains(types, f.contentType) {
		faults.Add(fault.Join(path, "content_type"), "is %q: choose one of %s", f.contentType, strings.Join(types, ", "))
	}
	if n := utf8.RuneCountInString(f.body); n > MaxFixedResponseBody {
		faults.Add(fault.Join(path, "message_body"), "is %d characters long: at most %d", n, MaxFixedResponseBody)
	}
	return f
}

// Status returns the status of the response.
func (f *FixedResponse) Status() int { return f.status }

// Write answers r. No body is sent to HEAD, nor with 204, which cannot have one.
func (f *FixedResponse) Write(w http.ResponseWriter, r *http.Request, p *ResponsePolicy) {
	h := w.Header()
	beginResponse(h, r, p)
	if f.status != http.StatusNoContent {
		h.Set("Content-Type", f.contentType)
		h.Set("Content-Length", strconv.Itoa(len(f.body)))
	}
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead && f.status != http.StatusNoContent {
		io.WriteString(w, f.body) // an error means that the client is gone
	}
}
