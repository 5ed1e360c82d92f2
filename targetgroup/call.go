package targetgroup

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// A call is one request on its way through one target, from being dispatched
// until its response has been read or closed. It watches that bytes keep moving.
type call struct {
	// Fixed before the request is sent.
	client context.Context // the request's own, which ends when the client goes
	ctx    context.Context // below client; ends with the call
	cancel context.CancelFunc
	start  time.Time
	idle   time.Duration
	timer  *time.Timer // fires at the earliest time at which the call can be idle
	url    url.URL

	// Guarded by target.mu, but for target, which is fixed by join.
	target     *target
	prev, next *call

	lastByte  atomic.Int64          // nanoseconds after start
	cause     atomic.Pointer[Error] // why the call was aborted
	upgraded  atomic.Pointer[upgradedBody]
	answered  atomic.Bool // the response's headers have come
	awaiting  atomic.Bool // somebody waits for the response's body
	finished  atomic.Bool
	up        requestBody
	uploading atomic.Bool // the transport waits for the client's body
}

func newCall(client context.Context) *call {
	c := &call{client: client}
	c.ctx, c.cancel = context.WithCancel(client)
	return c
}

// arm starts the timer. It is made first and started second, so that watch,
// which runs on another goroutine, finds it.
func (c *call) arm() {
	c.timer = time.AfterFunc(math.MaxInt64, c.watch)
	c.timer.Reset(c.idle)
}

// touch notes that a byte has moved, in either direction.
func (c *call) touch() { c.lastByte.Store(int64(time.Since(c.start))) }

// watch runs when the timer fires. ALB's idle timeout starts again with every
// byte (ALB, "Connection idle timeout"), so most of the time there is only the
// next deadline to compute. A body that nobody is reading is the client's stall:
// the listener's side of the idle timeout judges that.
func (c *call) watch() {
	if c.finished.Load() {
		return
	}
	quiet := time.Since(c.start) - time.Duration(c.lastByte.Load())
	switch {
	case quiet < c.idle:
		c.timer.Reset(c.idle - quiet)
	case c.answered.Load() && !c.awaiting.Load():
		c.timer.Reset(c.idle)
	case c.uploading.Load() && !c.answered.Load():
		c.abort(&Error{http.StatusRequestTimeout, ReasonClientTimeout, nil})
	default:
		c.abort(&Error{http.StatusGatewayTimeout, ReasonResponseTimeout, nil})
	}
}

// abort ends the call for the given reason; the first one counts.
func (c *call) abort(why *Error) {
	c.cause.CompareAndSwap(nil, why)
	c.cancel()
	// A connection that has been upgraded has left the transport's care.
	if u := c.upgraded.Load(); u != nil {
		u.conn.Close()
	}
}

// finish takes the call off its target; further calls do nothing.
func (c *call) finish() {
	if c.finished.Swap(true) {
		return
	}
	c.timer.Stop()
	c.target.leave(c)
	c.cancel()
}

// explain turns an error of the transport into ours and counts it.
func (c *call) explain(err error) *Error {
	e := c.diagnose(err)
	if e.TargetFault() {
		c.target.errors.Add(1)
	}
	return e
}

// diagnose goes from what is certain to what is left: our own doing, then the
// client's, then the target's.
func (c *call) diagnose(err error) *Error {
	if cause := c.cause.Load(); cause != nil {
		return cause
	}
	if gone := c.client.Err(); gone != nil {
		return &Error{StatusClientClosed, ReasonClientClosed, gone}
	}
	if upload := c.up.failure(); upload != nil {
		return &Error{http.StatusBadRequest, ReasonClientBodyCutShort, upload}
	}
	return transportError(err)
}

// A requestBody passes the client's body on and keeps its errors apart from the
// target's.
type requestBody struct {
	call   *call
	body   io.ReadCloser
	closed atomic.Bool
	err    atomic.Pointer[error]
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.call.uploading.Store(true)
	n, err := b.body.Read(p)
	b.call.uploading.Store(false)
	b.call.touch()
	// A transport that gives up closes the body under its reader.
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *requestBody) Close() error {
	b.closed.Store(true)
	return b.body.Close()
}

func (b *requestBody) failure() error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return nil
}

// A responseBody passes the target's body on. Its end is the end of the call.
type responseBody struct {
	call    *call
	body    io.ReadCloser
	hasSize bool // the response had a Content-Length
	closed  atomic.Bool
	err     error // what ended the body; owned by the reader
}

// Read gives the target a whole idle timeout, however long the client took to
// come back for more.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.call.touch()
	b.call.awaiting.Store(true)
	n, err := b.body.Read(p)
	b.call.awaiting.Store(false)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && !b.closed.Load() {
		err = b.explain(err)
	}
	b.err = err
	b.call.finish()
	return n, err
}

// explain knows one error more than a call: ALB has 504 for a body that is
// shorter than its Content-Length.
func (b *responseBody) explain(err error) error {
	e := b.call.explain(err)
	if b.hasSize && e.Reason == ReasonConnectionClosed {
		return &Error{http.StatusGatewayTimeout, ReasonShortBody, e.Err}
	}
	return e
}

func (b *responseBody) Close() error {
	b.closed.Store(true)
	err := b.body.Close()
	b.call.finish()
	return err
}

// An upgradedBody is the connection after 101 Switching Protocols. Bytes count
// as activity both ways.
type upgradedBody struct {
	responseBody
	conn io.ReadWriteCloser
}

func (b *upgradedBody) Write(p []byte) (int, error) {
	n, err := b.conn.Write(p)
	if n > 0 {
		b.call.touch()
	}
	return n, err
}
