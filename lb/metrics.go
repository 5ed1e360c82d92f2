package lb

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// metrics is everything that /metrics shows.
type metrics struct {
	listeners    *listener.Metrics
	targetGroups *targetgroup.Metrics
	reloads      *prometheus.CounterVec
	ocspQueries  *prometheus.CounterVec
	pointFetches *prometheus.CounterVec
}

func newMetrics(b *LoadBalancer) *metrics {
	m := &metrics{
		listeners:    listener.NewMetrics(b.registry),
		targetGroups: targetgroup.NewMetrics(b.registry),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_reloads_total", Help: "Reloads of the config and its files by outcome: applied, refused.",
		}, []string{"outcome"}),
	}
	m.ocspQueries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_ocsp_queries_total", Help: "Queries to OCSP responders by result: good, revoked, unknown, failed.",
	}, []string{"trust_store", "result"})
	m.pointFetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_crl_distribution_point_fetches_total", Help: "Fetches of CRL distribution points by result: replaced, same, failed.",
	}, []string{"trust_store", "result"})
	for _, outcome := range []string{"applied", "refused"} {
		m.reloads.WithLabelValues(outcome) // from 0, so that alerts see the first
	}
	b.registry.MustRegister(
		m.reloads, m.ocspQueries, m.pointFetches, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postern_seen_clients", Help: "Clients that are remembered because they were let in lately, counted for each listener.",
		}, func() float64 { return float64(b.seen.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postern_refusals_kept", Help: "Refused clients that the admin side can tell of.",
		}, func() float64 { return float64(b.refusals.Len()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&trustCollector{balancer: b}, &targetCollector{balancer: b}, &sourceCollector{balancer: b},
	)
	return m
}

// A trustCollector reports on the trust stores at each scrape. Nothing of it is
// counted on the path of a handshake but what the stores count themselves.
type trustCollector struct{ balancer *LoadBalancer }

func trustMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_"+name, help, append([]string{"trust_store"}, labels...), nil)
}

// Describe implements prometheus.Collector; the metrics differ with the stores.
func (c *trustCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *trustCollector) Collect(out chan<- prometheus.Metric) {
	now := c.balancer.now()
	c.balancer.collectVersions(out)
	c.balancer.collectServerCertificates(out)
	for name, s := range c.balancer.runtime.runningStores() {
		stats := s.Stats()
		count := func(metric, help string, value uint64) {
			out <- prometheus.MustNewConstMetric(trustMetric(metric, help), prometheus.CounterValue, float64(value), name)
		}
		count("trust_store_memo_hits_total", "Verdicts that the memo of verified chains answered.", stats.Hits)
		count("trust_store_memo_misses_total", "Chains that the memo did not know.", stats.Misses)
		count("trust_store_memo_evictions_total", "Entries that made room for others.", stats.Evictions)
		count("trust_store_verifications_total", "Searches for a path, the costly part of a verdict.", stats.Verifications)
		out <- prometheus.MustNewConstMetric(trustMetric("trust_store_memo_entries", "Chains in the memo."),
			prometheus.GaugeValue, float64(stats.Entries), name)
		collectProbes(out, name, c.balancer.runtime.probes(name))
		collectExpiries(out, name, s.Snapshot())
		collectRevocations(out, name, s.Revocations(), now)
		collectOutlook(out, name, s.Outlook())
		collectWarnings(out, name, s.Snapshot().Warnings(now), s.Revocations().Warnings(now))
	}
}

func collectProbes(out chan<- prometheus.Metric, name string, p probes) {
	if !p.ocsp.idle() {
		out <- prometheus.MustNewConstMetric(trustMetric("ocsp_cache_entries", "Certificates of which an OCSP answer is remembered."),
			prometheus.GaugeValue, float64(p.ocsp.prober.Entries()), name)
	}
	if !p.points.idle() {
		out <- prometheus.MustNewConstMetric(trustMetric("crl_distribution_point_lists", "Lists from CRL distribution points."),
			prometheus.GaugeValue, float64(p.points.prober.Lists()), name)
	}
}

func collectExpiries(out chan<- prometheus.Metric, name string, snapshot *trust.Snapshot) {
	out <- prometheus.MustNewConstMetric(trustMetric("trust_store_certificates", "CA certificates in the bundle."),
		prometheus.GaugeValue, float64(snapshot.Len()), name)
	expiry := trustMetric("trust_store_certificate_expiry_timestamp_seconds",
		"When a certificate of the bundle ends, in Unix time.", "subject", "serial_number")
	// Two certificates may have one name and serial number: a root that was renewed
	// with neither changed. The first to end is what matters.
	type identity struct{ subject, serial string }
	first := make(map[identity]time.Time)
	for _, e := range snapshot.Expiries() {
		id := identity{label(e.Subject), label(e.Serial)}
		if end, known := first[id]; !known || e.NotAfter.Before(end) {
			first[id] = e.NotAfter
		}
	}
	for id, end := range first {
		out <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, float64(end.Unix()), name, id.subject, id.serial)
	}
}

func collectRevocations(out chan<- prometheus.Metric, name string, set *crl.Set, now time.Time) {
	entries := trustMetric("crl_entries", "Entries of a revocation list.", "list", "issuer")
	age := trustMetric("crl_age_seconds", "Time since thisUpdate of a revocation list.", "list", "issuer")
	next := trustMetric("crl_next_update_timestamp_seconds", "nextUpdate of a revocation list in Unix time, if it has one.", "list", "issuer")
	for i, l := range set.Lists() {
		labels := []string{name, strconv.Itoa(i), l.Issuer}
		out <- prometheus.MustNewConstMetric(entries, prometheus.GaugeValue, float64(l.Entries), labels...)
		out <- prometheus.MustNewConstMetric(age, prometheus.GaugeValue, now.Sub(l.ThisUpdate).Seconds(), labels...)
		if t := l.NextUpdate; !t.IsZero() {
			out <- prometheus.MustNewConstMetric(next, prometheus.GaugeValue, float64(t.Unix()), labels...)
		}
	}
}

// collectOutlook reports on the CAs for which a revocation policy may refuse clients.
func collectOutlook(out chan<- prometheus.Metric, name string, all []trust.Outlook) {
	missing := trustMetric("crl_missing", "1 if a CA's clients are refused because there is no revocation list of it.", "authority", "subject_key_id")
	denies := trustMetric("crl_deny_timestamp_seconds",
		"When a CA's clients are refused because its revocation list has expired, grace included, in Unix time.", "authority", "subject_key_id")
	for _, o := range all {
		value := 0.0
		if o.Missing {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(missing, prometheus.GaugeValue, value, name, o.Subject, o.SubjectKeyID)
		if !o.Denies.IsZero() {
			out <- prometheus.MustNewConstMetric(denies, prometheus.GaugeValue, float64(o.Denies.Unix()), name, o.Subject, o.SubjectKeyID)
		}
	}
}
