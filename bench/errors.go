package bench

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// Kinds of error in a report, beside "status N" for an HTTP answer that is no
// success and "alert: …" for an alert that the server sent.
const (
	KindTimeout     = "timeout"            // nothing within Load.Timeout
	KindRefused     = "connection refused" // nobody listens
	KindReset       = "connection reset"   // as ALB answers a refused certificate
	KindClosed      = "closed early"       // end of stream before the answer
	KindNoPort      = "no local port"      // the generator ran out of ports
	KindCertificate = "server certificate" // not for the name, or not from the CA
	KindProtocol    = "bad answer"         // not HTTP as we expect it
	KindOther       = "other"
)

// maxErrorKinds bounds the table of a run whose server invents alerts and
// statuses; further kinds are counted as [KindOther].
const maxErrorKinds = 32

// An ErrorCount is how often one kind of error was met, with the text of the
// first.
type ErrorCount struct {
	Kind  string `json:"kind"`
	Count uint64 `json:"count"`
	First string `json:"first"`
}

// errorCounts counts errors by kind. The zero value is empty.
type errorCounts map[string]*ErrorCount

func (c *errorCounts) add(err error) {
	c.count(ErrorCount{Kind: kindOf(err), Count: 1, First: err.Error()})
}

func (c *errorCounts) merge(other *errorCounts) {
	for _, e := range *other {
		c.count(*e)
	}
}

func (c *errorCounts) count(e ErrorCount) {
	if *c == nil {
		*c = make(errorCounts)
	}
	if (*c)[e.Kind] == nil && len(*c) >= maxErrorKinds {
		e.Kind = KindOther
	}
	if known := (*c)[e.Kind]; known != nil {
		known.Count += e.Count
		return
	}
	(*c)[e.Kind] = &e
}

// first returns the text of one error, or says that there was none.
func (c errorCounts) first() string {
	if len(c) == 0 {
		return "no answer came"
	}
	return c.list()[0].First
}

// list returns the kinds, most frequent first.
func (c errorCounts) list() []ErrorCount {
	all := make([]ErrorCount, 0, len(c))
	for _, e := range c {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// A statusError is an HTTP answer that is neither 2xx nor 3xx.
type statusError int

// Error implements error.
func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// A protocolError is an answer that we cannot read.
type protocolError string

// Error implements error.
func (e protocolError) Error() string { return string(e) }

// kindOf names the kind of an error. Order matters: a deadline is also a
// net.OpError, and a remote alert is one that wraps nothing exported.
func kindOf(err error) string {
	if _, ok := errors.AsType[statusError](err); ok {
		return err.Error()
	}
	if _, ok := errors.AsType[protocolError](err); ok {
		return KindProtocol
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return KindCertificate
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return "alert: " + op.Err.Error()
	}
	for _, k := range []struct {
		target error
		kind   string
	}{
		{os.ErrDeadlineExceeded, KindTimeout},
		{context.DeadlineExceeded, KindTimeout},
		{syscall.ETIMEDOUT, KindTimeout},
		{syscall.ECONNREFUSED, KindRefused},
		{syscall.ECONNRESET, KindReset},
		{syscall.EPIPE, KindReset},
		{syscall.EADDRNOTAVAIL, KindNoPort},
		{io.EOF, KindClosed},
		{io.ErrUnexpectedEOF, KindClosed},
	} {
		if errors.Is(err, k.target) {
			return k.kind
		}
	}
	return KindOther
}
