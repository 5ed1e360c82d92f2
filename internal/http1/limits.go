package http1

import "time"

// The default limits of what a client may send. The sizes of the request line and
// of the headers are ALB's (ALB, "Quotas for your Application Load Balancers").
const (
	// DefaultRequestLine is the size of a request line, in bytes with its CRLF.
	DefaultRequestLine = 16 << 10
	// DefaultHeader is the size of one header line, in bytes with its CRLF.
	DefaultHeader = 16 << 10
	// DefaultHeaders is the size of all header lines together, in bytes.
	DefaultHeaders = 64 << 10
	// DefaultHeaderCount is the number of header lines of one message, or of the
	// trailer lines of one body.
	DefaultHeaderCount = 500
	// DefaultTrailers is the size of all trailer lines of a body, in bytes.
	DefaultTrailers = 8 << 10
	// DefaultChunkLine is the size of a line with the size of a chunk and its
	// extensions, in bytes with its CRLF.
	DefaultChunkLine = 256
	// DefaultDrain is how many bytes of a request's body that the handler left
	// unread are read and thrown away to keep the connection.
	DefaultDrain = 256 << 10
	// DefaultMaxResponseHeaderBytes is the size of the head of a response (ALB,
	// "Quotas for your Application Load Balancers": 32 K).
	DefaultMaxResponseHeaderBytes = 32 << 10
	// DefaultMaxIdlePerHost is how many idle connections are kept for one host.
	DefaultMaxIdlePerHost = 256
	// MaxInformational is how many 1xx responses may precede a final one.
	MaxInformational = 16
	// MaxChunkOverhead is how many bytes a body may spend on chunk sizes and
	// extensions beyond what its data pays for; see [chunkCredit].
	MaxChunkOverhead = 16 << 10
)

const (
	// smallRead is the size of the buffer that an idle connection waits with. What TLS
	// has more of a record costs no system call to fetch.
	smallRead = 16
	// readBuffer is the size of a pooled buffer for reading.
	readBuffer = 4 << 10
	// writeBuffer is the size of a pooled buffer for writing. Its text fits one TLS
	// record.
	writeBuffer = 16 << 10
	// inlineBody is the size up to which a body that is in memory already is sent
	// in one write with its head.
	inlineBody = 8 << 10

	// drainGrace is how long an answer waits for the rest of a body that its handler
	// did not read.
	drainGrace = 20 * time.Millisecond
	// drainTime is how long that rest may take to come after an answer that was
	// flushed before.
	drainTime = 2 * time.Second
	// newGrace is how long a connection without a request survives Shutdown.
	newGrace = time.Second
	// watchInterval is the time between two looks at the clients of long requests.
	watchInterval = 100 * time.Millisecond
	// uploadGrace is how long the end of a response waits for the sender of the
	// request's body, before the connection is given up.
	uploadGrace = 50 * time.Millisecond
)

// Limits bound what one message may consist of. A field that is zero stands for
// its default.
type Limits struct {
	// RequestLine is in bytes with CRLF; more is answered 414.
	RequestLine int
	// Header is in bytes with CRLF; a single line of this size or more is answered
	// 400, as ALB does it.
	Header int
	// Headers is in bytes, all header lines together; more is answered 400.
	Headers int
	// HeaderCount is the number of header lines; more are answered 400.
	HeaderCount int
	// Trailers is in bytes; more makes reading the body fail.
	Trailers int
	// ChunkLine is in bytes with CRLF; more makes reading the body fail.
	ChunkLine int
	// Drain is in bytes; see [DefaultDrain]. Negative closes the connection
	// whenever a handler leaves a body unread.
	Drain int64
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.RequestLine, DefaultRequestLine}, {&l.Header, DefaultHeader}, {&l.Headers, DefaultHeaders},
		{&l.HeaderCount, DefaultHeaderCount}, {&l.Trailers, DefaultTrailers}, {&l.ChunkLine, DefaultChunkLine},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if l.Drain == 0 {
		l.Drain = DefaultDrain
	}
	return l
}

// responseLimits are for the responses of targets, whose heads have one limit for all.
func responseLimits(head int) Limits {
	if head <= 0 {
		head = DefaultMaxResponseHeaderBytes
	}
	return Limits{RequestLine: head, Header: head, Headers: head}.withDefaults()
}
