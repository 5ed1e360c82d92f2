package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// http2Window is the flow-control window that we grant each stream and the
	// connection; no answer that one measures throughput with fills it.
	http2Window = 1 << 30
	// http2Refill is how many bytes may come in before the connection's window is
	// opened again by as much.
	http2Refill = 1 << 24
	// maxHTTP2Frame is RFC 9113's default for SETTINGS_MAX_FRAME_SIZE.
	maxHTTP2Frame = 1 << 14
)

// http2Request returns the header block that every stream sends. It refers to no
// dynamic table, so the same bytes are right each time.
func http2Request(u *url.URL) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSizeLimit(0)
	for range 2 { // the first block also announces the size of the table
		block.Reset()
		for _, f := range [][2]string{
			{":method", "GET"}, {":scheme", "https"}, {":authority", u.Host}, {":path", u.RequestURI()},
			{"user-agent", "postern-bench"}, {"accept", "*/*"},
		} {
			// A bytes.Buffer refuses nothing.
			_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	return block.Bytes()
}

// A stream is one request in flight.
type stream struct {
	start    time.Time // at a fixed rate, when it was due
	lag      time.Duration
	answered bool // its status has been seen
	bytes    int  // of the body, so far
}

// http2Conn is one HTTP/2 connection that keeps a fixed number of requests in
// flight, or begins them when they are due. Only its worker uses it.
type http2Conn struct {
	request  []byte
	limit    int
	deadline deadline
	in       *bufio.Reader
	out      *bufio.Writer
	framer   *http2.Framer
	headers  *hpack.Decoder

	streams  map[uint32]stream
	nextID   uint32
	consumed uint32      // bytes since the connection's window was last opened
	leaving  bool        // the server wants no further streams
	unserved []time.Time // when those were due that it will not look at
}

func newHTTP2(conn net.Conn, s *sender) *http2Conn {
	c := &http2Conn{
		request: s.request, limit: s.streams,
		deadline: deadline{conn: conn, timeout: s.dialer.timeout},
		in:       bufio.NewReaderSize(conn, readBufferLen),
		out:      bufio.NewWriterSize(conn, readBufferLen),
		// We announce a table of no size, so answers cannot refer to one.
		headers: hpack.NewDecoder(0, nil),
		streams: make(map[uint32]stream, s.streams),
		nextID:  1,
	}
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxHTTP2Frame)
	return c
}

// serve sends the next request when one has been answered, or when it is due.
func (c *http2Conn) serve(ctx context.Context, p *pacer, r *recorder) error {
	var err error
	if p.schedule == nil {
		err = c.exchange(ctx, r)
	} else {
		err = c.exchangeAtRate(ctx, p, r)
	}
	if err != nil && err != errReopen {
		for range max(len(c.streams), 1) { // all that were in flight are lost
			r.failed(err)
		}
	}
	return err
}

func (c *http2Conn) exchange(ctx context.Context, r *recorder) error {
	if err := c.hello(); err != nil {
		return err
	}
	for r.running(ctx) {
		now := time.Now()
		if err := c.fill(now); err != nil {
			return err
		}
		if c.leaving && len(c.streams) == 0 {
			return errReopen
		}
		if err := c.flush(now); err != nil {
			return err
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return noEOF(err)
		}
		if err := c.take(frame, r); err != nil {
			return err
		}
	}
	return nil
}

// hello writes the client's preface (RFC 9113, section 3.4).
func (c *http2Conn) hello() error {
	if _, err := c.out.WriteString(http2.ClientPreface); err != nil {
		return err
	}
	err := c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: http2Window},
	)
	if err != nil {
		return err
	}
	return c.framer.WriteWindowUpdate(0, http2Window)
}

// fill begins streams until the limit is in flight.
func (c *http2Conn) fill(now time.Time) error {
	for !c.leaving && len(c.streams) < c.limit {
		if err := c.open(stream{start: now}); err != nil {
			return err
		}
	}
	return nil
}

