package lb

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/trust"
)

// maxLabel bounds the values of labels that come from certificates, in bytes.
const maxLabel = 128

// label cuts a value that is long.
func label(s string) string {
	if len(s) > maxLabel {
		return strings.ToValidUTF8(s[:maxLabel-len("…")], "") + "…"
	}
	return s
}

// collectWarnings reports how many warnings of each code there are, 0 too, so that an
// alert sees the first.
func collectWarnings(out chan<- prometheus.Metric, store string, certificates []trust.Warning, lists []crl.Warning) {
	counts := make(map[string]int)
	for _, code := range trust.WarningCodes() {
		counts[string(code)] = 0
	}
	for _, w := range certificates {
		counts[string(w.Code)]++
	}
	send := func(name, help string) {
		desc := trustMetric(name, help, "code")
		for code, n := range counts {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), store, code)
		}
		clear(counts)
	}
	send("trust_store_warnings", "What is questionable about the bundle now, by code.")
	for _, kind := range crl.WarningKinds() {
		counts[string(kind)] = 0
	}
	for _, w := range lists {
		counts[string(w.Kind)]++
	}
	send("crl_warnings", "What is questionable about the revocation lists now, by code.")
}

// collectVersions reports which version of each trust store is in force.
func (b *LoadBalancer) collectVersions(out chan<- prometheus.Metric) {
	number := trustMetric("trust_store_version", "The version in force.")
	pinned := trustMetric("trust_store_pinned", "1 if the trust store is held at a version and does not follow its sources.")
	kept := trustMetric("trust_store_version_kept", "1 if the contents of the version in force are kept, so that it can be gone back to.")
	for name, s := range b.runtime.storeStates() {
		version, _ := s.history.Find(s.version)
		out <- prometheus.MustNewConstMetric(number, prometheus.GaugeValue, float64(s.version), name)
		out <- prometheus.MustNewConstMetric(pinned, prometheus.GaugeValue, truth(s.pin != nil), name)
		if s.history.Folder() != "" {
			out <- prometheus.MustNewConstMetric(kept, prometheus.GaugeValue, truth(version.Kept), name)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// collectServerCertificates reports when the certificates that listeners present end.
func (b *LoadBalancer) collectServerCertificates(out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("postern_listener_certificate_expiry_timestamp_seconds",
		"When a certificate that the listener presents ends, in Unix time.", []string{"listener", "subject", "serial_number"}, nil)
	type identity struct{ listener, subject, serial string }
	seen := make(map[identity]bool)
	for name, certificates := range b.runtime.servedCertificates() {
		for _, c := range certificates {
			id := trust.NewIdentity(c)
			key := identity{name, label(id.Subject), label(id.Serial)}
			if seen[key] {
				continue
			}
			seen[key] = true
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(c.NotAfter.Unix()), key.listener, key.subject, key.serial)
		}
	}
}
