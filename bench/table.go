package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// A table collects rows of a name and a value.
type table struct {
	rows [][2]string
}

func (t *table) row(name, format string, args ...any) {
	t.rows = append(t.rows, [2]string{name, fmt.Sprintf(format, args...)})
}

// newTable begins with the rows that both reports have.
func newTable(unit string, r *Result) *table {
	t := &table{}
	t.row(unit, "%d in %.2f s, %d at a time", r.Completed, r.Seconds, r.Connections)
	t.row("rate", "%.0f/s", r.PerSecond)
	t.row("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", duration(r.Latency.P50), duration(r.Latency.P90),
		duration(r.Latency.P99), duration(r.Latency.P999), duration(r.Latency.Max))
	if r.Rate > 0 {
		t.row("asked for", "%.0f/s, %d unanswered at the end; generator late by p50 %s  p99 %s",
			r.Rate, r.Pending, duration(r.Lag.P50), duration(r.Lag.P99))
	}
	if r.ServerBusy > 0 {
		t.row("server CPU", "%.1f µs each, %.0f %% of a core", r.ServerCPU, 100*r.ServerBusy)
	}
	t.generator(r)
	t.rounds(r)
	t.row("failed", "%d", r.Failed)
	for _, e := range r.Errors {
		t.row("  "+e.Kind, "%d, first: %s", e.Count, e.First)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		t.row(name, "%s", r.Labels[name])
	}
	return t
}

func (t *table) generator(r *Result) {
	if r.GeneratorBusy > 0 {
		t.row("generator CPU", "%.1f µs each, %.0f %% of its %d cores", r.GeneratorCPU, 100*r.GeneratorBusy/float64(max(r.GeneratorCores, 1)), r.GeneratorCores)
	}
	if r.GeneratorBound {
		t.row("CAUTION", "%s", cautionBound)
	}
}

const cautionBound = "the generator was the bottleneck: rate and latency are its own; only the server's CPU can be compared"

// rounds shows the spread, if there is more than one.
func (t *table) rounds(r *Result) {
	if len(r.Rounds) < 2 {
		return
	}
	spread := func(of func(*Round) float64) (low, high float64) {
		low = math.Inf(1)
		for i := range r.Rounds {
			low, high = min(low, of(&r.Rounds[i])), max(high, of(&r.Rounds[i]))
		}
		return low, high
	}
	slow, fast := spread(func(r *Round) float64 { return r.PerSecond })
	good, bad := spread(func(r *Round) float64 { return r.Latency.P99 })
	t.row("rounds", "%d: %.0f to %.0f/s, p99 %s to %s", len(r.Rounds), slow, fast, duration(good), duration(bad))
	if r.ServerBusy > 0 {
		low, high := spread(func(r *Round) float64 { return r.ServerCPU })
		t.row("  server CPU", "%.1f to %.1f µs each", low, high)
	}
}

func duration(us float64) time.Duration {
	return (time.Duration(us * float64(time.Microsecond))).Round(time.Microsecond)
}

func (t *table) writeTo(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		if _, err := fmt.Fprintf(tw, "%s\t%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return tw.Flush()
}
