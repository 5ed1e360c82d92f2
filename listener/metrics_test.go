package listener

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-lb/postern/internal/logfile"
)

// wantMetrics compares the named metrics with text in Prometheus' format.
// Series at zero may be left out of want.
func wantMetrics(t *testing.T, reg *prometheus.Registry, want map[string]float64) {
	t.Helper()
	got := series(t, reg)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok && value != 0 {
			t.Errorf("%s is %v, and was not expected to count", name, value)
		}
	}
}

// series returns every series but those of histograms, of which it has count
// and sum.
func series(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetName() != listenerLabel {
					labels = append(labels, l.GetValue())
				}
			}
			name := strings.TrimPrefix(family.GetName(), "postern_") + "{" + strings.Join(labels, ",") + "}"
			if h := m.Histogram; h != nil {
				got[name+"count"], got[name+"sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			got[name] = m.Counter.GetValue() + m.Gauge.GetValue()
		}
	}
	return got
}

func TestListenerMetricsCount(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		name string
		do   func(*ListenerMetrics)
		want map[string]float64
	}{
		{"connections", func(l *ListenerMetrics) { l.ConnectionOpened(); l.ConnectionOpened(); l.ConnectionClosed() },
			map[string]float64{"new_connection_count{}": 2, "active_connection_count{}": 1}},
		{"rejection", (*ListenerMetrics).ConnectionRejected, map[string]float64{"rejected_connection_count{}": 1}},
		{"redirect too long", (*ListenerMetrics).RedirectTooLong, map[string]float64{"http_redirect_url_limit_exceeded_count{}": 1}},
		{"headers dropped", (*ListenerMetrics).InvalidHeadersDropped, map[string]float64{"dropped_invalid_header_request_count{}": 1}},
		{"headers forwarded", (*ListenerMetrics).InvalidHeadersForwarded, map[string]float64{"forwarded_invalid_header_request_count{}": 1}},
		{"full handshake", func(l *ListenerMetrics) { l.HandshakeDone(HandshakeAccepted, "", false, time.Second) },
			map[string]float64{"handshakes_total{accepted,}": 1, "handshake_duration_seconds{}count": 1, "handshake_duration_seconds{}sum": 1}},
		{"resumption", func(l *ListenerMetrics) { l.HandshakeDone(HandshakeAccepted, "ignored", true, 0) },
			map[string]float64{"handshakes_total{accepted,}": 1, "handshakes_resumed_total{}": 1, "handshake_duration_seconds{}count": 1}},
		{"refusal", func(l *ListenerMetrics) { l.HandshakeDone(HandshakeRefused, "ClientCertExpired", false, time.Second) },
			map[string]float64{"handshakes_total{refused,ClientCertExpired}": 1, "client_tls_negotiation_error_count{}": 1}},
		{"refusal for a reason out of the list", func(l *ListenerMetrics) {
			l.HandshakeDone(HandshakeRefused, "CN=evil", false, 0)
			l.HandshakeDone(HandshakeRefused, FailedTimeout, false, 0)
		}, map[string]float64{"handshakes_total{refused,other}": 2, "client_tls_negotiation_error_count{}": 2}},
		{"failures", func(l *ListenerMetrics) {
			l.HandshakeDone(HandshakeFailed, FailedTimeout, false, 0)
			l.HandshakeDone("no such outcome", "", false, 0)
		}, map[string]float64{"handshakes_total{failed,Timeout}": 1, "handshakes_total{failed,other}": 1, "client_tls_negotiation_error_count{}": 2}},
		{"forwarded request", func(l *ListenerMetrics) {
			l.Request(&RequestSample{Client: v4, Action: ActionForward, Dispatched: true, TargetStatus: 204,
				TargetTime: time.Second, RuleEvaluations: 3, Received: 10, Sent: 20})
		}, map[string]float64{"request_count{}": 1, "httpcode_target_count{2xx}": 1, "processed_bytes{}": 30, "rule_evaluations{}": 3,
			"target_response_time_seconds{}count": 1, "target_response_time_seconds{}sum": 1}},
		{"gRPC over IPv6, no answer", func(l *ListenerMetrics) {
			l.Request(&RequestSample{Client: v6, GRPC: true, Dispatched: true, ELBStatus: 504, TargetTime: NoTime, Received: 7})
		}, map[string]float64{"request_count{}": 1, "grpc_request_count{}": 1, "ipv6_request_count{}": 1, "processed_bytes{}": 7,
			"ipv6_processed_bytes{}": 7, "httpcode_elb_count{504}": 1}},
		{"IPv4-mapped client", func(l *ListenerMetrics) { l.Request(&RequestSample{Client: netip.MustParseAddr("::ffff:192.0.2.1")}) },
			map[string]float64{}},
		{"fixed response", func(l *ListenerMetrics) { l.Request(&RequestSample{Action: ActionFixedResponse, ELBStatus: 404}) },
			map[string]float64{"http_fixed_response_count{}": 1, "httpcode_elb_count{404}": 1}},
		{"redirects", func(l *ListenerMetrics) {
			l.Request(&RequestSample{Action: ActionRedirect, ELBStatus: 301})
			l.Request(&RequestSample{Action: ActionRedirect, ELBStatus: 301, NonCompliant: true})
		}, map[string]float64{"http_redirect_count{}": 2, "httpcode_elb_count{301}": 2,
			"desync_mitigation_mode_non_compliant_request_count{}": 1}},
		{"codes out of range", func(l *ListenerMetrics) {
			for _, status := range []int{99, 600, 1 << 30} {
				l.Request(&RequestSample{ELBStatus: status, TargetStatus: status, TargetTime: NoTime})
			}
		}, map[string]float64{"httpcode_elb_count{other}": 3, "httpcode_target_count{other}": 3}},
		{"first and last code", func(l *ListenerMetrics) {
			l.Request(&RequestSample{ELBStatus: 100, TargetStatus: 100, TargetTime: NoTime})
			l.Request(&RequestSample{ELBStatus: 599, TargetStatus: 599, TargetTime: NoTime})
		}, map[string]float64{"httpcode_elb_count{100}": 1, "httpcode_elb_count{599}": 1, "httpcode_target_count{1xx}": 1, "httpcode_target_count{5xx}": 1}},
		{"negative numbers", func(l *ListenerMetrics) { l.Request(&RequestSample{RuleEvaluations: -1, Received: -5, Client: v6}) },
			map[string]float64{"ipv6_request_count{}": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			tt.do(NewMetrics(reg).Listener("front-door"))
			wantMetrics(t, reg, tt.want)
		})
	}
}

