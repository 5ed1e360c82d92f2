package http1

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// An upload sends a request's body while the call reads the response. It runs on a
// goroutine of its own, which ends when the body does, or its reader or the connection fails.
type upload struct {
	call  *Call
	done  chan struct{}         // closed last: whoever sees it has the call for itself
	begun bool                  // owned by the call's goroutine
	cause atomic.Pointer[error] // the body's, not the connection's; there before that is broken for it
	whole bool                  // the body has been written to its end; owned by run until done is closed
}

func newUpload(c *Call) *upload { return &upload{call: c, done: make(chan struct{})} }

// run copies the body to nc. An error of the body ends the whole call: the target
// must not take what has come for all.
func (u *upload) run(nc net.Conn) {
	req := u.call.res.Request
	block := u.call.transport.writes.Get()
	whole, err := u.copy(nc, req, block.Whole())
	u.call.transport.writes.Put(block)
	req.Body.Close()
	if err != nil {
		u.cause.Store(&err)
		u.call.kill()
	}
	u.whole = whole
	close(u.done)
}

func (u *upload) copy(w io.Writer, req *http.Request, buf []byte) (whole bool, bodyErr error) {
	chunked := req.ContentLength <= 0
	left := req.ContentLength
	for {
		room := buf[chunkRoom : len(buf)-chunkRoom]
		n, err := req.Body.Read(room)
		last := err == io.EOF
		if err != nil && !last {
			return false, err
		}
		out := room[:n]
		if chunked {
			out = frameChunk(buf, n, last, req.Trailer)
		} else if left -= int64(n); left < 0 {
			return false, errBodyTooLong
		}
		if last && !chunked && left > 0 {
			return false, io.ErrUnexpectedEOF
		}
		if len(out) > 0 {
			if _, err := w.Write(out); err != nil {
				return false, nil
			}
		}
		if last {
			return true, nil
		}
	}
}

// frameChunk puts the framing around n bytes of data that begin at chunkRoom.
func frameChunk(buf []byte, n int, last bool, trailer http.Header) []byte {
	start, out := chunkRoom, buf[:chunkRoom+n]
	if n > 0 {
		var line [chunkRoom]byte
		text := append(strconv.AppendInt(line[:0], int64(n), 16), crlf...)
		start -= len(text)
		copy(buf[start:], text)
		out = append(out, crlf...)
	}
	if last {
		out = append(out, lastChunk...)
		for name, values := range trailer {
			if name = http.CanonicalHeaderKey(name); trailerAllowed(name) {
				out = appendField(out, name, values)
			}
		}
		out = append(out, crlf...)
	}
	return out[start:]
}

// over reports whether run has returned, or will never run.
func (u *upload) over() bool {
	if !u.begun {
		return true
	}
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// failure returns the body's error, if there has been one.
func (u *upload) failure() error {
	if cause := u.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// complete reports whether the body was written to its end, for which it waits a
// moment: a target often answers just as the last bytes leave.
func (u *upload) complete() bool {
	select {
	case <-u.done:
		return u.whole
	default:
	}
	timer := time.NewTimer(uploadGrace)
	defer timer.Stop()
	select {
	case <-u.done:
		return u.whole
	case <-timer.C:
		return false
	}
}
