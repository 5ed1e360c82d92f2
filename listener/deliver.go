package listener

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/postern-lb/postern/targetgroup"
)

// copyBuffer is the size of the buffers that bodies are copied through where a server
// has none of its own to read into.
const copyBuffer = 32 << 10

// buffer borrows such a buffer; Put gives it back.
func (l *Listener) buffer() *[copyBuffer]byte {
	if buf, ok := l.buffers.Get().(*[copyBuffer]byte); ok {
		return buf
	}
	return new([copyBuffer]byte)
}

// deliver passes the target's answer on to the client. An answer that breaks off
// is cut off for the client too: that it is complete must not be believed.
func (x *exchange) deliver(res *http.Response) {
	defer res.Body.Close()
	h := res.Header
	removeAllListed(h)
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
	announced := len(res.Trailer)
	if announced > 0 {
		h["Trailer"] = []string{trailerNames(res.Trailer)}
	}
	x.w.setHeader(h)
	x.w.WriteHeader(res.StatusCode)
	if err := x.deliverBody(res); err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(res.Trailer) == 0 {
		return
	}
	x.w.Flush() // so that the trailers are sent whatever the length of the body
	x.w.trailers = true
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		x.w.Header()[prefix+name] = values
	}
}

func trailerNames(trailer http.Header) string {
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// deliverBody copies the body. One whose length nobody knows may be a stream of events,
// so what there is of it is sent at once.
func (x *exchange) deliverBody(res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	stream := res.ContentLength < 0 || isEventStream(res.Header)
	if !stream && x.w.readFrom != nil {
		_, err := x.w.ReadFrom(&answerBody{res.Body, x})
		return err
	}
	buf := x.l.buffer()
	defer x.l.buffers.Put(buf)
	body := answerBody{res.Body, x}
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err
			}
			if stream && err == nil {
				x.w.Flush()
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

func isEventStream(h http.Header) bool {
	contentType := h["Content-Type"]
	if len(contentType) == 0 {
		return false
	}
	media, _, _ := strings.Cut(contentType[0], ";")
	return equalFoldASCII(strings.TrimSpace(media), "text/event-stream")
}

// An answerBody notes how a target's fault ended the body of its answer. The
// client cannot be told any more, but the log can (ALB, "Troubleshoot your
// Application Load Balancers": 504 for a body shorter than its Content-Length).
type answerBody struct {
	body io.Reader
	x    *exchange
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		if e, ok := errors.AsType[*targetgroup.Error](err); ok && e.TargetFault() {
			b.x.failed, b.x.entry.ELBStatus = e, e.Status
		}
	}
	return n, err
}

// inform passes an informational answer on. Over HTTP/2 it comes on a goroutine of the
// transport's, perhaps when the answer is being sent already.
func (x *exchange) inform(code int, from http.Header) error {
	x.informing.Lock()
	defer x.informing.Unlock()
	if x.informedAll {
		return nil
	}
	h := x.w.Header()
	for name, values := range from {
		h[name] = values
	}
	x.w.WriteHeader(code)
	clear(h)
	return nil
}

// endInforming is the end of the time in which inform writes anything.
func (x *exchange) endInforming() {
	x.informing.Lock()
	defer x.informing.Unlock()
	x.informedAll = true
}
