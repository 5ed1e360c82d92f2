package http2

import "fmt"

// A code is an error code (RFC 9113, section 7).
type code uint32

const (
	codeNo              code = 0x0
	codeProtocol        code = 0x1
	codeInternal        code = 0x2
	codeFlowControl     code = 0x3
	codeStreamClosed    code = 0x5
	codeFrameSize       code = 0x6
	codeRefusedStream   code = 0x7
	codeCancel          code = 0x8
	codeCompression     code = 0x9
	codeEnhanceYourCalm code = 0xb
)

// A connError ends the connection (RFC 9113, section 5.4.1). Its text is for the log and
// for GOAWAY's debug data.
type connError struct {
	code code
	text string
}

// Error implements error.
func (e *connError) Error() string {
	return fmt.Sprintf("http2: connection error %#x: %s", uint32(e.code), e.text)
}

func fatal(c code, text string) error { return &connError{c, text} }

// A streamError resets one stream (RFC 9113, section 5.4.2).
type streamError struct {
	id   uint32
	code code
	text string
}

// Error implements error.
func (e *streamError) Error() string {
	return fmt.Sprintf("http2: stream %d error %#x: %s", e.id, uint32(e.code), e.text)
}

// A ResetError is what reading a request's body, or writing a response, returns
// when the client has reset the stream.
type ResetError struct {
	// Code is the client's (RFC 9113, section 7).
	Code uint32
}

// Error implements error.
func (e *ResetError) Error() string {
	return fmt.Sprintf("http2: the client reset the stream with code %#x", e.Code)
}
