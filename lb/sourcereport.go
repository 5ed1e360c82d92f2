package lb

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A SourceReport is how a source does, for operators.
type SourceReport struct {
	Source      string     `json:"source"`
	Version     string     `json:"version,omitempty"`
	LastAttempt *time.Time `json:"last_attempt,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	Failures    int        `json:"consecutive_failures"`
	Error       string     `json:"error,omitempty"`
	Waiting     bool       `json:"newest_copy_refused"`
}

func (b *LoadBalancer) sourceReports() []SourceReport {
	out := []SourceReport{}
	for _, s := range b.sources.statuses() {
		report := SourceReport{Source: s.Name, Version: s.Version, Failures: s.Failures, Waiting: s.Waiting}
		if !s.LastAttempt.IsZero() {
			report.LastAttempt = &s.LastAttempt
		}
		if !s.LastSuccess.IsZero() {
			report.LastSuccess = &s.LastSuccess
		}
		if s.Err != nil {
			report.Error = s.Err.Error()
		}
		out = append(out, report)
	}
	return out
}

// A sourceCollector reports on the sources at each scrape.
type sourceCollector struct{ balancer *LoadBalancer }

// Describe implements prometheus.Collector; the metrics differ with the sources.
func (c *sourceCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *sourceCollector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.balancer.sources.statuses() {
		gauge := func(name, help string, value float64) {
			desc := prometheus.NewDesc("postern_source_"+name, help, []string{"source"}, nil)
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, s.Name)
		}
		if !s.LastSuccess.IsZero() {
			gauge("last_success_timestamp_seconds", "When a source last gave a good answer, in Unix time.", float64(s.LastSuccess.Unix()))
		}
		gauge("last_attempt_success", "Whether the last attempt to fetch a source succeeded.", flag(s.Err == nil && !s.LastAttempt.IsZero()))
		gauge("consecutive_failures", "Attempts to fetch a source that have failed since the last success.", float64(s.Failures))
		gauge("newest_copy_refused", "Whether the newest copy of a source is not in force, because it does not fit with the rest.", flag(s.Waiting))
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
