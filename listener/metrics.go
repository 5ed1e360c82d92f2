package listener

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/internal/logfile"
)

const (
	metricPrefix  = "postern"
	listenerLabel = "listener"
)

// Metrics is every metric that listeners have, in one registry. The names are
// those of ALB's CloudWatch metrics in lower case with underscores (ALB,
// CloudWatch metrics for your Application Load Balancer), so RequestCount is
// postern_request_count; metrics that ALB does not have follow Prometheus' own
// custom. A nil *Metrics counts nothing, and is safe to use. All methods may be
// called concurrently.
type Metrics struct {
	registry  prometheus.Registerer
	active    *prometheus.GaugeVec
	handshake handshakeMetrics
	counters  [counterKinds]*prometheus.CounterVec
	elbCodes  *prometheus.CounterVec
	targets   *prometheus.CounterVec
	response  *prometheus.HistogramVec
}

// NewMetrics registers the metrics with reg and returns them; with a nil reg it
// returns nil. It panics if reg has them already, since that is a bug.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	if reg == nil {
		return nil
	}
	m := &Metrics{
		registry: reg,
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: metricPrefix, Name: "active_connection_count",
			Help: "Client connections that are open now.",
		}, []string{listenerLabel}),
		handshake: newHandshakeMetrics(),
		elbCodes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricPrefix, Name: "httpcode_elb_count",
			Help: "Responses that the load balancer made itself, by status code.",
		}, []string{listenerLabel, "code"}),
		targets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricPrefix, Name: "httpcode_target_count",
			Help: "Responses of targets, by class of status code.",
		}, []string{listenerLabel, "code"}),
		response: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: metricPrefix, Name: "target_response_time_seconds",
			Help:    "Time from dispatch to the headers of the target's response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{listenerLabel}),
	}
	reg.MustRegister(m.active, m.elbCodes, m.targets, m.response)
	reg.MustRegister(m.handshake.total, m.handshake.duration, m.handshake.resumed)
	for kind, c := range counterNames {
		m.counters[kind] = prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricPrefix, Name: c.name, Help: c.help,
		}, []string{listenerLabel})
		reg.MustRegister(m.counters[kind])
	}
	return m
}

// counterKind numbers the counters that have no label but the listener.
type counterKind int

const (
	newConnections counterKind = iota
	rejectedConnections
	tlsErrors
	requests
	processedBytes
	ipv6Requests
	ipv6Bytes
	grpcRequests
	ruleEvaluations
	fixedResponses
	redirects
	redirectsTooLong
	droppedHeaders
	forwardedHeaders
	nonCompliant
	counterKinds
)

// counterNames is one flat table.
var counterNames = [counterKinds]struct{ name, help string }{
	newConnections:      {"new_connection_count", "Client connections accepted."},
	rejectedConnections: {"rejected_connection_count", "Client connections closed because the limit of connections was reached."},
	tlsErrors:           {"client_tls_negotiation_error_count", "Client connections without a TLS session: failed handshakes and refused client certificates."},
	requests:            {"request_count", "Requests for which a target was chosen."},
	processedBytes:      {"processed_bytes", "HTTP bytes received from and sent to clients, headers included."},
	ipv6Requests:        {"ipv6_request_count", "Requests of clients with an IPv6 address."},
	ipv6Bytes:           {"ipv6_processed_bytes", "The part of processed_bytes that went over IPv6."},
	grpcRequests:        {"grpc_request_count", "gRPC requests."},
	ruleEvaluations:     {"rule_evaluations", "Rules evaluated, the default rule not counted."},
	fixedResponses:      {"http_fixed_response_count", "Fixed responses sent."},
	redirects:           {"http_redirect_count", "Redirects sent."},
	redirectsTooLong:    {"http_redirect_url_limit_exceeded_count", "Redirects that became a 507 because the URL was too long."},
	droppedHeaders:      {"dropped_invalid_header_request_count", "Requests from which headers with invalid names were dropped."},
	forwardedHeaders:    {"forwarded_invalid_header_request_count", "Requests forwarded with headers of invalid names."},
	nonCompliant:        {"desync_mitigation_mode_non_compliant_request_count", "Requests that do not comply with RFC 7230."},
}

// Listener returns the metrics of the listener called name, all at zero if it is
// new. Keep the result: finding it costs many look-ups, using it none.
func (m *Metrics) Listener(name string) *ListenerMetrics {
	if m == nil {
		return nil
	}
	l := &ListenerMetrics{
		active:    m.active.WithLabelValues(name),
		handshake: m.handshake.listener(name),
		response:  m.response.WithLabelValues(name),
		elbCodes:  m.elbCodes.MustCurryWith(prometheus.Labels{listenerLabel: name}),
	}
	for kind, vec := range m.counters {
		l.counters[kind] = vec.WithLabelValues(name)
	}
	for class := range l.targets {
		l.targets[class] = m.targets.WithLabelValues(name, statusClasses[class])
	}
	return l
}

// Forget removes the metrics of a listener that is gone. What its old
// ListenerMetrics count afterwards is lost.
func (m *Metrics) Forget(name string) {
	if m == nil {
		return
	}
	gone := prometheus.Labels{listenerLabel: name}
	m.active.DeletePartialMatch(gone)
	m.elbCodes.DeletePartialMatch(gone)
	m.targets.DeletePartialMatch(gone)
	m.response.DeletePartialMatch(gone)
	m.handshake.forget(gone)
	for _, vec := range m.counters {
		vec.DeletePartialMatch(gone)
	}
}

// WatchLog adds log_lines_dropped_total and log_errors_total of a log, "access"
// or "connection", and returns the function that takes them away again. It
// panics if a log of that name is being watched.
func (m *Metrics) WatchLog(name string, w *logfile.Writer) (stop func()) {
	if m == nil || w == nil {
		return func() {}
	}
	collectors := []prometheus.Collector{
		logCounter(name, "log_lines_dropped_total", "Log lines lost because the disk could not follow.", w.Dropped),
		logCounter(name, "log_errors_total", "Times that a log could not be written, opened or rotated.", w.Errors),
	}
	m.registry.MustRegister(collectors...)
	return func() {
		for _, c := range collectors {
			m.registry.Unregister(c)
		}
	}
}

func logCounter(log, name, help string, value func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: metricPrefix, Name: name, Help: help,
		ConstLabels: prometheus.Labels{"log": log},
	}, func() float64 { return float64(value()) })
}
