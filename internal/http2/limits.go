package http2

import "time"

// The default limits of what a client may ask for. Each is a field of [Limits].
const (
	// DefaultStreams is ALB's number of parallel requests per connection.
	DefaultStreams = 128
	// DefaultHeaderList is the size of all fields of one request, each counted with
	// 32 bytes on top (RFC 9113, section 6.5.2).
	DefaultHeaderList = 96 << 10
	// DefaultHeaderCount is the number of fields of one request or of its trailers.
	DefaultHeaderCount = 500
	// DefaultTrailers is the size of all trailer fields of a request, counted alike.
	DefaultTrailers = 8 << 10
	// DefaultHeaderBlock is the size of a header block as it is sent. More cannot be
	// skipped without losing the state of the compression.
	DefaultHeaderBlock = 128 << 10
	// DefaultContinuations is how many CONTINUATION frames one block may have.
	DefaultContinuations = 32
	// DefaultHeaderMemory is the size of the header lists of all requests of a
	// connection that are not answered yet.
	DefaultHeaderMemory = 1 << 20
	// DefaultResets is how many requests a client may give up, or make the server give up,
	// beyond those that were answered.
	DefaultResets = 200
	// DefaultIdleFrames is how many frames that carry nothing (PING, SETTINGS, PRIORITY, empty
	// DATA, small WINDOW_UPDATE) a client may send beyond what its requests pay for.
	DefaultIdleFrames = 1000
	// DefaultReplies is how many bytes of replies to such frames may wait for a
	// client that does not read.
	DefaultReplies = 16 << 10
	// DefaultStreamWindow is how much of a request's body is taken before the
	// handler reads it.
	DefaultStreamWindow = 256 << 10
	// DefaultConnWindow is the same for all requests of a connection together.
	DefaultConnWindow = 1 << 20
)

const (
	// maxFrame is the largest frame that is taken or sent. It is RFC 9113's smallest
	// permitted, and one TLS record.
	maxFrame = 16 << 10
	// readBuffer is the size of a pooled buffer for reading: a frame, and what
	// else a TLS record may bring.
	readBuffer = 32 << 10
	// smallRead is the size of the buffer that an idle connection waits with.
	smallRead = 512
	// outLimit is how much output waits for the connection before its writers do.
	outLimit = 64 << 10
	// bodyBlock is the size of a pooled piece of a body, in either direction.
	bodyBlock = 16 << 10
	// maxTable is the size of the table that header blocks may refer to.
	maxTable = 4096

	// repayRequest and repayData are what a request, and a DATA frame in either
	// direction, add to the allowance for frames that carry nothing: an answer is often
	// followed by two WINDOW_UPDATE frames, and a gRPC message by a PING too.
	repayRequest = 8
	repayData    = 4
	// smallUpdate is the WINDOW_UPDATE up to which it counts as carrying nothing.
	smallUpdate = 1 << 10
	// framesPerSecond and resetsPerSecond are what time adds to the allowances.
	framesPerSecond = 10
	resetsPerSecond = 2
	// maxSettings is how many settings one frame may have.
	maxSettings = 64
	// maxIdleWorkers is how many goroutines wait for requests.
	maxIdleWorkers = 256

	// goodbyeWait is how long a client may take to acknowledge that its connection
	// ends, before requests that it sends are no longer answered.
	goodbyeWait = time.Second
	// errorWait bounds the writing of the last frames of a connection that failed.
	errorWait = time.Second
)

// Limits bound what a client may make the server do. A field that is zero stands
// for its default.
type Limits struct {
	Streams       int // see [DefaultStreams]; more are refused
	HeaderList    int // see [DefaultHeaderList]; more is answered 431
	HeaderCount   int // see [DefaultHeaderCount]; more are answered 431
	Trailers      int // see [DefaultTrailers]; more resets the stream
	HeaderBlock   int // see [DefaultHeaderBlock]; more ends the connection
	Continuations int // see [DefaultContinuations]; more end the connection
	HeaderMemory  int // see [DefaultHeaderMemory]; what exceeds it is refused
	Resets        int // see [DefaultResets]; more end the connection
	IdleFrames    int // see [DefaultIdleFrames]; more end the connection
	Replies       int // see [DefaultReplies]; more end the connection
	StreamWindow  int // see [DefaultStreamWindow]
	ConnWindow    int // see [DefaultConnWindow]
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.Streams, DefaultStreams}, {&l.HeaderList, DefaultHeaderList}, {&l.HeaderCount, DefaultHeaderCount},
		{&l.Trailers, DefaultTrailers}, {&l.HeaderBlock, DefaultHeaderBlock}, {&l.Continuations, DefaultContinuations},
		{&l.HeaderMemory, DefaultHeaderMemory}, {&l.Resets, DefaultResets}, {&l.IdleFrames, DefaultIdleFrames},
		{&l.Replies, DefaultReplies}, {&l.StreamWindow, DefaultStreamWindow}, {&l.ConnWindow, DefaultConnWindow},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	// Clients may count on the initial window: the connection's cannot be set below it
	// (RFC 9113, section 6.9.2), and a stream's comes too late for the first ones.
	l.StreamWindow, l.ConnWindow = max(l.StreamWindow, initialWindow), max(l.ConnWindow, initialWindow)
	return l
}
