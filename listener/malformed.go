package listener

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/postern-lb/postern/internal/http1"
)

// http2Preface is how an HTTP/2 client begins (RFC 9113, section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n"

// refuseMalformed answers what came on an HTTP/1.1 connection and is no request, or
// is one over a limit, with ALB's page, and leaves a line in the access log. No rule
// has seen it, and its connection ends: where the next request would begin is
// not known.
func (l *Listener) refuseMalformed(ctx context.Context, w io.Writer, refusal *http1.Refusal) {
	c, p := ctx.Value(connKey{}).(*conn), l.policy.Load()
	began, status := time.Now(), refusal.Err.Status
	if bytes.HasPrefix(refusal.Head, []byte(http2Preface)) {
		status = http.StatusBadRequest // HTTP/2 needs ALPN (ALB, "Troubleshoot": 400)
	}
	answer := appendPage(nil, status, began, p.responses)
	w.Write(answer) // an error means that the client is gone

	var e AccessEntry
	e.Reset()
	c.requests.Add(1)
	c.describeRequests(&e, p)
	e.Type = TypeHTTP
	if c.tc != nil {
		e.Type = TypeHTTPS
	}
	e.RequestCreationTime, e.Time = began, time.Now()
	e.ELBStatus = status
	e.ReceivedBytes, e.SentBytes = int64(len(refusal.Head)), int64(len(answer))
	p.accessLog.write(&e)
	p.metrics.Request(&RequestSample{
		Client: e.Client.Addr(), ELBStatus: e.ELBStatus, TargetTime: NoTime, NonCompliant: true,
		Received: e.ReceivedBytes, Sent: e.SentBytes,
	})
	l.logger.Debug("request refused", "listener", p.name, "conn_trace_id", c.traceID, "status", e.ELBStatus, "reason", refusal.Err.Error())
}

// serveMalformed answers an HTTP/2 request that is malformed like one that ALB
// refuses, before any rule is looked at. The server resets its stream then.
func (l *Listener) serveMalformed(w http.ResponseWriter, r *http.Request) {
	x := l.beginExchange(w, r)
	defer x.end()
	x.page(http.StatusBadRequest)
}
