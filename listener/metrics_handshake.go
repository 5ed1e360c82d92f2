package listener

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/trust"
)

// Outcomes of a TLS handshake, for [ListenerMetrics.HandshakeDone].
const (
	HandshakeAccepted = "accepted" // the client is let in
	HandshakeRefused  = "refused"  // TLS worked, the client certificate did not
	HandshakeFailed   = "failed"   // there was no TLS session
	// HandshakeTolerated is a refusal that allow_invalid overrules.
	HandshakeTolerated = "tolerated"
)

// Reasons of failed handshakes. Reasons of refusal are the codes of the
// connection log (ALB, Connection logs for your Application Load Balancer).
const (
	FailedTimeout       = "Timeout"       // the client was too slow
	FailedClosed        = "Closed"        // the client went away
	FailedNotTLS        = "NotTLS"        // what came was no TLS record
	FailedVersion       = "Version"       // no version of TLS in common
	FailedCipher        = "Cipher"        // no cipher suite or group in common
	FailedClientAlert   = "ClientAlert"   // the client sent an alert: it distrusts us, say
	FailedProxyProtocol = "ProxyProtocol" // the PROXY protocol header is missing or wrong
	FailedClientHello   = "ClientHello"   // the first message is too large or malformed
	FailedBusy          = "Busy"          // too many handshakes were under way
	FailedUnmapped      = "UnmappedConnectionError"
)

// otherReason takes every reason that is in no list, so that no input of a
// client or name of a new reason can make a new series.
const otherReason = "other"

// refusedMissing is counted for a client that sent no certificate where one is
// required. In the log it has ALB's UnmappedConnectionError.
const refusedMissing = "ClientCertMissing"

// refusalReasons are the codes of ALB's list and one that ALB lacks.
func refusalReasons() []string {
	reasons := []string{refusedMissing}
	for _, reason := range trust.Reasons() {
		reasons = append(reasons, string(reason))
	}
	return reasons
}

var failureReasons = [...]string{
	FailedTimeout, FailedClosed, FailedNotTLS, FailedVersion, FailedCipher,
	FailedClientAlert, FailedProxyProtocol, FailedClientHello, FailedBusy, FailedUnmapped,
}

type handshakeMetrics struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	resumed  *prometheus.CounterVec
}

func newHandshakeMetrics() handshakeMetrics {
	return handshakeMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricPrefix, Name: "handshakes_total",
			Help: "TLS handshakes by outcome (accepted, tolerated, refused, failed) and reason.",
		}, []string{listenerLabel, "outcome", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: metricPrefix, Name: "handshake_duration_seconds",
			Help: "Duration of accepted TLS handshakes.",
			// From a resumption next door to the limit of a handshake's time.
			Buckets: []float64{.00025, .0005, .001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 2, 5, 10},
		}, []string{listenerLabel}),
		resumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricPrefix, Name: "handshakes_resumed_total",
			Help: "Accepted TLS handshakes that resumed a session.",
		}, []string{listenerLabel}),
	}
}

func (m *handshakeMetrics) forget(gone prometheus.Labels) {
	m.total.DeletePartialMatch(gone)
	m.duration.DeletePartialMatch(gone)
	m.resumed.DeletePartialMatch(gone)
}

// listenerHandshakes are the children for one listener. The maps are never
// changed after they are made.
type listenerHandshakes struct {
	accepted  prometheus.Counter
	tolerated map[string]prometheus.Counter
	refused   map[string]prometheus.Counter
	failed    map[string]prometheus.Counter
	duration  prometheus.Observer
	resumed   prometheus.Counter
}

func (m *handshakeMetrics) listener(name string) listenerHandshakes {
	byReason := func(outcome string, reasons []string) map[string]prometheus.Counter {
		children := map[string]prometheus.Counter{
			otherReason: m.total.WithLabelValues(name, outcome, otherReason),
		}
		for _, reason := range reasons {
			children[reason] = m.total.WithLabelValues(name, outcome, reason)
		}
		return children
	}
	return listenerHandshakes{
		accepted:  m.total.WithLabelValues(name, HandshakeAccepted, ""),
		tolerated: byReason(HandshakeTolerated, refusalReasons()),
		refused:   byReason(HandshakeRefused, refusalReasons()),
		failed:    byReason(HandshakeFailed, failureReasons[:]),
		duration:  m.duration.WithLabelValues(name),
		resumed:   m.resumed.WithLabelValues(name),
	}
}

// HandshakeDone counts the end of a TLS handshake. The outcome is one of
// HandshakeAccepted, HandshakeTolerated, HandshakeRefused and HandshakeFailed, any other counting as
// failed. The reason of a refusal is a code of the connection log without
// "Failed:", that of a failure one of the Failed constants; a reason that is
// neither counts as "other", and that of an acceptance is ignored. Only accepted
// handshakes enter the histogram, as in ALB's log field tls_handshake_latency,
// because the others would measure the client's patience. Refusals and failures count as
// ClientTLSNegotiationErrorCount; whether ALB counts refusals there is not known.
func (l *ListenerMetrics) HandshakeDone(outcome, reason string, resumed bool, d time.Duration) {
	if l == nil {
		return
	}
	if outcome == HandshakeAccepted {
		l.handshake.accept(resumed, d)
		return
	}
	children := l.handshake.failed
	switch outcome {
	case HandshakeTolerated:
		children = l.handshake.tolerated
	case HandshakeRefused:
		children = l.handshake.refused
	}
	if outcome != HandshakeTolerated {
		l.counters[tlsErrors].Inc()
	}
	child, ok := children[reason]
	if !ok {
		child = children[otherReason]
	}
	child.Inc()
}

func (h *listenerHandshakes) accept(resumed bool, d time.Duration) {
	h.accepted.Inc()
	if resumed {
		h.resumed.Inc()
	}
	h.duration.Observe(d.Seconds())
}
