package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/bench"
)

const tls13 = tls.VersionTLS13

var x25519Only = []tls.CurveID{tls.X25519}

// A row is one line of the results: something measured of every server.
type row struct {
	name  string
	unit  string
	setup setup
	// resume says that a server which never resumes has no figure here.
	resume bool
	// measure returns the figure.
	measure func(ctx context.Context, r *running, o *options) (float64, error)
}

// setups are measured one after another, with the servers started anew.
var setups = []setup{{}, {Tickets: true}, {Tickets: true, CRL: "10k"}, {Tickets: true, CRL: "1m"}}

func allRows() []row {
	plain, tickets := setups[0], setups[1]
	list := []row{
		{"full handshake, no tickets", "µs CPU", plain, false, handshakes(2, 0, false)},
		{"full handshake, tickets issued", "µs CPU", tickets, false, handshakes(2, 0, false)},
		{"full handshake, CRL of 10,000", "µs CPU", setups[2], false, handshakes(2, 0, false)},
		{"full handshake, CRL of 1,000,000", "µs CPU", setups[3], false, handshakes(2, 0, false)},
		{"resumed handshake with a tiny GET", "µs CPU", tickets, true, handshakes(2, 1, true)},
		{"keep-alive HTTP/1.1, 128 B", "µs CPU", tickets, false, requests(bench.RequestConfig{}, "/128", cpu)},
		{"keep-alive HTTP/1.1, 10 KB", "µs CPU", tickets, false, requests(bench.RequestConfig{}, "/10k", cpu)},
		{"HTTP/2, 8 connections x 16 streams, 128 B", "µs CPU", tickets, false, requests(bench.RequestConfig{
			HTTP2: true, Streams: 16, Load: bench.Load{Connections: 8},
		}, "/128", cpu)},
		{"p99 at 6,000 requests/s", "µs", tickets, false, requests(bench.RequestConfig{
			Load: bench.Load{Rate: 6000},
		}, "/128", func(r *bench.Result) float64 { return r.Latency.P99 })},
		{"latency of one connection, p50", "µs", tickets, false, requests(bench.RequestConfig{
			Load: bench.Load{Connections: 1},
		}, "/128", func(r *bench.Result) float64 { return r.Latency.P50 })},
		{"idle mTLS keep-alive connection", "KB", tickets, false, idleMemory},
		{"start with a CRL of 1,000,000, to the first answer", "s", setups[3], false, startSeconds},
		{"the same, memory then", "MB", setups[3], false, startMemory},
		{"the same, the most that one process had", "MB", setups[3], false, startPeak},
		{"longest request while it is reloaded", "ms", setups[3], false, reload},
	}
	return append(list, matrix()...)
}

// matrix has handshakes by chain length, CRL size and resumption.
func matrix() []row {
	var list []row
	for _, length := range []int{2, 3} {
		for _, set := range setups[1:] {
			for _, resume := range []float64{0, 1} {
				kind, crl := "full", set.CRL
				if resume > 0 {
					kind = "resumed"
				}
				if crl == "" {
					crl = "none"
				}
				name := fmt.Sprintf("matrix: chain %d, CRL %s, %s", length, crl, kind)
				list = append(list, row{name, "µs CPU", set, resume > 0, handshakes(length, resume, false)})
			}
		}
	}
	return list
}

func cpu(r *bench.Result) float64 { return r.ServerCPU }

const warmup = 200 * time.Millisecond

// handshakes measures the CPU of one. A server that takes 40 ms for each gets
// fewer connections, or their queue would be all that there is.
func handshakes(length int, resume float64, get bool) func(context.Context, *running, *options) (float64, error) {
	return func(ctx context.Context, r *running, o *options) (float64, error) {
		report, err := bench.Handshake(ctx, bench.HandshakeConfig{
			Address: r.address, Client: r.site.client(length), Resume: resume, TinyGET: get, Path: "/ping",
			Load: bench.Load{Connections: 8, Warmup: warmup, Duration: o.duration, ServerPID: r.pid()},
		})
		if err != nil {
			return 0, err
		}
		if resume > 0 && report.Resumed*10 < report.Completed*9 {
			return 0, missing(fmt.Sprintf("resumed %d of %d", report.Resumed, report.Completed))
		}
		if resume == 0 && report.Resumed > 0 {
			return 0, fmt.Errorf("%d handshakes were resumed", report.Resumed)
		}
		return counted(&report.Result, cpu)
	}
}

// requests measures what of says, of requests for a path.
func requests(c bench.RequestConfig, path string, of func(*bench.Result) float64) func(context.Context, *running, *options) (float64, error) {
	return func(ctx context.Context, r *running, o *options) (float64, error) {
		c.URL, c.Client = "https://"+r.address+path, r.site.client(2)
		c.Load.Warmup, c.Load.Duration, c.Load.ServerPID = warmup, o.duration, r.pid()
		report, err := bench.Request(ctx, c)
		if err != nil {
			return 0, err
		}
		return counted(&report.Result, of)
	}
}

// counted refuses a figure of a run in which anything failed: a server that
// refuses is fast.
func counted(r *bench.Result, of func(*bench.Result) float64) (float64, error) {
	if r.Failed > 0 || r.Completed == 0 {
		return 0, fmt.Errorf("%d completed, %d failed: %v", r.Completed, r.Failed, r.Errors)
	}
	return of(r), nil
}

// missing is why a server has no figure, which is no fault of the run.
type missing string

// Error implements error.
func (m missing) Error() string { return string(m) }

func (s *site) measureAll(ctx context.Context, o *options, pattern *regexp.Regexp, res *results) error {
	for _, set := range setups {
		var rows []row
		for _, r := range allRows() {
			if r.setup == set && pattern.MatchString(r.name) {
				rows = append(rows, r)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := s.measureSetup(ctx, o, set, rows, res); err != nil {
			return err
		}
	}
	return nil
}

// takes says whether a server of this kind has anything to do with a row.
func (k kind) takes(r row) bool { return strings.Contains(r.name, k.only) }

// measureSetup starts every server that can do it and lets them take turns.
func (s *site) measureSetup(ctx context.Context, o *options, set setup, rows []row, res *results) error {
	var all []*running
	defer func() {
		for _, r := range all {
			r.stop()
		}
	}()
	for _, srv := range res.servers {
		if !slices.ContainsFunc(rows, func(r row) bool { return kinds[srv.kind].takes(r) }) {
			continue
		}
		if set.CRL != "" && !kinds[srv.kind].readsCRL {
			for _, row := range rows {
				res.skip(row.name, srv.label, "reads no CRL")
			}
			continue
		}
		r, err := s.start(ctx, srv, set)
		if err != nil {
			return err
		}
		all = append(all, r)
		if err := r.ready(ctx); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		for _, row := range rows {
			for _, r := range all {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if !r.kind.takes(row) {
					continue
				}
				fmt.Fprintf(os.Stderr, "round %d/%d: %s: %s", round+1, o.rounds, row.name, r.label)
				value, err := row.measure(ctx, r, o)
				if err != nil {
					fmt.Fprintf(os.Stderr, ": %v\n", err)
					res.skip(row.name, r.label, err.Error())
					continue
				}
				fmt.Fprintf(os.Stderr, ": %.1f %s\n", value, row.unit)
				res.add(row.name, r.label, value)
			}
		}
	}
	return nil
}
