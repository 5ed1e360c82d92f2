package targetgroup

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Status codes of ALB's that net/http has no name for.
const (
	// StatusClientClosed is logged, and sent to nobody, when the client went away
	// before the target answered.
	StatusClientClosed = 460
	// StatusVersionMismatch answers a request that the group's protocol version
	// cannot carry.
	StatusVersionMismatch = 464
)

// The reasons of an [Error]. They are sentences for logs, without details of the
// request, and stay as they are.
const (
	ReasonNoTargets           = "target group has no registered targets"
	ReasonNotInUse            = "target group is not in use"
	ReasonVersionMismatch     = "protocol version of the request does not match the target group"
	ReasonConnectFailed       = "connection to the target failed"
	ReasonConnectTimeout      = "connection to the target timed out"
	ReasonTLSFailed           = "TLS negotiation with the target failed"
	ReasonTLSTimeout          = "TLS negotiation with the target timed out"
	ReasonConnectionClosed    = "target closed the connection or stream before the response was complete"
	ReasonMalformedResponse   = "target sent a malformed response"
	ReasonResponseTimeout     = "target sent nothing within the idle timeout"
	ReasonShortBody           = "target sent a body shorter than its Content-Length"
	ReasonDeregistered        = "deregistration delay ran out"
	ReasonClientClosed        = "client closed the connection"
	ReasonClientTimeout       = "client sent nothing within the idle timeout"
	ReasonClientBodyCutShort  = "client did not send the whole body"
	ReasonRequestNotForwarded = "request cannot be forwarded"
)

// An Error is why a request got no response from a target, or not the whole of
// it. Every error of [Group.RoundTrip] is an *Error, and so is every error but
// io.EOF from reading the body of its responses.
type Error struct {
	// Status is what ALB answers: 400, 408, 460, 464, 502, 503 or 504. After the
	// response's headers it can only be logged.
	Status int
	// Reason is one of the Reason constants.
	Reason string
	// Err is the cause; nil if there is no more to say.
	Err error
}

// Error returns the reason and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// TargetFault reports whether the target, or the way to it, is to blame, and not
// the client or the configuration.
func (e *Error) TargetFault() bool {
	return e.Status == http.StatusBadGateway && e.Reason != ReasonDeregistered || e.Status == http.StatusGatewayTimeout
}

// A dialError is a connection to a target that did not come about.
type dialError struct {
	reason string
	err    error
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (e *dialError) status() int {
	if e.reason == ReasonConnectTimeout || e.reason == ReasonTLSTimeout {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// connectError tells a timeout, which is 504, from a refusal, which is 502.
func connectError(err error) error {
	if isTimeout(err) {
		return &dialError{ReasonConnectTimeout, err}
	}
	return &dialError{ReasonConnectFailed, err}
}

// handshakeError makes a timeout 504 as ALB's page of 2026 has it; that of 2023
// had 502.
func handshakeError(err error) error {
	if isTimeout(err) {
		return &dialError{ReasonTLSTimeout, err}
	}
	return &dialError{ReasonTLSFailed, err}
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// transportError gives ALB's status to an error of a transport that neither the
// client nor one of our own timers caused.
func transportError(err error) *Error {
	if dial, ok := errors.AsType[*dialError](err); ok {
		return &Error{dial.status(), dial.reason, dial.err}
	}
	if isClosed(err) {
		return &Error{http.StatusBadGateway, ReasonConnectionClosed, err}
	}
	return &Error{http.StatusBadGateway, ReasonMalformedResponse, err}
}

func isClosed(err error) bool {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, closed) {
			return true
		}
	}
	if _, ok := errors.AsType[streamError](err); ok {
		return true
	}
	// net/http exports no error for a pooled connection that the target closed as
	// the request was written, nor for the end of an HTTP/2 connection.
	text := err.Error()
	for _, part := range []string{"server closed idle connection", "server sent GOAWAY",
		"client connection lost", "client conn could not be established"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// A streamError is how net/http lets others see an HTTP/2 stream that was reset:
// its own error, which is not exported, converts to any struct of this shape.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "HTTP/2 stream was reset" }