// open begins one stream.
func (c *http2Conn) open(s stream) error {
	id := c.nextID
	c.streams[id] = s
	c.nextID += 2
	return c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.request, EndStream: true, EndHeaders: true,
	})
}

// flush sends what has gathered, once there is nothing left to read: so that
// requests leave together when answers came together.
func (c *http2Conn) flush(now time.Time) error {
	if err := c.deadline.extend(now); err != nil {
		return err
	}
	if c.in.Buffered() > 0 || c.out.Buffered() == 0 {
		return nil
	}
	return c.out.Flush()
}

// take acts on one frame from the server.
func (c *http2Conn) take(frame http2.Frame, r *recorder) error {
	id := frame.Header().StreamID
	switch f := frame.(type) {
	case *http2.HeadersFrame:
		return c.takeHeaders(f, r)
	case *http2.DataFrame:
		if s, ok := c.streams[id]; ok {
			s.bytes += len(f.Data())
			c.streams[id] = s
		}
		c.finish(id, f.StreamEnded(), r)
		return c.refill(f.Length)
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.framer.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame:
		if _, ok := c.streams[id]; ok {
			delete(c.streams, id)
			r.failed(protocolError("stream reset: " + f.ErrCode.String()))
		}
	case *http2.GoAwayFrame:
		return c.takeGoAway(f)
	}
	return nil
}

// takeHeaders reads the status of an answer. Trailers, which may follow the
// body, are decoded like any headers and say nothing to us.
func (c *http2Conn) takeHeaders(f *http2.HeadersFrame, r *recorder) error {
	if !f.HeadersEnded() {
		return protocolError("answer's headers do not fit in one frame")
	}
	s, ok := c.streams[f.StreamID]
	if !ok {
		return nil
	}
	if !s.answered {
		if err := c.checkStatus(f.HeaderBlockFragment()); err != nil {
			delete(c.streams, f.StreamID)
			r.failed(err)
			return nil
		}
		s.answered = true
		c.streams[f.StreamID] = s
	}
	c.finish(f.StreamID, f.StreamEnded(), r)
	return nil
}

// checkStatus looks at the first field of an answer, which is :status. The
// answers that a benchmark gets most take one byte (RFC 7541, appendix A).
func (c *http2Conn) checkStatus(block []byte) error {
	const status200, status204 = 0x80 | 8, 0x80 | 9
	if len(block) > 0 && (block[0] == status200 || block[0] == status204) {
		return nil
	}
	fields, err := c.headers.DecodeFull(block)
	if err != nil {
		return fmt.Errorf("decoding headers: %w", err)
	}
	if len(fields) == 0 || fields[0].Name != ":status" {
		return protocolError("answer does not begin with a status")
	}
	status, err := strconv.Atoi(fields[0].Value)
	if err != nil {
		return protocolError(fmt.Sprintf("status %q is no number", fields[0].Value))
	}
	if status < 200 || status > 399 {
		return statusError(status)
	}
	return nil
}

// finish counts an answer that has come to its end.
func (c *http2Conn) finish(id uint32, ended bool, r *recorder) {
	s, ok := c.streams[id]
	if !ok || !ended {
		return
	}
	delete(c.streams, id)
	r.done(sample{latency: time.Since(s.start), lag: s.lag, bytes: s.bytes})
}

func (c *http2Conn) refill(n uint32) error {
	c.consumed += n
	if c.consumed < http2Refill {
		return nil
	}
	n, c.consumed = c.consumed, 0
	return c.framer.WriteWindowUpdate(0, n)
}

// takeGoAway forgets the streams that the server will not look at; they did not
// fail, they were never served (RFC 9113, section 6.8).
func (c *http2Conn) takeGoAway(f *http2.GoAwayFrame) error {
	if f.ErrCode != http2.ErrCodeNo {
		return protocolError("connection ended: " + f.ErrCode.String())
	}
	c.leaving = true
	for id, s := range c.streams {
		if id > f.LastStreamID {
			c.unserved = append(c.unserved, s.start)
			delete(c.streams, id)
		}
	}
	return nil
}
