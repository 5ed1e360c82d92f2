// Command table reads the reports of a comparison, one file a run named
// FOLDER/MEASUREMENT/SERVER.ROUND.json, and prints the median of each server for
// each measurement in Markdown, with ratios to one of them.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-lb/postern/bench"
)

func main() {
	dir := flag.String("dir", "", "`folder` of reports")
	reference := flag.String("reference", "nginx", "`server` that ratios refer to")
	flag.Parse()
	runs, err := read(*dir)
	if err == nil {
		err = write(os.Stdout, runs, *reference)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// runs holds the rounds by measurement, then by server.
type runs map[string]map[string][]bench.HandshakeReport

// read reads both kinds of report as one: they share all that the table shows
// but Resumed, which is zero for requests.
func read(dir string) (runs, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing reports: %w", err)
	}
	all := make(runs)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading report: %w", err)
		}
		var r bench.HandshakeReport
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("reading report %q: %w", file, err)
		}
		measurement := filepath.Base(filepath.Dir(file))
		server, _, _ := strings.Cut(filepath.Base(file), ".")
		if all[measurement] == nil {
			all[measurement] = make(map[string][]bench.HandshakeReport)
		}
		all[measurement][server] = append(all[measurement][server], r)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("reading reports: none in %q", dir)
	}
	return all, nil
}

// A line is one server's medians.
type line struct {
	server             string
	rate, cpu          float64
	p50, p99           float64
	busy, generator    float64
	completed, resumed uint64
	failed             uint64
	rounds             int
}

func summarize(server string, rounds []bench.HandshakeReport) line {
	l := line{server: server, rounds: len(rounds)}
	l.rate = median(rounds, func(r *bench.HandshakeReport) float64 { return r.PerSecond })
	l.cpu = median(rounds, func(r *bench.HandshakeReport) float64 { return r.ServerCPU })
	l.p50 = median(rounds, func(r *bench.HandshakeReport) float64 { return r.Latency.P50 })
	l.p99 = median(rounds, func(r *bench.HandshakeReport) float64 { return r.Latency.P99 })
	l.busy = median(rounds, func(r *bench.HandshakeReport) float64 { return r.ServerBusy })
	l.generator = median(rounds, func(r *bench.HandshakeReport) float64 { return r.GeneratorBusy })
	for _, r := range rounds {
		l.completed += r.Completed
		l.resumed += r.Resumed
		l.failed += r.Failed
	}
	return l
}

// median of an even number of rounds is the mean of the two in the middle.
func median(rounds []bench.HandshakeReport, of func(*bench.HandshakeReport) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = of(&rounds[i])
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func write(w io.Writer, all runs, reference string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "Medians; × is the ratio to %s of the same measurement.\n\n", reference)
	out.WriteString("| measurement | server | rate/s | × | server CPU µs | × | p50 µs | p99 µs | server busy | generator busy | resumed | failed | rounds |\n")
	out.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, measurement := range sortedKeys(all) {
		servers := all[measurement]
		var base line
		if rounds := servers[reference]; len(rounds) > 0 {
			base = summarize(reference, rounds)
		}
		for _, server := range sortedKeys(servers) {
			l := summarize(server, servers[server])
			fmt.Fprintf(&out, "| %s | %s | %.0f | %s | %.1f | %s | %.0f | %.0f | %.0f %% | %.0f %% | %s | %d | %d |\n",
				measurement, server, l.rate, ratio(l.rate, base.rate), l.cpu, ratio(l.cpu, base.cpu), l.p50, l.p99,
				100*l.busy, 100*l.generator, share(l.resumed, l.completed), l.failed, l.rounds)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ratio(value, base float64) string {
	if base == 0 || value == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", value/base)
}

func share(part, whole uint64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}
