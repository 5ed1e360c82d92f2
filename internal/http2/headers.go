package http2

import (
	"net/http"
	"net/url"
	"time"
)

// takeHeaders is RFC 9113, section 6.2.
func (c *conn) takeHeaders(f *frame) error {
	if f.stream == 0 || f.stream%2 == 0 {
		return fatal(codeProtocol, "HEADERS on a stream that is not the client's")
	}
	if err := f.unpad(); err != nil {
		return err
	}
	var broken error
	if f.has(flagPriority) {
		if len(f.payload) < 5 {
			return fatal(codeFrameSize, "HEADERS too short for its priority")
		}
		broken = checkDependency(f.stream, f.payload)
		f.payload = f.payload[5:]
	}
	if f.has(flagEndHeaders) {
		return c.takeBlock(f, f.payload, broken)
	}
	c.blockOf, c.fragments = *f, 0
	c.block = append(c.block[:0], f.payload...)
	if c.in.began.IsZero() {
		c.in.began = time.Now()
	}
	c.broken = broken
	return nil
}

// takeContinuation is RFC 9113, section 6.10. What a block may be made of is bounded
// (CVE-2023-45288), and so is the time that it may take.
func (c *conn) takeContinuation(f *frame) error {
	if c.blockOf.stream == 0 {
		return fatal(codeProtocol, "CONTINUATION without HEADERS")
	}
	c.block = append(c.block, f.payload...)
	c.fragments++
	limits := &c.server.limits
	if len(c.block) > limits.HeaderBlock || c.fragments > limits.Continuations {
		return fatal(codeEnhanceYourCalm, "header block too large")
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	first, block := c.blockOf, c.block
	c.blockOf, c.in.began = frame{}, time.Time{}
	err := c.takeBlock(&first, block, c.broken)
	if cap(c.block) > readBuffer {
		c.block = nil
	}
	return err
}

// takeBlock acts on a whole header block. It is decoded in any case, or later
// blocks would be decoded wrongly.
func (c *conn) takeBlock(f *frame, block []byte, broken error) error {
	s, fresh, err := c.streamOf(f)
	if late, ok := err.(*streamError); ok {
		broken = late
	} else if err != nil {
		return err
	}
	limits := &c.server.limits
	h := &c.head
	if size := limits.HeaderList; fresh {
		h.reset(size, limits.HeaderCount)
	} else {
		h.reset(min(limits.Trailers, size), limits.HeaderCount)
	}
	if err := c.decoder.decode(block, h); err != nil {
		return fatal(codeCompression, err.Error())
	}
	h.seal()
	switch {
	case broken != nil:
		return broken
	case fresh:
		err = c.open(f)
	case s != nil:
		err = c.takeTrailers(s, f)
	}
	h.trim()
	return err
}

// streamOf returns the stream whose trailers a header block is, or says that it is a
// new request. Neither is the case for blocks that are to be ignored.
func (c *conn) streamOf(f *frame) (s *stream, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := c.streams[f.stream]; {
	case s != nil && s.remoteClosed:
		return nil, false, &streamError{f.stream, codeStreamClosed, "HEADERS after the end"}
	case s != nil:
		return s, false, nil
	case f.stream > c.last:
		if c.goodbye == goodbyeFinal {
			return nil, false, nil
		}
		c.last = f.stream
		return nil, true, nil
	case c.isOurs(f.stream):
		return nil, false, nil
	}
	return nil, false, fatal(codeStreamClosed, "HEADERS on a closed stream")
}

// takeTrailers ends a request's body (RFC 9113, section 8.1).
func (c *conn) takeTrailers(s *stream, f *frame) error {
	h := &c.head
	switch {
	case !f.has(flagEndStream):
		return &streamError{s.id, codeProtocol, "second HEADERS that does not end the request"}
	case h.bad != "":
		return &streamError{s.id, codeProtocol, "malformed trailer: " + h.bad}
	case h.tooLarge():
		return &streamError{s.id, codeEnhanceYourCalm, "trailers too large"}
	}
	trailer := make(http.Header, len(h.fields))
	for i := range h.fields {
		f := &h.fields[i]
		switch f.name.kind {
		case kindPlain, kindPriority:
			trailer[f.name.canonical] = append(trailer[f.name.canonical], f.value)
		case kindCookie, kindHost, kindLength, kindExpect, kindTE, kindTrailer:
			// Not in trailers (RFC 9110, section 6.5.1); left out as by net/http.
		default:
			return &streamError{s.id, codeProtocol, "field in a trailer that must not be there"}
		}
	}
	c.mu.Lock()
	c.closeRemote(s)
	c.mu.Unlock()
	return s.body.finish(trailer)
}

// open begins a request.
func (c *conn) open(f *frame) error {
	h := &c.head
	end := f.has(flagEndStream)
	s := c.newStream(f.stream)
	switch fault := s.build(h, end); {
	case h.tooLarge():
		s.tooLarge = true
	case fault != "" && c.server.Malformed == nil:
		return &streamError{f.stream, codeProtocol, "malformed request: " + fault}
	case fault != "":
		s.malformed = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.malformed { // its stream will be reset
		if err := c.spendReset(); err != nil {
			return err
		}
	}
	limits := &c.server.limits
	s.memory = min(h.size, limits.HeaderList)
	c.idleFrames.earn(repayRequest)
	switch {
	case len(c.streams) >= limits.Streams:
		return &streamError{f.stream, codeRefusedStream, "too many streams"}
	case c.memory+s.memory > max(limits.HeaderMemory, s.memory):
		return &streamError{f.stream, codeRefusedStream, "too much memory in headers"}
	}
	c.memory += s.memory
	s.window, s.receive, s.remoteClosed = c.initial, limits.StreamWindow, end
	c.streams[s.id] = s
	// A handler goes on when its stream was reset, and counts until it returns.
	if c.running >= limits.Streams {
		c.queue = append(c.queue, s)
		return nil
	}
	c.start(s)
	return nil
}

// newStream returns a stream without a request.
func (c *conn) newStream(id uint32) *stream {
	s, _ := c.server.streams.Get().(*stream)
	if s == nil {
		s = new(stream)
		s.blank = *template.WithContext(&s.ctx)
	}
	s.c, s.id, s.urgency = c, id, defaultUrgency
	s.ctx.Renew(c.ctx, nil)
	s.cond.L = &c.mu
	s.body.s, s.body.want = s, -1
	s.body.arrived.L = &s.body.mu
	s.response.s, s.length = s, -1
	return s
}

// recycle gives a stream back whose handler has returned and keeps nothing of it.
// Those with a body are left to the collector: the goroutine that reads may be about
// to hand DATA to it; and so are those whose clock may still be about to strike, or
// whose context to be ended from outside.
func (s *stream) recycle() {
	server := s.c.server
	if !server.Recycle || s.kept || !s.bodyless || s.clock != nil || s.err != nil {
		return
	}
	spare, values, out := s.requestHeader, s.values, s.response.spare
	clear(spare)
	clear(values)
	clear(out)
	s.c, s.id, s.next = nil, 0, nil
	s.request, s.url, s.req = http.Request{}, url.URL{}, nil
	s.requestHeader, s.values = spare, values[:0]
	s.response = response{spare: out}
	s.body.reset()
	s.window, s.receive, s.memory, s.progress = 0, 0, 0, 0
	s.localClosed, s.remoteClosed, s.bodyless, s.struck, s.kept = false, false, false, false, false
	s.writeUntil = time.Time{}
	server.streams.Put(s)
}
