package bench_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/bench"
)

// htmlReport is one with all that a page can show.
func htmlReport() *bench.RequestReport {
	return &bench.RequestReport{
		Negotiated: "TLS 1.3",
		Result: bench.Result{
			Labels: map[string]string{"crl": "<script>10k"}, Completed: 10, Seconds: 2, GeneratorBound: true,
			Distribution: []bench.Quantile{{Share: 0, US: 100}, {Share: 0.5, US: 120}, {Share: 0.999, US: 9000}, {Share: 1, US: 20_000}},
			Series:       []bench.Point{{Seconds: 1, PerSecond: 900}, {Seconds: 2, PerSecond: 100, Failed: 40}},
		},
	}
}

// html makes a page of a report.
func html(t *testing.T, r *bench.RequestReport) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var (
	svgText   = regexp.MustCompile(`(?s)<svg.*?</svg>`)
	pointText = regexp.MustCompile(`<polyline class="line ([a-z]*)" points="([^"]*)"`)
	reference = regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|https?://`)
)

func TestPageShowsTheReport(t *testing.T) {
	text := html(t, htmlReport())
	if found := reference.FindString(text); found != "" {
		t.Errorf("the page refers to something else: %q", found)
	}
	if strings.Contains(text, "<script>") {
		t.Error("a label is not escaped")
	}
	for _, want := range []string{"TLS 1.3", "&lt;script&gt;10k", "Caution: ", "Latency over percentile", "99.9 %", "Rate over time", "failed in red"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	plots := svgText.FindAllString(text, -1)
	if len(plots) != 2 {
		t.Fatalf("%d plots, want 2", len(plots))
	}
	for _, plot := range plots {
		if err := xml.Unmarshal([]byte(plot), new(struct{})); err != nil {
			t.Errorf("a plot is not well-formed: %v", err)
		}
	}
}

// TestPlotsStayInside holds every point to the drawing area, in the order of the
// report: a latency grows upwards, where y is less.
func TestPlotsStayInside(t *testing.T) {
	r := htmlReport()
	lines := pointText.FindAllStringSubmatch(html(t, r), -1)
	if len(lines) != 3 {
		t.Fatalf("%d lines, want latency, rate and failures", len(lines))
	}
	for i, line := range lines {
		fields := strings.Fields(line[2])
		if want := []int{len(r.Distribution), len(r.Series), len(r.Series)}[i]; len(fields) != want {
			t.Errorf("line %d has %d points, want %d", i, len(fields), want)
		}
		lastX, lastY := 0.0, math.Inf(1)
		for _, field := range fields {
			var x, y float64
			if _, err := fmt.Sscanf(field, "%g,%g", &x, &y); err != nil {
				t.Fatalf("point %q: %v", field, err)
			}
			if x < 70 || x > 790 || y < 10 || y > 280 || x < lastX || i == 0 && y > lastY {
				t.Errorf("line %d: point %q is out of place", i, field)
			}
			lastX, lastY = x, y
		}
	}
}

func TestPageWithoutCautionOrPlots(t *testing.T) {
	text := html(t, &bench.RequestReport{})
	if strings.Contains(text, "Caution: ") || strings.Contains(text, "<svg") {
		t.Errorf("an empty report has a caution or a plot:\n%s", text)
	}
}

// TestPageOfARun has a page made of what was measured.
func TestPageOfARun(t *testing.T) {
	s := startServer(t, answer(200, 10))
	report, err := bench.Handshake(context.Background(), bench.HandshakeConfig{
		Address: s.address, Client: s.client(),
		Load: bench.Load{Connections: 2, Warmup: -1, Duration: 300 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	if n := len(svgText.FindAllString(out.String(), -1)); n != 2 {
		t.Errorf("%d plots, want 2", n)
	}
	if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
		t.Error("a coordinate is no number")
	}
}