func TestNilMetricsCountNothing(t *testing.T) {
	m := NewMetrics(nil)
	if m != nil {
		t.Fatal("NewMetrics(nil) is not nil")
	}
	l := m.Listener("front-door")
	l.ConnectionOpened()
	l.ConnectionClosed()
	l.ConnectionRejected()
	l.RedirectTooLong()
	l.InvalidHeadersDropped()
	l.InvalidHeadersForwarded()
	l.HandshakeDone(HandshakeAccepted, "", true, 0)
	l.Request(&RequestSample{})
	m.Forget("front-door")
	m.WatchLog("access", nil)()
}

// TestReasonsOfTheConnectionLogHaveSeries guards the list against AWS's: a code
// that is missing would be counted as "other".
func TestReasonsOfTheConnectionLogHaveSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := NewMetrics(reg).Listener("front-door")
	codes := strings.Fields(`ClientCertMaxChainDepthExceeded ClientCertMaxSizeExceeded ClientCertCrlHit
		ClientCertCrlProcessingError ClientCertUntrusted ClientCertNotYetValid ClientCertExpired ClientCertTypeUnsupported
		ClientCertInvalid ClientCertPurposeInvalid ClientCertRejected UnmappedConnectionError ClientCertIncompatible`)
	for _, code := range codes {
		l.HandshakeDone(HandshakeRefused, code, false, 0)
	}
	got := series(t, reg)
	for _, code := range codes {
		if got["handshakes_total{refused,"+code+"}"] != 1 {
			t.Errorf("%s has no series", code)
		}
	}
}

