package crl

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

const pemType = "X509 CRL"

const (
	// derSequence begins every list in DER, which is longer than 127 bytes
	// and so has a length in the long form; in text, a byte over 0x7f does not
	// follow.
	derSequence = 0x30
	longForm    = 0x80
)

var (
	beginLine = []byte("-----BEGIN ")
	endLine   = []byte("-----END " + pemType + "-----")
	dashes    = []byte("-----")
)

// blank is what may stand around base64 and behind the lines that frame it.
const blank = " \t\r\n"

var errEmpty = errors.New("the file is empty: it must hold one certificate revocation list")

// unwrap returns the DER that a file holds, which is the file itself or the content
// of its one PEM block.
func unwrap(file *bufio.Reader) (io.Reader, error) {
	switch b, err := file.Peek(2); {
	case len(b) == 2 && b[0] == derSequence && b[1] >= longForm:
		return file, nil
	case len(b) == 0 && err == io.EOF:
		return nil, errEmpty
	}
	p := &pemReader{file: file, starts: true, line: 1}
	if err := p.findBegin(); err != nil {
		return nil, err
	}
	return p, nil
}

// A pemReader decodes the one PEM block of a file, a line at a time. Unlike
// encoding/pem, which needs the whole file and 90 MB for a list of a million, it
// passes over no block that it cannot read, and knows no headers.
type pemReader struct {
	file   *bufio.Reader
	line   int  // the number, from 1, of the line that comes next
	starts bool // what comes next is the start of a line
	begin  int  // number of the BEGIN line

	decoded []byte // and not yet read: the tail of buffer
	buffer  []byte
	carry   []byte // characters that do not make a quantum of four yet
	padded  bool   // the padding has been read, and so all
	err     error  // what comes after decoded
}

// text returns the next line, or a part of it if it is long, and whether it is the
// start of one.
func (p *pemReader) text() (text []byte, starts bool, err error) {
	text, err = p.file.ReadSlice('\n')
	starts, p.starts = p.starts, err == nil
	switch {
	case err == nil:
		p.line++
	case err == bufio.ErrBufferFull || err == io.EOF && len(text) > 0:
		err = nil
	}
	return text, starts, err
}

// findBegin reads up to the end of the BEGIN line.
func (p *pemReader) findBegin() error {
	empty := true
	for {
		p.begin = p.line
		text, starts, err := p.text()
		switch {
		case err == io.EOF && empty:
			return errEmpty
		case err == io.EOF:
			return errors.New(`the file is neither DER nor PEM with a "` + pemType + `" block: ` +
				"convert it with openssl crl -inform DER -outform PEM")
		case err != nil:
			return err
		case starts && bytes.HasPrefix(text, beginLine):
			return checkLabel(text[len(beginLine):], p.begin)
		}
		empty = empty && len(bytes.TrimSpace(text)) == 0
	}
}

// checkLabel refuses a block that is something else than a list. rest is what
// follows BEGIN.
func checkLabel(rest []byte, line int) error {
	rest = bytes.TrimRight(rest, blank)
	label := bytes.TrimSuffix(rest, dashes)
	if string(label) == pemType {
		if len(label) == len(rest) {
			return fmt.Errorf("line %d: the BEGIN line lacks its last dashes: the file is damaged; copy it again", line)
		}
		return nil
	}
	remedy := "name a file that holds a list"
	switch {
	case bytes.Contains(label, []byte("PRIVATE KEY")):
		remedy = "a private key must not be in this file at all: move it, and treat it as exposed if others can read the file"
	case bytes.Contains(label, []byte("CERTIFICATE")):
		remedy = "CA certificates belong in the trust store's ca_certificates_bundle"
	}
	const longest = 64
	return fmt.Errorf("line %d: a PEM block of type %q, want %q: %s",
		line, label[:min(len(label), longest)], pemType, remedy)
}

// Read decodes as much as the window takes.
func (p *pemReader) Read(b []byte) (int, error) {
	if len(p.decoded) == 0 {
		p.buffer = p.buffer[:0]
		for p.err == nil && len(p.buffer) < windowSize {
			p.err = p.decodeLine()
		}
		p.decoded = p.buffer
	}
	n := copy(b, p.decoded)
	p.decoded = p.decoded[n:]
	if n > 0 {
		return n, nil
	}
	return 0, p.err
}

// decodeLine decodes one line, or reads to the end of the file if it is the last of
// the block, and then returns io.EOF.
func (p *pemReader) decodeLine() error {
	at := p.line
	text, starts, err := p.text()
	switch {
	case err == io.EOF:
		return fmt.Errorf("line %d: the PEM block has no END line: the file is cut short; copy it again", p.begin)
	case err != nil:
		return err
	case starts && text[0] == '-':
		return p.endOfBlock(text, at)
	case at == p.begin+1 && starts && bytes.IndexByte(text, ':') >= 0:
		return fmt.Errorf("line %d: the PEM block has headers, which a list has no use for: remove them", at)
	}
	if !p.decode(bytes.Trim(text, blank)) {
		return notBase64(at)
	}
	return nil
}

func notBase64(line int) error {
	return fmt.Errorf("line %d: the PEM block is not valid base64: the file is damaged; copy it again", line)
}

// decode takes in some characters.
func (p *pemReader) decode(text []byte) bool {
	const quantum, size = 4, 3
	if len(p.carry) > 0 || len(text)%quantum != 0 {
		p.carry = append(p.carry, text...)
		text = p.carry[:len(p.carry)/quantum*quantum]
		defer func() { p.carry = append(p.carry[:0], p.carry[len(text):]...) }()
	}
	if len(text) == 0 {
		return !p.padded || len(p.carry) == 0
	}
	if p.padded {
		return false
	}
	old, most := len(p.buffer), len(text)/quantum*size
	if cap(p.buffer)-old < most {
		p.buffer = append(make([]byte, 0, 2*windowSize+most), p.buffer...)
	}
	n, err := base64.StdEncoding.Decode(p.buffer[old:old+most], text)
	p.buffer = p.buffer[:old+n]
	p.padded = text[len(text)-1] == '='
	return err == nil
}

// endOfBlock wants the END line, and no second block behind it.
func (p *pemReader) endOfBlock(text []byte, at int) error {
	rest, isEnd := bytes.CutPrefix(text, endLine)
	switch {
	case bytes.HasPrefix(text, beginLine):
		return secondBlock(at)
	case !isEnd && p.line == at: // no newline, so the last line
		return fmt.Errorf("line %d: the PEM block has no END line: the file is cut short; copy it again", p.begin)
	case !isEnd || len(bytes.Trim(rest, blank)) > 0 || len(p.carry) > 0:
		return notBase64(at)
	}
	for {
		at = p.line
		text, starts, err := p.text()
		if err != nil {
			return err
		}
		if starts && bytes.HasPrefix(text, beginLine) {
			return secondBlock(at)
		}
	}
}

func secondBlock(line int) error {
	return fmt.Errorf("line %d: a second PEM block, and a file holds exactly one list: put each in a file of its own", line)
}
