package crl

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const pemType = "X509 CRL"

const (
	// derSequence begins every list in DER, which is longer than 127 bytes
	// and so has a length in the long form; in text, a byte over 0x7f does not
	// follow.
	derSequence = 0x30
	longForm    = 0x80
)

var beginLine = []byte("-----BEGIN ")

// unwrap returns the one DER list that a file holds.
func unwrap(data []byte) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the file is empty: it must hold one certificate revocation list")
	}
	if len(data) > 1 && data[0] == derSequence && data[1] >= longForm {
		return data, checkEnd(data)
	}
	der, err := unwrapPEM(data)
	if err != nil {
		return nil, err
	}
	return der, checkEnd(der)
}

// checkEnd tells a DER file that was cut short, and one that goes on after its
// list, from one that is malformed.
func checkEnd(der []byte) error {
	rest := cryptobyte.String(der)
	if rest.SkipASN1(asn1.SEQUENCE) {
		switch {
		case rest.Empty():
			return nil
		case rest[0] == derSequence:
			return fmt.Errorf("byte %d: more than one list in the file: put each in a file of its own", len(der)-len(rest))
		}
		return fmt.Errorf("byte %d: unexpected data after the list: remove it", len(der)-len(rest))
	}
	return fmt.Errorf("byte 0: no whole DER sequence in %d bytes: the file is cut short or damaged; copy it again", len(der))
}

// unwrapPEM returns the content of the one PEM block. encoding/pem passes over
// blocks that it cannot read, so all that begin are found here first.
func unwrapPEM(data []byte) ([]byte, error) {
	first := nextBlock(data, 0)
	if first < 0 {
		return nil, errors.New(`the file is neither DER nor PEM with a "` + pemType + `" block: ` +
			"convert it with openssl crl -inform DER -outform PEM")
	}
	if err := checkLabel(data, first); err != nil {
		return nil, err
	}
	if second := nextBlock(data, first+len(beginLine)); second >= 0 {
		return nil, fmt.Errorf("line %d: a second PEM block, and a file holds exactly one list: put each in a file of its own",
			line(data, second))
	}
	block, _ := pem.Decode(data[first:])
	switch {
	case block == nil && !bytes.Contains(data[first:], []byte("\n-----END "+pemType+"-----")):
		return nil, fmt.Errorf("line %d: the PEM block has no END line: the file is cut short; copy it again", line(data, first))
	case block == nil:
		return nil, fmt.Errorf("line %d: the PEM block is not valid base64: the file is damaged; copy it again", line(data, first))
	case len(block.Headers) > 0:
		return nil, fmt.Errorf("line %d: the PEM block has headers, which a list has no use for: remove them", line(data, first))
	}
	return block.Bytes, nil
}

// nextBlock returns where the next PEM block begins, at or after from, or -1.
func nextBlock(data []byte, from int) int {
	for from < len(data) {
		i := bytes.Index(data[from:], beginLine)
		if i < 0 {
			return -1
		}
		i += from
		if i == 0 || data[i-1] == '\n' {
			return i
		}
		from = i + len(beginLine)
	}
	return -1
}

// checkLabel refuses a block that is something else than a list.
func checkLabel(data []byte, begin int) error {
	label, _, _ := bytes.Cut(data[begin+len(beginLine):], []byte("\n"))
	label = bytes.TrimSuffix(bytes.TrimRight(label, " \t\r"), []byte("-----"))
	if string(label) == pemType {
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
		line(data, begin), label[:min(len(label), longest)], pemType, remedy)
}

// line is the number of the line, from 1, that position i is on.
func line(data []byte, i int) int { return 1 + bytes.Count(data[:i], []byte("\n")) }
