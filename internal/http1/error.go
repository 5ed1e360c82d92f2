package http1

import (
	"net/http"
	"strconv"
)

// A Reason says which rule a message broke. It is part of logs, so a Reason is
// never renamed.
type Reason string

// The reasons of an [Error].
const (
	BadRequestLine   Reason = "malformed request line"
	BadStatusLine    Reason = "malformed status line"
	BadVersion       Reason = "unsupported protocol version"
	BadTarget        Reason = "malformed request target"
	BareLF           Reason = "line ends without CR"
	BadFieldName     Reason = "malformed header name"
	BadFieldValue    Reason = "control character in a header value"
	FoldedField      Reason = "folded header line"
	BadHost          Reason = "missing, repeated or malformed Host"
	BadLength        Reason = "malformed or repeated Content-Length"
	LengthAndChunked Reason = "Content-Length together with Transfer-Encoding"
	BadEncoding      Reason = "unsupported Transfer-Encoding"
	EncodingIn10     Reason = "Transfer-Encoding in HTTP/1.0"
	BadTrailer       Reason = "malformed or forbidden trailer"
	BadExpectation   Reason = "unsupported expectation"
	LineTooLong      Reason = "request line too long"
	FieldTooLong     Reason = "header line too long"
	HeadTooLong      Reason = "headers too long"
	TooManyFields    Reason = "too many header lines"
	BadChunk         Reason = "malformed chunk"
	ChunkTooCostly   Reason = "chunk extensions too long"
	HeadTimeout      Reason = "request headers took too long"
	BadSwitch        Reason = "protocol switch that was not asked for"
	TooManyInterim   Reason = "too many informational responses"
)

// An Error is a message that breaks the grammar of HTTP/1.1 or a limit.
type Error struct {
	// Reason is the rule that was broken.
	Reason Reason
	// Status is what a server answers; for responses of targets it means nothing.
	Status int
	// Offset is the place in the head, or in the body's encoded form since the last
	// read, in bytes; -1 if no place is at fault.
	Offset int
}

// Error returns the reason and the place.
func (e *Error) Error() string {
	if e.Offset < 0 {
		return "http1: " + string(e.Reason)
	}
	return "http1: " + string(e.Reason) + " at byte " + strconv.Itoa(e.Offset)
}

func bad(reason Reason, offset int) *Error {
	return &Error{reason, http.StatusBadRequest, offset}
}

// A Refusal is what is known of a request that could not be read.
type Refusal struct {
	// Err says why; Err.Status is what to answer.
	Err *Error
	// Head is what had come of the request. It is valid during the call only.
	Head []byte
}
