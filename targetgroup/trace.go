package targetgroup

import (
	"context"
	"time"
)

// A Trace is what a [Group] notes about one request, for the access log. The
// group writes it during RoundTrip; read it after RoundTrip has returned. One
// Trace serves one request; if it is reused, the last RoundTrip wins.
type Trace struct {
	// Group is the name of the target group.
	Group string
	// Target is the address, host:port, that the request was sent to; empty if no
	// target was chosen.
	Target string
	// Dispatched is when the request was handed to the target's connections; zero
	// if no target was chosen.
	Dispatched time.Time
	// FirstResponse is when the response's headers had come; zero if they did not.
	FirstResponse time.Time
	// Status is the target's status code; 0 if it gave none.
	Status int
}

type traceKey struct{}

// WithTrace returns a context whose requests fill in trace.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// traceOf returns the trace of ctx, or a new one that nobody reads.
func traceOf(ctx context.Context) *Trace {
	if trace, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return trace
	}
	return new(Trace)
}
