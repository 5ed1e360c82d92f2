package targetgroup_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-lb/postern/targetgroup"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	good, bad := serve(t, targetgroup.HTTP1, answer("")), refusing(t)
	cfg := config(good, bad)
	cfg.Metrics = targetgroup.NewMetrics(reg)
	g := newGroup(t, cfg)
	get(g, 1)
	get(g, 1)
	stop := run(t, g)
	eventually(t, "both are judged", isState(g, "healthy unhealthy"))
	want := strings.NewReplacer("GOOD", good, "BAD", bad).Replace(`
# HELP postern_healthy_host_count Targets that are healthy.
# TYPE postern_healthy_host_count gauge
postern_healthy_host_count{target_group="widgets"} 1
# HELP postern_unhealthy_host_count Targets that are unhealthy.
# TYPE postern_unhealthy_host_count gauge
postern_unhealthy_host_count{target_group="widgets"} 1
# HELP postern_target_group_request_count Requests for which a target was chosen.
# TYPE postern_target_group_request_count counter
postern_target_group_request_count{target_group="widgets"} 2
# HELP postern_target_connection_error_count Connections to a target that were not established.
# TYPE postern_target_connection_error_count counter
postern_target_connection_error_count{target="GOOD",target_group="widgets"} 0
postern_target_connection_error_count{target="BAD",target_group="widgets"} 1
# HELP postern_target_group_httpcode_target_count Responses of targets by class of status code.
# TYPE postern_target_group_httpcode_target_count counter
postern_target_group_httpcode_target_count{code_class="1xx",target_group="widgets"} 0
postern_target_group_httpcode_target_count{code_class="2xx",target_group="widgets"} 1
postern_target_group_httpcode_target_count{code_class="3xx",target_group="widgets"} 0
postern_target_group_httpcode_target_count{code_class="4xx",target_group="widgets"} 0
postern_target_group_httpcode_target_count{code_class="5xx",target_group="widgets"} 0
`)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "postern_healthy_host_count", "postern_unhealthy_host_count",
		"postern_target_group_request_count", "postern_target_connection_error_count", "postern_target_group_httpcode_target_count"); err != nil {
		t.Error(err)
	}
	update(t, g, without(cfg, 0, 0))
	eventually(t, "the removed target's metrics are gone", func() bool {
		n, err := testutil.GatherAndCount(reg, "postern_target_connection_error_count", "postern_target_request_count")
		return n == 2 && err == nil
	})
	stop()
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics after the group has gone, %v; want none", n, err)
	}
}

func TestTLSErrorsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := config(listen(t, afterByte(resetting)))
	cfg.Protocol, cfg.Metrics = targetgroup.HTTPS, targetgroup.NewMetrics(reg)
	_, _, err := get(newGroup(t, cfg), 1)
	wantError(t, err, 502, targetgroup.ReasonTLSFailed)
	want := `
# HELP postern_target_tls_negotiation_error_count TLS handshakes with a target that did not end in a session.
# TYPE postern_target_tls_negotiation_error_count counter
postern_target_tls_negotiation_error_count{target="` + cfg.Targets[0].Address + `",target_group="widgets"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "postern_target_tls_negotiation_error_count"); err != nil {
		t.Error(err)
	}
}

// TestMetricsOutliveAnOldGroup has two groups of one name, as there are while a
// configuration is replaced: the end of the first must not take the second's.
func TestMetricsOutliveAnOldGroup(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := config(serve(t, targetgroup.HTTP1, answer("")))
	cfg.Metrics = targetgroup.NewMetrics(reg)
	old := newGroup(t, cfg)
	replacement := newGroup(t, cfg)
	old.Close()
	get(replacement, 1)
	if n, err := testutil.GatherAndCount(reg, "postern_target_group_request_count", "postern_target_request_count"); n != 2 || err != nil {
		t.Errorf("%d metrics, %v; want 2", n, err)
	}
	replacement.Close()
	if n, err := testutil.GatherAndCount(reg); n != 0 || err != nil {
		t.Errorf("%d metrics after both have gone, %v; want none", n, err)
	}
}
