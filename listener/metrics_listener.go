package listener

import (
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusClasses are the code labels of httpcode_target_count.
var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "other"}

// statusClass returns the index of a status in statusClasses.
func statusClass(status int) int {
	if class := status / 100; 1 <= class && class <= 5 {
		return class - 1
	}
	return len(statusClasses) - 1
}

// Status codes that have a series of their own in httpcode_elb_count. Others are
// counted as "other".
const (
	minStatus = 100
	maxStatus = 599
)

// ListenerMetrics counts for one listener. It holds its counters, so that an
// event costs an atomic addition and no look-up. A nil *ListenerMetrics counts
// nothing. All methods may be called concurrently.
type ListenerMetrics struct {
	// Fixed by Metrics.Listener.
	active    prometheus.Gauge
	counters  [counterKinds]prometheus.Counter
	handshake listenerHandshakes
	targets   [len(statusClasses)]prometheus.Counter
	response  prometheus.Observer
	elbCodes  *prometheus.CounterVec

	// elbByCode is filled at the first use of each code: most never occur.
	elbByCode [maxStatus - minStatus + 2]atomic.Pointer[prometheus.Counter]
}

// ConnectionOpened counts a connection that was accepted; call
// [ListenerMetrics.ConnectionClosed] once for each.
func (l *ListenerMetrics) ConnectionOpened() {
	if l == nil {
		return
	}
	l.counters[newConnections].Inc()
	l.active.Inc()
}

// ConnectionClosed counts the end of a connection.
func (l *ListenerMetrics) ConnectionClosed() {
	if l != nil {
		l.active.Dec()
	}
}

// ConnectionRejected counts a connection that was closed at once because the
// listener has as many as it may. It counts as neither new nor active.
func (l *ListenerMetrics) ConnectionRejected() { l.add(rejectedConnections, 1) }

// RedirectTooLong counts a redirect whose URL was too long to send.
func (l *ListenerMetrics) RedirectTooLong() { l.add(redirectsTooLong, 1) }

// InvalidHeadersDropped counts one request that lost headers with invalid names.
func (l *ListenerMetrics) InvalidHeadersDropped() { l.add(droppedHeaders, 1) }

// InvalidHeadersForwarded counts one request that kept such headers.
func (l *ListenerMetrics) InvalidHeadersForwarded() { l.add(forwardedHeaders, 1) }

func (l *ListenerMetrics) add(kind counterKind, n float64) {
	if l != nil && n > 0 {
		l.counters[kind].Add(n)
	}
}

// ActionKind says what answered a request, for [RequestSample].
type ActionKind uint8

// The actions that ALB counts apart.
const (
	ActionOther ActionKind = iota // no action, or one that is not below
	ActionForward
	ActionFixedResponse
	ActionRedirect
)

// RequestSample is what the metrics want to know of one finished request.
type RequestSample struct {
	Client          netip.Addr    // the client's own address
	Action          ActionKind    // what answered
	GRPC            bool          //
	NonCompliant    bool          // classified as other than compliant
	Dispatched      bool          // a target was chosen
	ELBStatus       int           // of a response that we made; 0 if it is the target's
	TargetStatus    int           // 0 if the target gave none
	TargetTime      time.Duration // from dispatch to the target's headers; NoTime if none came
	RuleEvaluations int           // rules evaluated, without the default rule
	Received, Sent  int64         // HTTP bytes, headers included
}

// Request counts one request at its end. The sample is only read, so the caller
// may use it again.
func (l *ListenerMetrics) Request(s *RequestSample) {
	if l == nil {
		return
	}
	if s.Dispatched {
		l.counters[requests].Inc()
	}
	if s.GRPC {
		l.counters[grpcRequests].Inc()
	}
	if s.NonCompliant {
		l.counters[nonCompliant].Inc()
	}
	l.add(ruleEvaluations, float64(s.RuleEvaluations))
	l.countBytes(s)
	l.countAction(s.Action)
	l.countStatus(s)
}

func (l *ListenerMetrics) countBytes(s *RequestSample) {
	n := float64(s.Received + s.Sent)
	l.add(processedBytes, n)
	if s.Client.Is6() && !s.Client.Is4In6() {
		l.counters[ipv6Requests].Inc()
		l.add(ipv6Bytes, n)
	}
}

func (l *ListenerMetrics) countAction(a ActionKind) {
	switch a {
	case ActionFixedResponse:
		l.counters[fixedResponses].Inc()
	case ActionRedirect:
		l.counters[redirects].Inc()
	}
}

func (l *ListenerMetrics) countStatus(s *RequestSample) {
	if s.TargetStatus > 0 {
		l.targets[statusClass(s.TargetStatus)].Inc()
		if s.TargetTime >= 0 {
			l.response.Observe(s.TargetTime.Seconds())
		}
	}
	if s.ELBStatus > 0 {
		l.elbCode(s.ELBStatus).Inc()
	}
}

// elbCode returns the counter of a status code. Two goroutines may both find the
// place empty; they then store the same counter.
func (l *ListenerMetrics) elbCode(status int) prometheus.Counter {
	i, label := status-minStatus, ""
	if status < minStatus || status > maxStatus {
		i, label = len(l.elbByCode)-1, "other"
	}
	if c := l.elbByCode[i].Load(); c != nil {
		return *c
	}
	if label == "" {
		label = strconv.Itoa(status)
	}
	c := l.elbCodes.WithLabelValues(label)
	l.elbByCode[i].Store(&c)
	return c
}
