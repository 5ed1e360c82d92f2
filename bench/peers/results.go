package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are the figures by row and server, and why some are missing.
type results struct {
	options *options
	servers []server
	absent  []string
	began   time.Time
	figures map[[2]string][]float64
	reasons map[[2]string]string
}

func (r *results) add(row, server string, value float64) {
	if r.figures == nil {
		r.figures = make(map[[2]string][]float64)
	}
	key := [2]string{row, server}
	r.figures[key] = append(r.figures[key], value)
}

func (r *results) skip(row, server, reason string) {
	if r.reasons == nil {
		r.reasons = make(map[[2]string]string)
	}
	r.reasons[[2]string{row, server}] = reason
}

// median of an even number of rounds is the mean of the two in the middle.
func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func (r *results) write(file string) error {
	return os.WriteFile(file, []byte(r.markdown(describeMachine(), r.versions())), 0o644)
}

// markdown returns both tables.
func (r *results) markdown(machine, versions string) string {
	var out strings.Builder
	o := r.options
	fmt.Fprintf(&out, "# Postern beside its peers\n\nWritten by `go run ./bench/peers`; [README.md](README.md) has the method.\n\n%s\n", machine)
	fmt.Fprintf(&out, "%d rounds of windows of %v, servers in turn within each; %d idle connections. Servers on core %d, generator and backend on core %d.\n",
		o.rounds, o.duration, o.idle, o.serverCore, o.loadCore)
	out.WriteString("TLS 1.3, X25519, ECDSA P-256; clients send leaf and intermediate. \"µs CPU\" is user and system time of the server's\n" +
		"process tree for each handshake or request. Median (least to most).\n\n" + versions)
	if len(r.absent) > 0 {
		fmt.Fprintf(&out, "- not installed: %s\n", strings.Join(r.absent, ", "))
	}
	var notes []string
	var plain, cross []row
	for _, row := range allRows() {
		if strings.HasPrefix(row.name, "matrix: ") {
			cross = append(cross, row)
		} else {
			plain = append(plain, row)
		}
	}
	r.table(&out, plain, &notes)
	out.WriteString("\n## Handshakes by chain length, CRL size, resumption and server\n")
	r.table(&out, cross, &notes)
	for i, note := range notes {
		fmt.Fprintf(&out, "\n[%d] %s\n", i+1, note)
	}
	return out.String()
}

// table leaves out rows that nobody was asked for.
func (r *results) table(out *strings.Builder, rows []row, notes *[]string) {
	out.WriteString("\n| work | unit |")
	for _, s := range r.servers {
		out.WriteString(" " + s.label + " |")
	}
	out.WriteString("\n|---|---|" + strings.Repeat("--:|", len(r.servers)) + "\n")
	for _, row := range rows {
		line, any := "", false
		for _, s := range r.servers {
			key := [2]string{row.name, s.label}
			reason, hasReason := r.reasons[key]
			any = any || hasReason || len(r.figures[key]) > 0
			line += " " + cell(r.figures[key])
			if hasReason {
				line += fmt.Sprintf(" [%d]", noteNumber(notes, reason))
			}
			line += " |"
		}
		if any {
			fmt.Fprintf(out, "| %s | %s |%s\n", strings.TrimPrefix(row.name, "matrix: "), row.unit, line)
		}
	}
}

func noteNumber(notes *[]string, reason string) int {
	i := slices.Index(*notes, reason)
	if i < 0 {
		i = len(*notes)
		*notes = append(*notes, reason)
	}
	return i + 1
}

func cell(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	digits := 1
	if median(values) >= 100 {
		digits = 0
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, median(values), digits, slices.Min(values), digits, slices.Max(values))
}

func describeMachine() string {
	model := "unknown CPU"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(data); m != nil {
			model = string(m[1])
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%s; %s; Linux %s; %s; load average at the end %.14s.", time.Now().UTC().Format(time.DateOnly),
		model, bytes.TrimSpace(kernel), runtime.Version(), load)
}

var versionLines = regexp.MustCompile(`(?m)^(nginx version: .*|built with .*|HAProxy version .*|Running on OpenSSL version.*)$`)

// versions names each server's version and TLS library.
func (r *results) versions() string {
	var out strings.Builder
	for _, s := range r.servers {
		fmt.Fprintf(&out, "- %s: %s\n", s.label, version(s))
	}
	return out.String()
}

func version(s server) string {
	if info, err := buildinfo.ReadFile(s.binary); err == nil {
		return fmt.Sprintf("%s %s, crypto/tls of %s", info.Main.Path, info.Main.Version, info.GoVersion)
	}
	flag := "-V"
	if s.kind == "haproxy" {
		flag = "-vv"
	}
	output, err := exec.Command(s.binary, flag).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return strings.Join(versionLines.FindAllString(string(output), -1), "; ")
}
