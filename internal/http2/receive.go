package http2

import (
	"encoding/binary"
	"strings"
	"time"
)

// readFirst reads the frame that must follow the preface (RFC 9113, section 3.4).
func (c *conn) readFirst() error {
	f, err := c.in.next()
	if err != nil {
		return err
	}
	if f.kind != frameSettings || f.has(flagAck) {
		return fatal(codeProtocol, "the preface is not followed by SETTINGS")
	}
	c.in.began = time.Time{}
	return c.takeSettings(&f)
}

// readFrame reads one frame and acts on it.
func (c *conn) readFrame() error {
	f, err := c.in.next()
	if err != nil {
		return err
	}
	if c.blockOf.stream != 0 && (f.kind != frameContinuation || f.stream != c.blockOf.stream) {
		return fatal(codeProtocol, "header block is interrupted by another frame")
	}
	if c.blockOf.stream == 0 {
		c.in.began = time.Time{}
	}
	switch f.kind {
	case frameHeaders:
		return c.takeHeaders(&f)
	case frameData:
		return c.takeData(&f)
	case frameWindowUpdate:
		return c.takeWindowUpdate(&f)
	case frameContinuation:
		return c.takeContinuation(&f)
	case frameRSTStream:
		return c.takeReset(&f)
	case frameSettings:
		return c.takeSettings(&f)
	case framePing:
		return c.takePing(&f)
	case framePriority:
		return c.takePriority(&f)
	case framePriorityUpdate:
		return c.takePriorityUpdate(&f)
	case frameGoAway:
		return c.takeGoAway(&f)
	case framePushPromise:
		return fatal(codeProtocol, "PUSH_PROMISE from a client")
	}
	return c.idleFrame() // unknown frames are ignored (RFC 9113, section 5.5)
}

// idleFrame counts a frame that carries nothing.
func (c *conn) idleFrame() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.idleFrames.spend() {
		return fatal(codeEnhanceYourCalm, "too many frames that carry nothing")
	}
	return nil
}

// resetByError resets a stream for a fault of the client's. Such resets count like
// the client's own (CVE-2025-8671).
func (c *conn) resetByError(e *streamError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[e.id]; s != nil {
		c.reset(s, e.code)
	} else if err := c.reply(appendRSTStream(nil, e.id, e.code)); err != nil {
		return err
	}
	c.remember(e.id)
	return c.spendReset()
}

// spendReset counts a request that was begun and given up; mu is held.
func (c *conn) spendReset() error {
	if !c.resets.spend() {
		return fatal(codeEnhanceYourCalm, "too many streams are reset")
	}
	return nil
}

// takeData is RFC 9113, section 6.1. All of the frame counts for flow control, its
// padding too.
func (c *conn) takeData(f *frame) error {
	if f.stream == 0 {
		return fatal(codeProtocol, "DATA on stream 0")
	}
	size, end := len(f.payload), f.has(flagEndStream)
	if err := f.unpad(); err != nil {
		return err
	}
	if len(f.payload) == 0 && !end {
		if err := c.idleFrame(); err != nil {
			return err
		}
	}
	s, err := c.charge(f.stream, size, len(f.payload), end)
	if err != nil {
		return err
	}
	unwanted := size - len(f.payload)
	if s != nil {
		var n int
		n, err = s.body.receive(f.payload, end)
		unwanted += n
	} else {
		unwanted = size
	}
	if unwanted > 0 {
		c.consumed(nil, unwanted, 0)
	}
	return err
}

// charge counts DATA against the windows, and returns the stream that takes it; nil
// if nobody does.
func (c *conn) charge(id uint32, size, data int, end bool) (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil && id > c.last && c.goodbye != goodbyeFinal {
		return nil, fatal(codeProtocol, "DATA on an idle stream")
	}
	if size > c.receive {
		return nil, fatal(codeFlowControl, "DATA beyond the connection's window")
	}
	c.receive -= size
	switch {
	case s == nil && (id > c.last || c.isOurs(id)):
		return nil, nil
	case s == nil || s.remoteClosed:
		c.freed.Add(int64(size))
		return nil, &streamError{id, codeStreamClosed, "DATA after the end"}
	case size > s.receive:
		c.freed.Add(int64(size))
		return nil, &streamError{id, codeFlowControl, "DATA beyond the stream's window"}
	}
	s.receive -= size
	if padding := size - data; padding > 0 && !end { // it is consumed at once
		s.receive += padding
		if err := c.reply(appendWindowUpdate(nil, id, padding)); err != nil {
			return nil, err
		}
	}
	if data > 0 {
		c.idleFrames.earn(repayData)
	}
	if end {
		c.closeRemote(s)
	}
	return s, nil
}

