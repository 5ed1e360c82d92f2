package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// fill reads once, behind what is there.
func (c *http1) fill() error {
	if c.from == c.to {
		c.from, c.to = 0, 0
	}
	if c.to == len(c.buffer) {
		c.to = copy(c.buffer, c.buffer[c.from:])
		c.from = 0
	}
	n, err := c.conn.Read(c.buffer[c.to:])
	c.to += n
	if n > 0 {
		return nil // an error will come again
	}
	return noEOF(err)
}

// readAnswer reads one answer to its end, after any 1xx before it.
func (c *http1) readAnswer() (http1Head, error) {
	for {
		head, err := c.readHead()
		if err != nil {
			return head, err
		}
		switch {
		case head.interim:
			continue
		case head.chunked:
			head.length, err = c.readChunks()
		case head.length >= 0:
			err = c.skip(head.length)
		default: // RFC 9112, section 6.3, rule 8
			head.length, err = c.readToEnd()
			head.closes = true
		}
		if err == nil && c.from < c.to {
			err = protocolError("server sent more than its answer")
		}
		return head, err
	}
}

// until returns what comes before the separator, which it passes over.
func (c *http1) until(separator string) ([]byte, error) {
	for {
		if i := bytes.Index(c.buffer[c.from:c.to], []byte(separator)); i >= 0 && i <= maxHeadBytes {
			text := c.buffer[c.from : c.from+i]
			c.from += i + len(separator)
			return text, nil
		}
		if c.to-c.from >= maxHeadBytes {
			return nil, protocolError(fmt.Sprintf("answer's headers are longer than %d bytes", maxHeadBytes))
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *http1) readHead() (http1Head, error) {
	text, err := c.until("\r\n\r\n")
	if err != nil {
		return http1Head{}, err
	}
	return parseHTTP1Head(text)
}

// skip passes over n bytes of body.
func (c *http1) skip(n int) error {
	for n > c.to-c.from {
		n -= c.to - c.from
		c.from = c.to
		if err := c.fill(); err != nil {
			return err
		}
	}
	c.from += n
	return nil
}

// readChunks reads a chunked body and its trailers (RFC 9112, section 7.1).
func (c *http1) readChunks() (total int, err error) {
	for {
		line, err := c.until("\r\n")
		if err != nil {
			return total, err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return total, protocolError(fmt.Sprintf("chunk size %.20q is no number", digits))
		}
		if size == 0 {
			return total, c.skipTrailers()
		}
		total += int(size)
		if err := c.skip(int(size) + len("\r\n")); err != nil {
			return total, err
		}
	}
}

func (c *http1) skipTrailers() error {
	for {
		line, err := c.until("\r\n")
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

func (c *http1) readToEnd() (total int, err error) {
	for {
		total += c.to - c.from
		c.from = c.to
		if err := c.fill(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return total, err
		}
	}
}

// An http1Head is what the headers of an answer say about its framing.
type http1Head struct {
	length  int // of the body; -1 if it is not said
	chunked bool
	closes  bool // the server ends the connection after it
	interim bool // a 1xx; the answer is still to come
}

// parseHTTP1Head reads a status line and headers, parted by CR LF (RFC 9112,
// sections 4 to 6). An error status is an error.
func parseHTTP1Head(text []byte) (http1Head, error) {
	h := http1Head{length: -1}
	if len(text) > 9 && text[9] == '1' && bytes.HasPrefix(text, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(text[9:], []byte("101")) {
		h.interim = true
		return h, nil
	}
	if err := checkStatus(text); err != nil {
		return h, err
	}
	status := string(text[9:12])
	h.closes = text[7] == '0' // HTTP/1.0
	for rest := text; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if err := h.field(name, bytes.TrimSpace(value)); err != nil {
			return h, err
		}
	}
	if status == "204" || status == "304" {
		h.length, h.chunked = 0, false
	}
	return h, nil
}

func (h *http1Head) field(name, value []byte) error {
	switch len(name) {
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			h.closes = bytes.EqualFold(value, []byte("close"))
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	case len("Content-Length"):
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			return nil
		}
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return protocolError(fmt.Sprintf("Content-Length %q is no length", value))
		}
		h.length = int(n)
	}
	return nil
}
