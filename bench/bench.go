// Package bench measures a TLS server from outside, as any client sees it.
//
// [Handshake] opens connections as fast as the server completes them and
// [Requests] sends requests over connections that stay open. Both report a rate,
// latency percentiles, errors by kind and, when told the server's process id,
// the CPU time that the server spent on each: the one figure that stays true
// when the generator, and not the server, is what limits the rate.
//
// The package knows nothing of the server it drives and imports no part of one,
// so a figure for Postern and a figure for a peer come from the same code. It
// starts no process: bench/compare does, and README.md has the method.
package bench

import (
	"fmt"
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
	MaxNewClients  = 100_000          // distinct client certificates
	MaxStreams     = 1000             // HTTP/2 streams in flight on one connection
	MaxRate        = 10_000_000       // requests a second, all connections together
)

// What a zero field of [Load] means.
const (
	DefaultConnections = 16
	DefaultWarmup      = 500 * time.Millisecond
	DefaultDuration    = 5 * time.Second
	DefaultTimeout     = 5 * time.Second
)

// Load says how hard and for how long the server is driven. The zero value is
// 16 connections for 5 seconds.
type Load struct {
	// Connections is how many connections are in progress at a time, each with
	// its own goroutine. Default 16.
	Connections int
	// Warmup runs before the measured window and is not counted. Default 500 ms;
	// negative means none.
	Warmup time.Duration
	// Duration ends the window. Default 5 s, or [MaxDuration] if Count is set.
	Duration time.Duration
	// Count ends the window after so many attempts, good or bad. 0 means that
	// only Duration ends it.
	Count int
	// Timeout bounds one handshake, or one answer. Default 5 s. A run outlasts
	// its window by at most this much.
	Timeout time.Duration
	// ServerPID is the process whose CPU time is read, with all its
	// descendants, from /proc (Linux). 0 means not to read it.
	ServerPID int
}

// withDefaults returns l with its zero fields filled in.
func (l Load) withDefaults() Load {
	if l.Connections == 0 {
		l.Connections = DefaultConnections
	}
	switch {
	case l.Warmup == 0:
		l.Warmup = DefaultWarmup
	case l.Warmup < 0:
		l.Warmup = 0
	}
	switch {
	case l.Duration == 0 && l.Count > 0:
		l.Duration = MaxDuration
	case l.Duration == 0:
		l.Duration = DefaultDuration
	}
	if l.Timeout == 0 {
		l.Timeout = DefaultTimeout
	}
	return l
}

// check notes each value out of bounds; l has its defaults.
func (l Load) check(faults *fault.List) {
	between(faults, "connections", l.Connections, 1, MaxConnections)
	between(faults, "warmup", l.Warmup, 0, MaxWarmup)
	between(faults, "duration", l.Duration, time.Millisecond, MaxDuration)
	between(faults, "count", l.Count, 0, MaxCount)
	between(faults, "timeout", l.Timeout, time.Millisecond, MaxTimeout)
	if l.ServerPID < 0 {
		faults.Add("server_pid", "process id %d is negative; use 0 to leave CPU time out", l.ServerPID)
	}
}

func between[T int | time.Duration](faults *fault.List, path string, value, low, high T) {
	if value < low || value > high {
		faults.Add(path, "%s is outside %s to %s", fmt.Sprint(value), fmt.Sprint(low), fmt.Sprint(high))
	}
}