// closeRemote notes that a request has come to its end; mu is held.
func (c *conn) closeRemote(s *stream) {
	if s.remoteClosed = true; s.localClosed {
		c.remove(s)
	}
}

// takeWindowUpdate is RFC 9113, section 6.9.
func (c *conn) takeWindowUpdate(f *frame) error {
	if len(f.payload) != 4 {
		return fatal(codeFrameSize, "WINDOW_UPDATE of a wrong size")
	}
	n := int(binary.BigEndian.Uint32(f.payload) & maxWindow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= smallUpdate && !c.idleFrames.spend() {
		return fatal(codeEnhanceYourCalm, "windows are opened by too little")
	}
	if f.stream == 0 {
		if n == 0 {
			return fatal(codeProtocol, "WINDOW_UPDATE by nothing")
		}
		if c.window += n; c.window > maxWindow {
			return fatal(codeFlowControl, "the connection's window is too large")
		}
		c.pump()
		return nil
	}
	s := c.streams[f.stream]
	switch {
	case s == nil && f.stream > c.last && c.goodbye != goodbyeFinal:
		return fatal(codeProtocol, "WINDOW_UPDATE on an idle stream")
	case n == 0:
		return &streamError{f.stream, codeProtocol, "WINDOW_UPDATE by nothing"}
	case s == nil:
		return nil
	}
	if s.window += n; s.window > maxWindow {
		return &streamError{f.stream, codeFlowControl, "the stream's window is too large"}
	}
	if s.waiting {
		c.pump()
	}
	return nil
}

// takeReset is RFC 9113, section 6.4. A client that gives up more than it lets be
// answered is attacking (CVE-2023-44487).
func (c *conn) takeReset(f *frame) error {
	if f.stream == 0 {
		return fatal(codeProtocol, "RST_STREAM on stream 0")
	}
	if len(f.payload) != 4 {
		return fatal(codeFrameSize, "RST_STREAM of a wrong size")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.stream]
	if s == nil {
		if f.stream > c.last && c.goodbye != goodbyeFinal {
			return fatal(codeProtocol, "RST_STREAM on an idle stream")
		}
		if !c.idleFrames.spend() {
			return fatal(codeEnhanceYourCalm, "too many frames that carry nothing")
		}
		return nil
	}
	c.abort(s, &ResetError{binary.BigEndian.Uint32(f.payload)})
	c.unqueue(s)
	return c.spendReset()
}

// unqueue forgets a request that waits for a handler; mu is held.
func (c *conn) unqueue(s *stream) {
	for i, queued := range c.queue {
		if queued == s {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			c.memory -= s.memory
			return
		}
	}
}

// takeSettings is RFC 9113, section 6.5.
func (c *conn) takeSettings(f *frame) error {
	switch {
	case f.stream != 0:
		return fatal(codeProtocol, "SETTINGS on a stream")
	case f.has(flagAck) && len(f.payload) > 0, len(f.payload)%settingLen != 0:
		return fatal(codeFrameSize, "SETTINGS of a wrong size")
	case len(f.payload) > maxSettings*settingLen:
		return fatal(codeEnhanceYourCalm, "too many settings")
	case f.has(flagAck):
		return c.idleFrame()
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := f.payload; len(b) > 0; b = b[settingLen:] {
		if err := c.apply(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	// The acknowledgement comes before what the settings allow (RFC 9113, section 6.5.3).
	err := c.reply(appendFrameHeader(nil, 0, frameSettings, flagAck, 0))
	c.pump()
	return err
}

// apply puts one setting in force; mu is held. The table's size is of no interest to
// an encoder without a table, nor larger frames to one that sends the smallest.
func (c *conn) apply(id uint16, value uint32) error {
	switch id {
	case settingEnablePush:
		if value > 1 {
			return fatal(codeProtocol, "ENABLE_PUSH is neither 0 nor 1")
		}
	case settingInitialWindowSize:
		if value > maxWindow {
			return fatal(codeFlowControl, "INITIAL_WINDOW_SIZE is too large")
		}
		return c.resize(int(value))
	case settingMaxFrameSize:
		if value < 1<<14 || value > 1<<24-1 {
			return fatal(codeProtocol, "MAX_FRAME_SIZE out of its range")
		}
	}
	return nil
}

// resize changes the windows of all streams, which may become negative (RFC 9113,
// section 6.9.2); mu is held.
func (c *conn) resize(initial int) error {
	delta := initial - c.initial
	c.initial = initial
	for _, s := range c.streams {
		if s.window += delta; s.window > maxWindow {
			return fatal(codeFlowControl, "INITIAL_WINDOW_SIZE makes a window too large")
		}
	}
	return nil
}

// takePing is RFC 9113, section 6.7.
func (c *conn) takePing(f *frame) error {
	if f.stream != 0 {
		return fatal(codeProtocol, "PING on a stream")
	}
	if len(f.payload) != 8 {
		return fatal(codeFrameSize, "PING of a wrong size")
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	data := [8]byte(f.payload)
	if f.has(flagAck) {
		if data == goodbyePing && c.saidGoodbye() {
			c.finalGoodbye()
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reply(appendPing(nil, flagAck, data))
}

func (c *conn) saidGoodbye() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goodbye == goodbyeSaid
}

// takeGoAway is RFC 9113, section 6.8. The client goes on reading its answers, and
// closes the connection when it has them.
func (c *conn) takeGoAway(f *frame) error {
	if f.stream != 0 {
		return fatal(codeProtocol, "GOAWAY on a stream")
	}
	if len(f.payload) < 8 {
		return fatal(codeFrameSize, "GOAWAY of a wrong size")
	}
	return c.idleFrame()
}

// takePriority checks what RFC 9113, section 6.3, still asks to be checked; the
// priorities themselves are obsolete.
func (c *conn) takePriority(f *frame) error {
	if f.stream == 0 {
		return fatal(codeProtocol, "PRIORITY on stream 0")
	}
	if len(f.payload) != 5 {
		return &streamError{f.stream, codeFrameSize, "PRIORITY of a wrong size"}
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	return checkDependency(f.stream, f.payload)
}

func checkDependency(id uint32, b []byte) error {
	if binary.BigEndian.Uint32(b)&maxStreamID == id {
		return &streamError{id, codeProtocol, "stream depends on itself"}
	}
	return nil
}

// takePriorityUpdate is RFC 9218, section 7.1. For streams that are not open it is
// ignored.
func (c *conn) takePriorityUpdate(f *frame) error {
	if f.stream != 0 {
		return fatal(codeProtocol, "PRIORITY_UPDATE on a stream")
	}
	if len(f.payload) < 4 {
		return fatal(codeFrameSize, "PRIORITY_UPDATE of a wrong size")
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	urgency := parseUrgency(string(f.payload[4:]))
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[binary.BigEndian.Uint32(f.payload)&maxStreamID]
	if s == nil || s.urgency == urgency {
		return nil
	}
	if s.waiting {
		c.waiting[s.urgency].remove(s)
		c.waiting[urgency].push(s)
	}
	s.urgency = urgency
	return nil
}

const defaultUrgency = 3

// parseUrgency reads the urgency out of a Priority field (RFC 9218, section 4.1).
// What it does not understand has no effect.
func parseUrgency(value string) uint8 {
	urgency := uint8(defaultUrgency)
	for member := range strings.SplitSeq(value, ",") {
		if v, ok := strings.CutPrefix(strings.Trim(member, " \t"), "u="); ok && len(v) > 0 && v[0] >= '0' && v[0] <= '7' && (len(v) == 1 || v[1] == ';') {
			urgency = v[0] - '0'
		}
	}
	return urgency
}
