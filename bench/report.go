package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Latency holds percentiles in microseconds; each is at most 1.6 % too high.
type Latency struct {
	P50 float64 `json:"p50_us"`
	P90 float64 `json:"p90_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
}

// A Result is what both kinds of run report.
type Result struct {
	Connections int          `json:"connections"`
	Seconds     float64      `json:"seconds"` // length of the measured window
	Completed   uint64       `json:"completed"`
	PerSecond   float64      `json:"per_second"`
	Latency     Latency      `json:"latency"`
	Failed      uint64       `json:"failed"`
	Errors      []ErrorCount `json:"errors"`

	// ServerCPU is the server's CPU time in microseconds for each completed
	// handshake or request, and ServerBusy its CPU time as a share of the
	// window (1 is one core). Both are 0 if Load.ServerPID was 0. A failed
	// attempt costs CPU too: with many errors ServerCPU is too high.
	ServerCPU  float64 `json:"server_cpu_us"`
	ServerBusy float64 `json:"server_busy"`
	// GeneratorBusy is the same share for the generator. Close to the cores it
	// may use it means that the generator sets PerSecond, not the server.
	GeneratorBusy float64 `json:"generator_busy"`
}

// A HandshakeReport is the answer of [Handshake].
type HandshakeReport struct {
	Result
	Resumed    uint64 `json:"resumed"`    // of Completed
	Clients    int    `json:"clients"`    // distinct certificates in rotation
	Negotiated string `json:"negotiated"` // version, cipher suite, key agreement
	Completion string `json:"completion"` // what proved that the server had finished
}

// A RequestsReport is the answer of [Requests].
type RequestsReport struct {
	Result
	Rate float64 `json:"rate"` // asked for; 0 means as fast as answered
	// Lag is how late the generator's own timer was, at a fixed rate. It is in
	// no latency; a P99 near the latencies means that the machine is too busy for them to be trusted.
	Lag        Latency `json:"lag"`
	Streams    int     `json:"streams"`    // on each connection; 0 is HTTP/1.1
	BodyBytes  uint64  `json:"body_bytes"` // of the first answer
	Reopened   uint64  `json:"reopened"`   // connections that the server ended between answers
	Negotiated string  `json:"negotiated"` // version, cipher suite, key agreement
}

func (o *outcome) result(l *Load) Result {
	r := Result{
		Connections: l.Connections,
		Seconds:     o.elapsed.Seconds(),
		Completed:   o.latency.count,
		PerSecond:   float64(o.latency.count) / o.elapsed.Seconds(),
		Latency:     latencyOf(&o.latency),
		Errors:      o.errors.list(),

		ServerBusy:    o.serverCPU.Seconds() / o.elapsed.Seconds(),
		GeneratorBusy: o.generatorCPU.Seconds() / o.elapsed.Seconds(),
	}
	for _, e := range r.Errors {
		r.Failed += e.Count
	}
	if r.Completed > 0 {
		r.ServerCPU = microseconds(o.serverCPU) / float64(r.Completed)
	}
	return r
}

func latencyOf(h *histogram) Latency {
	return Latency{
		P50: microseconds(h.percentile(0.50)),
		P90: microseconds(h.percentile(0.90)),
		P99: microseconds(h.percentile(0.99)),
		Max: microseconds(h.max),
	}
}

func microseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Microsecond)
}

// WriteJSON writes the report as one indented object.
func (r *HandshakeReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable writes the report for a person to read.
func (r *HandshakeReport) WriteTable(w io.Writer) error {
	t := newTable("handshakes", &r.Result)
	t.row("resumed", "%d", r.Resumed)
	t.row("clients", "%d", r.Clients)
	t.row("negotiated", "%s", r.Negotiated)
	t.row("counted at", "%s", r.Completion)
	return t.writeTo(w)
}

// WriteJSON writes the report as one indented object.
func (r *RequestsReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable writes the report for a person to read.
func (r *RequestsReport) WriteTable(w io.Writer) error {
	t := newTable("requests", &r.Result)
	if r.Rate > 0 {
		t.row("asked for", "%.0f/s, generator late by p50 %s  p99 %s", r.Rate, duration(r.Lag.P50), duration(r.Lag.P99))
	}
	t.row("body", "%d bytes", r.BodyBytes)
	if r.Streams > 0 {
		t.row("streams", "%d a connection", r.Streams)
	}
	t.row("reopened", "%d", r.Reopened)
	t.row("negotiated", "%s", r.Negotiated)
	return t.writeTo(w)
}

func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

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
	t.row("latency", "p50 %s  p90 %s  p99 %s  max %s",
		duration(r.Latency.P50), duration(r.Latency.P90), duration(r.Latency.P99), duration(r.Latency.Max))
	if r.ServerBusy > 0 {
		t.row("server CPU", "%.1f µs each, %.0f %% of a core", r.ServerCPU, 100*r.ServerBusy)
	}
	if r.GeneratorBusy > 0 {
		t.row("generator CPU", "%.0f %% of a core", 100*r.GeneratorBusy)
	}
	t.row("failed", "%d", r.Failed)
	for _, e := range r.Errors {
		t.row("  "+e.Kind, "%d, first: %s", e.Count, e.First)
	}
	return t
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
