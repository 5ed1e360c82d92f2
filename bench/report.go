package bench

import (
	"encoding/json"
	"io"
	"runtime"
	"time"
)

// A Result is what both kinds of run report, over all rounds together.
type Result struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Connections int               `json:"connections"`
	Seconds     float64           `json:"seconds"` // that were measured
	Completed   uint64            `json:"completed"`
	PerSecond   float64           `json:"per_second"`
	Latency     Latency           `json:"latency"`
	Failed      uint64            `json:"failed"`
	Errors      []ErrorCount      `json:"errors"`

	// Rate is what was asked for, 0 for as fast as the server answers. Lag is how
	// late the generator itself was; it is part of the latencies. Pending is how
	// many attempts had fallen due and were not over when a window closed: the
	// latencies have them with the time they had waited, Completed has not.
	Rate    float64 `json:"rate"`
	Lag     Latency `json:"lag"`
	Pending uint64  `json:"pending"`

	// ServerCPU is the server's CPU time in microseconds for each completed
	// handshake or request, and ServerBusy its CPU time as a share of the
	// time measured (1 is one core). Both are 0 if Load.ServerPID was 0. A failed
	// attempt costs CPU too: with many errors ServerCPU is too high.
	ServerCPU  float64 `json:"server_cpu_us"`
	ServerBusy float64 `json:"server_busy"`
	// GeneratorCPU and GeneratorBusy are the same for the generator, which may use
	// GeneratorCores. GeneratorBound says that it used nearly all of them: then it
	// sets PerSecond and the latencies, not the server.
	GeneratorCPU   float64 `json:"generator_cpu_us"`
	GeneratorBusy  float64 `json:"generator_busy"`
	GeneratorCores int     `json:"generator_cores"`
	GeneratorBound bool    `json:"generator_bound"`

	Rounds       []Round    `json:"rounds"`
	Distribution []Quantile `json:"distribution"`
	Series       []Point    `json:"series"`
}

// A Round is one window of several.
type Round struct {
	Seconds   float64 `json:"seconds"`
	Completed uint64  `json:"completed"`
	Failed    uint64  `json:"failed"`
	PerSecond float64 `json:"per_second"`
	Latency   Latency `json:"latency"`
	ServerCPU float64 `json:"server_cpu_us"`
}

// boundShare is the share of its cores above which the generator is said to be
// the bottleneck: the rest is what the scheduler of the system leaves idle.
const boundShare = 0.9

// A HandshakeReport is the answer of [Handshake].
type HandshakeReport struct {
	Result
	Resumed    uint64 `json:"resumed"`    // of Completed
	Clients    int    `json:"clients"`    // distinct certificates in rotation
	Negotiated string `json:"negotiated"` // version, cipher suite, key agreement
	Completion string `json:"completion"` // what proved that the server had finished
}

// A RequestReport is the answer of [Request].
type RequestReport struct {
	Result
	NewConnections bool   `json:"new_connections"` // one for each request
	Streams        int    `json:"streams"`         // on each connection; 0 is HTTP/1.1
	RequestBytes   int    `json:"request_bytes"`   // of each request's body
	BodyBytes      uint64 `json:"body_bytes"`      // of the first answer
	Reopened       uint64 `json:"reopened"`        // connections that the server ended between answers
	Retried        uint64 `json:"retried"`         // requests that were sent again for it
	Negotiated     string `json:"negotiated"`      // version, cipher suite, key agreement
}

// result sums up the rounds, of which there is at least one, and returns the sum
// as an outcome too.
func (l *Load) result(rounds []outcome) (Result, *outcome) {
	all := &outcome{tally: &tally{latency: newHistogram()}}
	r := Result{Labels: l.Labels, Connections: l.Connections, Rate: l.Rate}
	for i := range rounds {
		r.Rounds = append(r.Rounds, rounds[i].round())
		all.add(&rounds[i])
	}
	sum, seconds := all.round(), all.elapsed.Seconds()
	r.Seconds, r.Completed, r.Failed, r.PerSecond = sum.Seconds, sum.Completed, sum.Failed, sum.PerSecond
	r.Latency, r.Lag, r.Pending = sum.Latency, latencyOf(all.lag), all.pending
	r.Errors, r.ServerCPU, r.ServerBusy = all.errors.list(), sum.ServerCPU, all.serverCPU.Seconds()/seconds
	r.GeneratorCPU, r.GeneratorBusy = each(all.generatorCPU, all.completed), all.generatorCPU.Seconds()/seconds
	r.GeneratorCores = min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	r.GeneratorBound = r.GeneratorBusy >= boundShare*float64(r.GeneratorCores)
	r.Distribution, r.Series = distributionOf(all.latency), all.series
	return r, all
}

func (o *outcome) round() Round {
	return Round{
		Seconds:   o.elapsed.Seconds(),
		Completed: o.completed,
		Failed:    o.failed,
		PerSecond: float64(o.completed) / o.elapsed.Seconds(),
		Latency:   latencyOf(o.latency),
		ServerCPU: each(o.serverCPU, o.completed),
	}
}

// each returns a share of d in microseconds, or 0 of nothing.
func each(d time.Duration, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return microseconds(d) / float64(n)
}

// WriteJSON writes the report as one indented object.
func (r *HandshakeReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable writes the report for a person to read.
func (r *HandshakeReport) WriteTable(w io.Writer) error { return r.table().writeTo(w) }

func (r *HandshakeReport) table() *table {
	t := newTable("handshakes", &r.Result)
	t.row("resumed", "%d", r.Resumed)
	t.row("clients", "%d", r.Clients)
	t.row("negotiated", "%s", r.Negotiated)
	t.row("counted at", "%s", r.Completion)
	return t
}

// WriteJSON writes the report as one indented object.
func (r *RequestReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable writes the report for a person to read.
func (r *RequestReport) WriteTable(w io.Writer) error { return r.table().writeTo(w) }

func (r *RequestReport) table() *table {
	t := newTable("requests", &r.Result)
	if r.RequestBytes > 0 {
		t.row("request body", "%d bytes", r.RequestBytes)
	}
	t.row("body", "%d bytes", r.BodyBytes)
	if r.NewConnections {
		t.row("connections", "a new one for each request")
	}
	if r.Streams > 0 {
		t.row("streams", "%d a connection", r.Streams)
	}
	t.row("reopened", "%d, %d requests sent again", r.Reopened, r.Retried)
	t.row("negotiated", "%s", r.Negotiated)
	return t
}

func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
