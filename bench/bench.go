// Package bench measures a TLS server from outside, as any client sees it.
//
// [Handshake] opens connections and [Request] sends requests over connections
// that stay open or over a new one each. Both run in a closed loop, as fast as
// the server answers, or in an open one, at a fixed rate whatever the server
// does. They report a rate, latency percentiles, errors by kind and, when told
// the server's process id, the CPU time that the server spent on each: the one
// figure that stays true when the generator, and not the server, is what limits
// the rate. What the generator itself spent is reported too.
//
// The package knows nothing of the server it drives and imports no part of one,
// so a figure for Postern and a figure for a peer come from the same code. It
// starts no process: bench/peers does, and README.md has the method.
package bench

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// Bounds of one run. A run beyond them is refused, so that a slip of the finger
// cannot hold a machine for an hour or fill its memory.
const (
	MaxConnections = 4096             // parallel connections
	MaxDuration    = 10 * time.Minute // of the measured window
	MaxWarmup      = time.Minute      // before the window
	MaxTimeout     = time.Minute      // of one handshake or one answer
	MaxCount       = 100_000_000      // attempts in the window
	MaxRounds      = 100              // windows
	MaxRate        = 10_000_000       // attempts a second, all connections together
	MaxNewClients  = 100_000          // distinct client certificates
	MaxChainLength = 10               // certificates that a client presents
	MaxStreams     = 1000             // HTTP/2 streams in flight on one connection
	MaxBodyBytes   = 64 << 20         // of a request
	MaxLabels      = 32               // carried into the report
	MaxLabelBytes  = 256              // of a label's name, and of its value
)

// What a zero field of [Load] means.
const (
	DefaultConnections = 16
	DefaultWarmup      = 500 * time.Millisecond
	DefaultDuration    = 5 * time.Second
	DefaultTimeout     = 5 * time.Second
)

// Load says how hard and for how long the server is driven. The zero value is
// 16 connections for 5 seconds, as fast as the server answers.
type Load struct {
	// Connections is how many connections are in progress at a time, each with
	// its own goroutine. Default 16.
	Connections int
	// Rate, in attempts a second over all connections together, makes each attempt
	// due at its appointed time whether or not the server keeps up, and counts
	// latency from then. An attempt that is due while all connections are in use
	// waits for one. 0 makes the next attempt when the last is over.
	Rate float64
	// Warmup runs before each measured window and is not counted. Default 500 ms;
	// negative means none.
	Warmup time.Duration
	// Duration ends the window. Default 5 s, or [MaxDuration] if Count is set.
	Duration time.Duration
	// Count ends the window after so many attempts, good or bad. 0 means that
	// only Duration ends it.
	Count int
	// Rounds is how many windows there are, each after its own warm-up. Default 1.
	Rounds int
	// Timeout bounds one handshake, or one answer. Default 5 s. A run outlasts
	// its window by at most this much.
	Timeout time.Duration
	// ServerPID is the process whose CPU time is read, with all its
	// descendants, from /proc (Linux). 0 means not to read it.
	ServerPID int
	// Labels say of the server what the generator cannot see, such as the size of
	// its CRL. They are carried into the report and change nothing.
	Labels map[string]string
	// Progress, unless nil, is called about four times a second from one goroutine
	// and must return soon.
	Progress func(Progress)
}

// withDefaults returns l with its zero fields filled in.
func (l Load) withDefaults() Load {
	l.Connections = orDefault(l.Connections, DefaultConnections)
	l.Rounds = orDefault(l.Rounds, 1)
	l.Timeout = orDefault(l.Timeout, DefaultTimeout)
	l.Warmup = max(orDefault(l.Warmup, DefaultWarmup), 0)
	if l.Count > 0 {
		l.Duration = orDefault(l.Duration, MaxDuration)
	}
	l.Duration = orDefault(l.Duration, DefaultDuration)
	return l
}

func orDefault[T int | time.Duration](value, whenZero T) T {
	if value == 0 {
		return whenZero
	}
	return value
}

// check notes each value out of bounds; l has its defaults.
func (l Load) check(faults *fault.List) {
	between(faults, "connections", l.Connections, 1, MaxConnections)
	between(faults, "warmup", l.Warmup, 0, MaxWarmup)
	between(faults, "duration", l.Duration, time.Millisecond, MaxDuration)
	between(faults, "count", l.Count, 0, MaxCount)
	between(faults, "rounds", l.Rounds, 1, MaxRounds)
	between(faults, "timeout", l.Timeout, time.Millisecond, MaxTimeout)
	if !(l.Rate >= 0 && l.Rate <= MaxRate) { // so written, NaN is refused too
		faults.Add("rate", "%v is outside 0 to %d a second", l.Rate, MaxRate)
	}
	if l.ServerPID < 0 {
		faults.Add("server_pid", "process id %d is negative; use 0 to leave CPU time out", l.ServerPID)
	}
	between(faults, "labels", len(l.Labels), 0, MaxLabels)
	for _, name := range slices.Sorted(maps.Keys(l.Labels)) {
		if name == "" || max(len(name), len(l.Labels[name])) > MaxLabelBytes {
			faults.Add("labels", "label %.40q: give a name, and at most %d bytes for it and for its value", name, MaxLabelBytes)
		}
	}
}

func between[T int | time.Duration](faults *fault.List, path string, value, low, high T) {
	if value < low || value > high {
		faults.Add(path, "%s is outside %s to %s", fmt.Sprint(value), fmt.Sprint(low), fmt.Sprint(high))
	}
}
