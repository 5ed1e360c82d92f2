package http2

import "encoding/binary"

// The types of frames (RFC 9113, section 6; RFC 9218, section 7.1).
const (
	frameData           = 0x0
	frameHeaders        = 0x1
	framePriority       = 0x2
	frameRSTStream      = 0x3
	frameSettings       = 0x4
	framePushPromise    = 0x5
	framePing           = 0x6
	frameGoAway         = 0x7
	frameWindowUpdate   = 0x8
	frameContinuation   = 0x9
	framePriorityUpdate = 0x10
)

// The flags of frames.
const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings (RFC 9113, section 6.5.2; RFC 9218, section 2.1).
const (
	settingHeaderTableSize   = 0x1
	settingEnablePush        = 0x2
	settingMaxStreams        = 0x3
	settingInitialWindowSize = 0x4
	settingMaxFrameSize      = 0x5
	settingMaxHeaderListSize = 0x6
	settingNoRFC7540Priority = 0x9
)

const (
	preface        = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderLen = 9
	settingLen     = 6
	initialWindow  = 65535
	maxWindow      = 1<<31 - 1
	maxStreamID    = 1<<31 - 1
)

// A frame is one frame in the read buffer; its payload is valid until the next is
// read.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f *frame) has(flag byte) bool { return f.flags&flag != 0 }

// unpad takes the padding off a DATA or HEADERS frame (RFC 9113, sections 6.1, 6.2).
func (f *frame) unpad() error {
	if !f.has(flagPadded) {
		return nil
	}
	if len(f.payload) == 0 {
		return fatal(codeFrameSize, "padded frame without its pad length")
	}
	pad, rest := int(f.payload[0]), f.payload[1:]
	if pad > len(rest) {
		return fatal(codeProtocol, "padding longer than its frame")
	}
	f.payload = rest[:len(rest)-pad]
	return nil
}

func appendFrameHeader(b []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// putFrameHeader writes a frame's header into b[:frameHeaderLen].
func putFrameHeader(b []byte, length int, kind, flags byte, stream uint32) {
	appendFrameHeader(b[:0], length, kind, flags, stream)
}

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

func appendRSTStream(b []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, frameRSTStream, 0, stream), uint32(c))
}

func appendWindowUpdate(b []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, frameWindowUpdate, 0, stream), uint32(n))
}

func appendGoAway(b []byte, last uint32, c code, text string) []byte {
	b = appendFrameHeader(b, 8+len(text), frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(c))
	return append(b, text...)
}

func appendPing(b []byte, flags byte, data [8]byte) []byte {
	return append(appendFrameHeader(b, 8, framePing, flags, 0), data[:]...)
}
