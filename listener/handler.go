package listener

import (
	mathrand "math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// An exchange is one request and its answer. It belongs to the goroutine that
// the request is served with, and may serve another one later.
type exchange struct {
	l *Listener
	c *conn
	p *Policy // the policy that this request is served under, from end to end
	r *http.Request
	w recorder

	began  time.Time
	entry  AccessEntry
	to     targetgroup.Exchange
	out    http.Request // to the target
	body   *requestBody // nil unless forwarded with a body
	failed *targetgroup.Error
	// verdict is what is thought of the client, the same from end to end.
	verdict *trust.Verdict
	action  ActionKind
	rules   int // evaluated

	informed    func(int, http.Header) error // inform
	informing   sync.Mutex
	informedAll bool // guarded by informing: nothing is passed on any more
	traceID     [1]string
	host        hostMemo // kept for the next request
}

func (l *Listener) newExchange() *exchange {
	if x, ok := l.exchanges.Get().(*exchange); ok {
		return x
	}
	x := new(exchange)
	x.informed = x.inform
	return x
}

// recycle gives x back if nobody holds anything of it any more.
func (x *exchange) recycle() {
	if x.body != nil || x.w.stall != nil || x.w.hijacked != nil || !x.w.releaseHeader() || !x.to.Reset() {
		x.to.Discard()
		x.w.keepRequest()
		return
	}
	pool := &x.l.exchanges
	x.l, x.c, x.p, x.r, x.verdict = nil, nil, nil, nil, nil
	x.w, x.out = recorder{}, http.Request{}
	x.failed, x.action, x.rules = nil, ActionOther, 0
	x.informedAll, x.traceID = false, [1]string{}
	pool.Put(x)
}

// serveHTTP answers one request. It is the path that every request takes.
func (l *Listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	x := l.beginExchange(w, r)
	defer x.end()
	x.serve()
}

func (l *Listener) beginExchange(w http.ResponseWriter, r *http.Request) *exchange {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || c == nil {
		panic("listener: internal error: a request without its connection")
	}
	x := l.newExchange()
	x.l, x.c, x.p, x.r, x.began = l, c, l.policy.Load(), r, time.Now()
	x.verdict = c.judged()
	x.w.begin(x, w)
	x.describe()
	return x
}

// serve refuses, or cleans the request and does what the rules say.
func (x *exchange) serve() {
	if x.refused() {
		x.forbid()
		return
	}
	if status := RefuseStatus(x.r); status != 0 {
		x.page(status)
		return
	}
	if x.misdirected() {
		x.page(http.StatusMisdirectedRequest)
		return
	}
	upgrade := upgradeOf(x.r)
	if x.p.headers.dropInvalid {
		x.countInvalidHeaders(x.p.metrics.InvalidHeadersDropped)
	}
	x.p.headers.Sanitize(x.r.Header)
	x.countInvalidHeaders(x.p.metrics.InvalidHeadersForwarded)
	restoreUpgrade(x.r.Header, upgrade)
	x.entry.TraceID = SetTraceID(x.r.Header, x.began, newTraceRandom())

	rule := x.p.rules.match(x.r, x.c.client.Addr(), x.certificateBits())
	x.entry.MatchedRule = rule.Priority
	x.rules = x.p.rules.Len()
	switch a := &rule.Action; {
	case a.FixedResponse != nil:
		x.entry.ActionsExecuted = "fixed-response"
		x.action = ActionFixedResponse
		a.FixedResponse.Write(&x.w, x.r, x.p.responses)
	case a.Redirect != nil:
		x.redirect(a.Redirect)
	default:
		x.entry.ActionsExecuted, x.action = "forward", ActionForward
		x.forward(a.Forward.Pick(mathrand.Uint64))
	}
}

// refused reports whether the answer is 403 whatever is asked for.
func (x *exchange) refused() bool {
	return x.verdict != nil && !x.verdict.Accepted && !x.p.mtls.tolerates(x.verdict, x.c.hasCertificate())
}

// misdirected reports whether the request is for a host that belongs to the mutual
// TLS policy of another listener, while this connection was admitted under
// the policy of this one: 421 (RFC 9110, section 15.5.20). So does one that comes
// between a change of the listener's mode and the end of its connection.
func (x *exchange) misdirected() bool {
	if x.p.outdates(x.c) {
		return true
	}
	return x.c.tc != nil && x.p.hosts != nil && x.p.hosts.Lookup(x.r.Host) == hostElsewhere
}

// forbid is API Gateway's answer to a client whose certificate is refused. The
// reason stays in the log, under the id that the client is told.
func (x *exchange) forbid() {
	x.entry.RefusalID = x.c.newRefusalID()
	x.entry.ErrorReason = string(x.verdict.Reason)
	if ok, missed := x.l.lines.take(x.began); ok {
		x.l.logger.Info("request refused", "listener", x.p.name, "id", x.entry.RefusalID, "conn_trace_id", x.c.traceID,
			"reason", x.entry.ErrorReason, "detail", x.verdict.Detail, "not_shown_before", missed)
	}
	WriteForbidden(&x.w, x.r, x.entry.RefusalID, x.p.responses)
}

func (x *exchange) redirect(d *Redirect) {
	x.entry.ActionsExecuted, x.action = "redirect", ActionRedirect
	status, location := d.Location(x.r, uint16(x.c.port()))
	x.entry.RedirectURL = location
	if status == http.StatusInsufficientStorage {
		x.p.metrics.RedirectTooLong()
	}
	d.Write(&x.w, x.r, uint16(x.c.port()), x.p.responses)
}

func (x *exchange) page(status int) {
	WritePage(&x.w, x.r, status, x.p.responses)
}

// editResponse is run on the headers of every answer, a target's or our own.
func (x *exchange) editResponse(h http.Header) {
	x.p.responses.Apply(h)
	if x.endsConnection() {
		h.Set("Connection", "close") // on HTTP/2 the server makes a GOAWAY of it
	}
}

// endsConnection reports whether this answer is the last on its connection.
func (x *exchange) endsConnection() bool {
	switch {
	case x.c.condemned.Load(), x.l.draining.Load():
		return true
	case x.r.ProtoMajor == 2 && x.c.requests.Load() >= maxRequestsHTTP2:
		return true
	case x.r.ProtoMajor == 1 && x.body != nil && !x.body.ended.Load():
		return true // what is left of the body must not be taken for a request
	}
	return x.began.Sub(x.c.opened) > x.p.timeouts.KeepAlive
}

// end logs and counts the request; also when the handler panics, which is how
// a server is told to cut a connection.
func (x *exchange) end() {
	if fault := recover(); fault != nil {
		if fault != http.ErrAbortHandler {
			x.l.logger.Error("panic while serving a request", "listener", x.p.name, "panic", fault, "stack", string(debug.Stack()))
			if x.w.status == 0 {
				x.entry.ELBStatus = http.StatusInternalServerError // which the client is not told
			}
		}
		defer panic(http.ErrAbortHandler)
	}
	if x.body != nil {
		x.body.close()
	}
	x.w.close()
	x.finish()
	x.p.accessLog.write(&x.entry)
	x.count()
	x.recycle()
}
