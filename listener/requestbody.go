package listener

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// bodyDiscardTime bounds how long the rest of an HTTP/1.1 request's body is read
// when nobody wants it, after an answer from the target that came early. The server
// bounds how much, by http1.DefaultDrain.
const bodyDiscardTime = 2 * time.Second

// errBodyStalled says that the client stopped sending its body for longer than
// the idle timeout: 408.
var errBodyStalled = errors.New("the client sent nothing of its request body within the idle timeout")

// errBodyClosed ends the reads of a transport that outlives the request.
var errBodyClosed = errors.New("the request has been answered")

// A requestBody is the body that goes to the target. It counts, gives each read
// the idle timeout, and at the end passes the trailers on that may pass. The
// transport's goroutine reads it; that of the request closes it, and nobody touches deadlines after that.
type requestBody struct {
	body    io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	stall   *watchdog // HTTP/2 only; see recorder
	atEOF   func()    // set before the first read

	received atomic.Int64
	ended    atomic.Bool // read to its end
	stalled  atomic.Bool
	failed   atomic.Bool // the client went away in the middle
	closed   atomic.Bool
	reading  sync.Mutex // held by Read
}

func newRequestBody(r *http.Request, w *recorder) *requestBody {
	b := &requestBody{body: r.Body, control: w.controller(), idle: w.x.p.timeouts.Idle}
	if r.ProtoMajor == 2 {
		b.stall = newWatchdog(b.idle, func() { b.control.SetReadDeadline(past()) })
	}
	return b
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.closed.Load() {
		return 0, errBodyClosed
	}
	b.begin()
	n, err := b.body.Read(p)
	if b.stall != nil {
		b.stall.done()
	}
	b.received.Add(int64(n))
	if err == nil {
		return n, nil
	}
	return n, b.end(err)
}

// begin gives the read that follows the idle timeout. Close may come between the
// two lines, and then wants no time to be given.
func (b *requestBody) begin() {
	if b.stall != nil {
		b.stall.begin()
		return
	}
	b.control.SetReadDeadline(time.Now().Add(b.idle))
	if b.closed.Load() {
		b.control.SetReadDeadline(past())
	}
}

// end notes how the body ended.
func (b *requestBody) end(err error) error {
	if err == io.EOF {
		b.ended.Store(true)
		if b.stall == nil {
			b.control.SetReadDeadline(time.Time{})
		}
		if b.atEOF != nil {
			b.atEOF()
			b.atEOF = nil
		}
		return err
	}
	if b.closed.Load() {
		return errBodyClosed
	}
	b.failed.Store(true)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		b.stalled.Store(true)
		return errBodyStalled
	}
	return err
}

// close makes a read in progress return, and all that follow fail: the transport
// may outlive the request. On HTTP/1.1 the
// server reads on behind the answer, since the client may be waiting for that
// before it sends the rest; its connection is not used again (see
// exchange.endsConnection).
func (b *requestBody) close() {
	b.closed.Store(true)
	switch {
	case b.ended.Load():
	case b.stall != nil:
		b.stall.close()
		b.body.Close()
	default:
		b.control.SetReadDeadline(past())
		b.reading.Lock()
		defer b.reading.Unlock()
		b.control.SetReadDeadline(time.Now().Add(bodyDiscardTime))
	}
}

// Close implements io.Closer. The request's own goroutine calls close.
func (b *requestBody) Close() error { return nil }