func TestListenersAreApartAndForgotten(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	empty := testutil.CollectAndCount(reg)
	m.Listener("a").ConnectionOpened()
	one := testutil.CollectAndCount(reg)
	b := m.Listener("b")
	b.Request(&RequestSample{ELBStatus: 503, TargetStatus: 200})
	b.HandshakeDone(HandshakeRefused, "ClientCertExpired", false, 0)
	m.Listener("a").ConnectionOpened() // a reload: the count goes on
	m.Forget("b")
	wantMetrics(t, reg, map[string]float64{"new_connection_count{}": 2, "active_connection_count{}": 2})
	if got := testutil.CollectAndCount(reg); got != one {
		t.Errorf("%d series, want %d as before listener b", got, one)
	}
	m.Forget("a")
	if got := testutil.CollectAndCount(reg); got != empty {
		t.Errorf("%d series, want %d as before any listener", got, empty)
	}
}

func TestWatchLog(t *testing.T) {
	w, err := logfile.Open(logfile.Options{Path: filepath.Join(t.TempDir(), "x.log")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("too late"))
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	stop := m.WatchLog("access", w)
	m.WatchLog("connection", w)
	wantMetrics(t, reg, map[string]float64{"log_lines_dropped_total{access}": 1, "log_lines_dropped_total{connection}": 1})
	stop()
	wantMetrics(t, reg, map[string]float64{"log_lines_dropped_total{connection}": 1})
	m.WatchLog("access", w) // another writer may take the name
	wantMetrics(t, reg, map[string]float64{"log_lines_dropped_total{access}": 1, "log_lines_dropped_total{connection}": 1})
}

func TestConcurrentFirstUseOfACodeLosesNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := NewMetrics(reg).Listener("front-door")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				l.Request(&RequestSample{ELBStatus: 502})
			}
		})
	}
	group.Wait()
	wantMetrics(t, reg, map[string]float64{"httpcode_elb_count{502}": 800})
}

func TestEveryMetricHasHelpAndDocumentation(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	m.Listener("front-door").Request(&RequestSample{ELBStatus: 502})
	w, err := logfile.Open(logfile.Options{Path: filepath.Join(t.TempDir(), "x.log")})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(context.Background())
	m.WatchLog("access", w)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < int(counterKinds)+9 {
		t.Errorf("only %d metrics", len(families))
	}
	page := readDoc(t, "metrics.md")
	for _, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", family.GetName())
		}
		if !strings.Contains(page, "`"+family.GetName()) {
			t.Errorf("docs/metrics.md does not name %s", family.GetName())
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	l := NewMetrics(prometheus.NewRegistry()).Listener("front-door")
	s := &RequestSample{Dispatched: true, ELBStatus: 502, TargetStatus: 200, RuleEvaluations: 4, Received: 1, Sent: 2}
	if got := testing.AllocsPerRun(100, func() {
		l.Request(s)
		l.HandshakeDone(HandshakeRefused, "ClientCertExpired", false, 0)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkListenerMetrics is what counting adds to a request and to a
// handshake; with -cpu above 1 it shows the contention of shared counters too.
func BenchmarkListenerMetrics(b *testing.B) {
	l := NewMetrics(prometheus.NewRegistry()).Listener("front-door")
	b.Run("event=request", func(b *testing.B) {
		s := &RequestSample{Dispatched: true, TargetStatus: 200, TargetTime: time.Millisecond, RuleEvaluations: 4, Received: 100, Sent: 200}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Request(s)
			}
		})
	})
	b.Run("event=handshake", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.HandshakeDone(HandshakeAccepted, "", false, time.Millisecond)
		}
	})
}
