package targetgroup

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counts of all target groups of one registry, named after
// CloudWatch's of AWS/ApplicationELB. Health checks are not in them. A nil
// *Metrics counts nothing. It is safe for concurrent use.
type Metrics struct {
	requests         *prometheus.CounterVec
	perTarget        *prometheus.CounterVec
	responseTime     *prometheus.HistogramVec
	codes            *prometheus.CounterVec
	connectionErrors *prometheus.CounterVec
	tlsErrors        *prometheus.CounterVec
	healthy          *prometheus.GaugeVec
	unhealthy        *prometheus.GaugeVec

	// users counts who holds the children of a label set: two groups of one name
	// live side by side while a configuration is being replaced.
	mu    sync.Mutex
	users map[[2]string]int // guarded by mu; group and target, or group and ""
}

// NewMetrics makes the metrics and registers them with reg. Like
// prometheus.MustRegister it panics if that has been done before.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"target_group"})
	}
	m := &Metrics{
		requests:         counter("postern_target_group_request_count", "Requests for which a target was chosen.", "target_group"),
		perTarget:        counter("postern_target_request_count", "Requests sent to one target.", "target_group", "target"),
		codes:            counter("postern_target_group_httpcode_target_count", "Responses of targets by class of status code.", "target_group", "code_class"),
		connectionErrors: counter("postern_target_connection_error_count", "Connections to a target that were not established.", "target_group", "target"),
		tlsErrors:        counter("postern_target_tls_negotiation_error_count", "TLS handshakes with a target that did not end in a session.", "target_group", "target"),
		healthy:          gauge("postern_healthy_host_count", "Targets that are healthy."),
		unhealthy:        gauge("postern_unhealthy_host_count", "Targets that are unhealthy."),
		responseTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "postern_target_group_response_time_seconds",
			Help:    "Time from dispatching a request to a target to the headers of its response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"target_group"}),
		users: make(map[[2]string]int),
	}
	reg.MustRegister(m.requests, m.perTarget, m.responseTime, m.codes, m.connectionErrors, m.tlsErrors, m.healthy, m.unhealthy)
	return m
}

// groupMetrics are one group's children, held so that no request looks them up.
type groupMetrics struct {
	requests           prometheus.Counter
	responseTime       prometheus.Observer
	codes              [len(codeClasses)]prometheus.Counter
	healthy, unhealthy prometheus.Gauge
}

// codeClasses are the classes by the first digit of a status code, less one.
// CloudWatch counts 2XX to 5XX; 101 is in 1xx.
var codeClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func (m *Metrics) group(name string) *groupMetrics {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[[2]string{name}]++
	g := &groupMetrics{
		requests:     m.requests.WithLabelValues(name),
		responseTime: m.responseTime.WithLabelValues(name),
		healthy:      m.healthy.WithLabelValues(name),
		unhealthy:    m.unhealthy.WithLabelValues(name),
	}
	for i, class := range codeClasses {
		g.codes[i] = m.codes.WithLabelValues(name, class)
	}
	return g
}

// releaseGroup gives up what group returned; the last user's children go.
func (m *Metrics) releaseGroup(name string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drop([2]string{name}) {
		m.requests.DeleteLabelValues(name)
		m.responseTime.DeleteLabelValues(name)
		m.healthy.DeleteLabelValues(name)
		m.unhealthy.DeleteLabelValues(name)
		m.codes.DeletePartialMatch(prometheus.Labels{"target_group": name})
	}
}

// drop reports whether the last user of key has gone; the caller holds mu.
func (m *Metrics) drop(key [2]string) bool {
	m.users[key]--
	if m.users[key] > 0 {
		return false
	}
	delete(m.users, key)
	return true
}

func (g *groupMetrics) request() {
	if g != nil {
		g.requests.Inc()
	}
}

func (g *groupMetrics) response(status int, elapsed time.Duration) {
	if g == nil {
		return
	}
	g.responseTime.Observe(elapsed.Seconds())
	if class := status/100 - 1; class >= 0 && class < len(g.codes) {
		g.codes[class].Inc()
	}
}

func (g *groupMetrics) hosts(healthy, unhealthy int) {
	if g != nil {
		g.healthy.Set(float64(healthy))
		g.unhealthy.Set(float64(unhealthy))
	}
}

// targetMetrics are one target's children.
type targetMetrics struct {
	requests, connectionErrors, tlsErrors prometheus.Counter
}

func (m *Metrics) target(group, address string) *targetMetrics {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[[2]string{group, address}]++
	return &targetMetrics{
		requests:         m.perTarget.WithLabelValues(group, address),
		connectionErrors: m.connectionErrors.WithLabelValues(group, address),
		tlsErrors:        m.tlsErrors.WithLabelValues(group, address),
	}
}

func (m *Metrics) releaseTarget(group, address string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drop([2]string{group, address}) {
		for _, vec := range []*prometheus.CounterVec{m.perTarget, m.connectionErrors, m.tlsErrors} {
			vec.DeleteLabelValues(group, address)
		}
	}
}

func (t *targetMetrics) request() {
	if t != nil {
		t.requests.Inc()
	}
}

func (t *targetMetrics) connectionError() {
	if t != nil {
		t.connectionErrors.Inc()
	}
}

func (t *targetMetrics) tlsError() {
	if t != nil {
		t.tlsErrors.Inc()
	}
}
