package lb

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/targetgroup"
)

// A targetCollector reports on every target at each scrape, from what the target
// groups count themselves.
type targetCollector struct{ balancer *LoadBalancer }

func targetMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_target_"+name, help, append([]string{"target_group", "target"}, labels...), nil)
}

var (
	targetInFlight  = targetMetric("in_flight_requests", "Requests that the target is working on.")
	targetResponses = targetMetric("responses_total", "Responses of the target whose headers have come.")
	targetSeconds   = targetMetric("response_seconds_total", "Time from dispatch to the headers of the response, of all responses together.")
	targetFaults    = targetMetric("faults_total", "Requests that failed by the target's fault.")
	targetState     = targetMetric("state", "1 for the state that the target is in, and the reason.", "state", "reason")
)

// Describe implements prometheus.Collector; the metrics differ with the targets.
func (c *targetCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *targetCollector) Collect(out chan<- prometheus.Metric) {
	for _, group := range c.balancer.runtime.runningGroups() {
		for _, h := range group.Health() {
			collectTarget(out, &h)
		}
	}
}

func collectTarget(out chan<- prometheus.Metric, h *targetgroup.TargetHealth) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, value, append([]string{h.Group, h.Address()}, labels...)...)
	}
	send(targetInFlight, prometheus.GaugeValue, float64(h.InFlight))
	send(targetResponses, prometheus.CounterValue, float64(h.Responses))
	send(targetSeconds, prometheus.CounterValue, h.ResponseTime.Seconds())
	send(targetFaults, prometheus.CounterValue, float64(h.Errors))
	send(targetState, prometheus.GaugeValue, 1, string(h.State), string(h.Reason))
}
