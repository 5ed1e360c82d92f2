package targetgroup

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/http1"
)

// A call is one request on its way through one target, from being dispatched
// until its response has been read or closed. It watches that bytes keep moving.
// It may serve another request afterwards, so whoever comes from outside (the timer,
// the end of a deregistration delay) asks under mu whether it is still the same.
type call struct {
	// Fixed before the request is sent.
	client context.Context // the request's own, which ends when the client goes
	start  time.Time
	idle   time.Duration
	once   bool               // serves one request only
	cancel context.CancelFunc // nil on package http1's transport
	wire   http1.Call         // used on package http1's transport
	out    http.Request
	url    url.URL
	up     requestBody
	body   responseBody

	// Guarded by target.mu, but for target, which is fixed by join.
	target     *target
	prev, next *call

	lastByte  atomic.Int64          // nanoseconds after start
	cause     atomic.Pointer[Error] // why the call was aborted
	answered  atomic.Bool           // the response's headers have come
	awaiting  atomic.Bool           // somebody waits for the response's body
	uploading atomic.Bool           // the transport waits for the client's body

	mu       sync.Mutex
	active   bool          // guarded by mu: begun and not finished
	turn     uint64        // guarded by mu: counts the requests
	upgraded *upgradedBody // guarded by mu
	timer    *time.Timer   // guarded by mu: fires at the earliest time at which the call can be idle
	due      time.Time     // guarded by mu: when it fires; zero if it is not running
}

// begin starts a request's clock on t.
func (c *call) begin(client context.Context, idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client, c.start, c.idle = client, time.Now(), idle
	c.active = true
	c.turn++
}

// unbegin takes begin back: no target took the call.
func (c *call) unbegin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = false
}

// arm starts the timer. One that runs already is left alone if it fires in time:
// watch then sees how much later it is needed.
func (c *call) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.start.Add(c.idle)
	switch {
	case c.timer == nil:
		c.due = due
		c.timer = time.AfterFunc(c.idle, c.watch)
	case c.due.IsZero() || c.due.After(due):
		c.due = due
		c.timer.Reset(c.idle)
	}
}

// touch notes that a byte has moved, in either direction.
func (c *call) touch() { c.lastByte.Store(int64(time.Since(c.start))) }

// watch runs when the timer fires. ALB's idle timeout starts again with every
// byte (ALB, "Connection idle timeout"), so most of the time there is only the
// next deadline to compute. A body that nobody is reading is the client's stall:
// the listener's side of the idle timeout judges that.
func (c *call) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = time.Time{}
	if !c.active {
		return
	}
	quiet := time.Since(c.start) - time.Duration(c.lastByte.Load())
	switch {
	case quiet < c.idle:
		c.again(c.idle - quiet)
	case c.answered.Load() && !c.awaiting.Load():
		c.again(c.idle)
	case c.uploading.Load() && !c.answered.Load():
		c.abort(&Error{http.StatusRequestTimeout, ReasonClientTimeout, nil})
	default:
		c.abort(&Error{http.StatusGatewayTimeout, ReasonResponseTimeout, nil})
	}
}

// again makes the timer fire once more; the caller holds mu.
func (c *call) again(d time.Duration) {
	c.due = time.Now().Add(d)
	c.timer.Reset(d)
}

// abort ends the call for the given reason; the first one counts. The caller holds
// mu and has seen that the call is active.
func (c *call) abort(why *Error) {
	c.cause.CompareAndSwap(nil, why)
	if c.cancel != nil {
		c.cancel()
	} else {
		c.wire.Cancel(why)
	}
	// A connection that has been upgraded has left the transport's care.
	if c.upgraded != nil {
		c.upgraded.conn.Close()
	}
}

func (c *call) currentTurn() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turn
}

// abortTurn is abort for whoever saw the call at its given turn.
func (c *call) abortTurn(turn uint64, why *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active && c.turn == turn {
		c.abort(why)
	}
}

// finish takes the call off its target; further calls do nothing. The timer of a
// call that may serve again is left to fire for nothing, which is cheaper.
func (c *call) finish() {
	c.mu.Lock()
	active := c.active
	c.active = false
	if c.once {
		c.stopTimer()
	}
	c.mu.Unlock()
	if !active {
		return
	}
	c.target.leave(c)
	if c.cancel != nil {
		c.cancel()
	}
}

// discard makes sure that the timer, which refers to the call, does not outlast its request.
func (c *call) discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.once = true; !c.active {
		c.stopTimer()
	}
}

// stopTimer needs mu.
func (c *call) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.due = time.Time{}
	}
}

// reset makes the call ready for another request, if it can be.
func (c *call) reset() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active || c.cancel != nil || c.upgraded != nil || !c.wire.Reset() {
		c.stopTimer()
		return false
	}
	c.client, c.target = nil, nil
	c.out, c.url = http.Request{}, url.URL{}
	c.up, c.body = requestBody{}, responseBody{}
	c.lastByte.Store(0)
	c.cause.Store(nil)
	c.answered.Store(false)
	c.awaiting.Store(false)
	c.uploading.Store(false)
	return true
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

// Read implements io.Reader.
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

// Close implements io.Closer.
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

// Close implements io.Closer. It ends the call.
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

// Write implements io.Writer.
func (b *upgradedBody) Write(p []byte) (int, error) {
	n, err := b.conn.Write(p)
	if n > 0 {
		b.call.touch()
	}
	return n, err
}

// CloseWrite ends the direction to the target, if the connection can; if it cannot,
// it ends both.
func (b *upgradedBody) CloseWrite() error {
	if half, ok := b.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.Close()
}
