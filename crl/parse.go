package crl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/dn"
	"github.com/postern-lb/postern/internal/yield"
)

// MaxSize is the largest file, in bytes, that Read and Parse read. It is above ALB's
// 50 MB ([QuotaSize], which gives a warning) because a list of a million entries
// in PEM does not fit in that.
const MaxSize = 128 << 20

// Parse is [Read] for a file that is in memory already.
func Parse(data []byte) (*List, error) { return Read(bytes.NewReader(data)) }

// Read reads one certificate revocation list (RFC 5280, section 5), as PEM with
// the label "X509 CRL" or as DER; ALB takes PEM only. Text around the PEM
// block is allowed, a second list is not (ALB, Configuring mutual TLS on an
// Application Load Balancer).
//
// The list may be of version 2 or, without any extension, 1. Its signature
// algorithm is SHA-256, SHA-384 or SHA-512 with RSA PKCS #1, RSA-PSS or ECDSA. These
// are refused: indirect lists, lists for attribute certificates only, unknown
// critical extensions, removeFromCRL outside of delta lists, serial numbers over 20 bytes, times that are not as RFC 5280
// wants them, and DER that is not canonical. Negative serial numbers are
// kept and looked up as such; ALB cannot revoke those.
//
// Read takes one pass over src, to its end if the list is good, of at most
// [MaxSize] bytes, and time in proportion to it. It never has more of the file in
// memory than a small part, and stands back for goroutines that wait for the
// network each time it has read that much. An error names the position and
// the remedy. The signature is not checked here: see [NewSet].
func Read(src io.Reader) (*List, error) {
	var turn yield.Turn
	defer turn.Close()
	counted := &limited{src: src}
	der, err := unwrap(bufio.NewReaderSize(counted, windowSize))
	if err != nil {
		return nil, err
	}
	p := parser{window: newWindow(der, &turn), list: &List{scope: wholeScope()}}
	if err := p.parse(); err != nil {
		return nil, p.cause(err)
	}
	p.list.size = counted.size
	return p.list, nil
}

// limited reads no more than MaxSize bytes of src, and counts them.
type limited struct {
	src  io.Reader
	size int
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.src.Read(b)
	if l.size += n; l.size > MaxSize {
		return 0, fmt.Errorf("the file is over the limit of %d bytes: have the CA partition its list", MaxSize)
	}
	return n, err
}

// A parser walks the DER of one list.
type parser struct {
	*window
	list *List
}

// fault returns an error about what is at the given offset.
func fault(offset int, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", offset, fmt.Sprintf(format, args...))
}

// errUnread stands for an end of the data that comes too early.
var errUnread = errors.New("the file is cut short")

// cause returns what made the parser stop with err: reading, if that went wrong
// before, since the rest then seems to be malformed.
func (p *parser) cause(err error) error {
	switch {
	case p.err != nil && p.err != io.EOF:
		return p.err
	case errors.Is(err, errUnread):
		return fault(0, "no whole DER sequence in %d bytes: the file is cut short or damaged; copy it again", p.end())
	}
	return err
}

// parse reads CertificateList (RFC 5280, 5.1).
func (p *parser) parse() error {
	end, ok := p.enter(asn1.SEQUENCE, math.MaxInt)
	if !ok {
		return errUnread
	}
	err := p.certificateList(end)
	// What is malformed because the end is missing is not damaged otherwise.
	if err != nil && p.err == io.EOF && p.window.end() < end {
		return errUnread
	}
	if err != nil {
		return err
	}
	switch rest := p.next(1); {
	case len(rest) == 0:
		return p.readError()
	case rest[0] == derSequence:
		return fault(end, "more than one list in the file: put each in a file of its own")
	}
	return fault(end, "unexpected data after the list: remove it")
}

// readError is what went wrong at the end, if anything.
func (p *parser) readError() error {
	if p.err == io.EOF {
		return nil
	}
	return p.err
}

func (p *parser) certificateList(end int) error {
	start := p.offset()
	p.mark = p.pos
	tbsEnd, ok := p.enter(asn1.SEQUENCE, end)
	if !ok {
		return fault(start, "malformed TBSCertList")
	}
	inner, err := p.tbs(tbsEnd)
	if err != nil {
		return err
	}
	p.sum()
	p.mark = -1
	p.list.digest = p.hash.Sum(nil)
	return p.signature(inner, end)
}

// tbs reads TBSCertList (5.1.2), whose version and algorithm say how to read and
// hash the rest. It returns the algorithm's element.
func (p *parser) tbs(end int) (inner []byte, err error) {
	if err := p.version(end); err != nil {
		return nil, err
	}
	start := p.offset()
	algorithmID, ok := p.element(asn1.SEQUENCE, end)
	if !ok {
		return nil, fault(start, "malformed signature algorithm")
	}
	if p.list.algorithm, err = parseAlgorithm(algorithmID); err != nil {
		return nil, fault(start, "%v", err)
	}
	inner = bytes.Clone(algorithmID)
	p.hash = p.list.algorithm.hash.New()
	return inner, p.body(end)
}

// signature reads what follows the signed part, and holds the algorithm named
// there to inner, the one in the signed part (5.1.1.2).
func (p *parser) signature(inner []byte, end int) error {
	start := p.offset()
	outer, ok := p.element(asn1.SEQUENCE, end)
	if !ok {
		return fault(start, "malformed signature algorithm")
	}
	if !bytes.Equal(outer, inner) {
		return fault(start, "the signature algorithm differs from the one in the signed part")
	}
	start = p.offset()
	element, ok := p.element(asn1.BIT_STRING, end)
	var bits cryptobyte.String
	if !ok || !element.ReadASN1(&bits, asn1.BIT_STRING) || len(bits) < 2 || bits[0] != 0 {
		return fault(start, "malformed signature value")
	}
	if p.offset() != end {
		return fault(p.offset(), "unexpected data after the signature value")
	}
	p.list.signature = bytes.Clone(bits[1:])
	return nil
}

// version reads the optional version: 1 for version 2, nothing for version 1
// (5.1.2.1).
func (p *parser) version(end int) error {
	p.list.version = 1
	if p.peek(end) != asn1.INTEGER {
		return nil
	}
	start := p.offset()
	element, ok := p.element(asn1.INTEGER, end)
	var version int
	if !ok || !element.ReadASN1Integer(&version) || version != 1 {
		return fault(start, "unknown version of the list format: only 1 and 2 exist")
	}
	p.list.version = 2
	return nil
}

// body reads what TBSCertList has after version and algorithm.
func (p *parser) body(end int) error {
	if err := p.issuer(end); err != nil {
		return err
	}
	if err := p.times(end); err != nil {
		return err
	}
	if p.peek(end) == asn1.SEQUENCE {
		start := p.offset()
		last, ok := p.enter(asn1.SEQUENCE, end)
		if !ok {
			return fault(start, "malformed list of entries")
		}
		if err := p.revoked(last); err != nil {
			return err
		}
	}
	if err := p.extensions(end); err != nil {
		return err
	}
	if p.offset() != end {
		return fault(p.offset(), "unexpected data after the last field")
	}
	if err := p.list.checkDelta(); err != nil {
		return fault(0, "%v", err)
	}
	return nil
}

// issuer reads the issuer's name, which must not be empty (5.1.2.3).
func (p *parser) issuer(end int) error {
	start := p.offset()
	raw, ok := p.element(asn1.SEQUENCE, end)
	if !ok {
		return fault(start, "malformed issuer")
	}
	text, ok := dn.Format(raw)
	if !ok {
		return fault(start, "the issuer's name is malformed or over %d bytes", dn.MaxText)
	}
	if text == "" {
		return fault(start, "the issuer's name is empty")
	}
	p.list.rawIssuer, p.list.issuer = bytes.Clone(raw), text
	return nil
}

// times reads thisUpdate and, if it is there, nextUpdate. RFC 5280, 5.1.2.5 wants
// it, but lists that never end exist, and ALB does not mind.
func (p *parser) times(end int) error {
	start := p.offset()
	element, _ := p.element(p.peek(end), end)
	var ok bool
	if p.list.thisUpdate, ok = readTime(&element); !ok {
		return fault(start, "thisUpdate is not a time as RFC 5280, 5.1.2.4 has it")
	}
	tag := p.peek(end)
	if tag != asn1.UTCTime && tag != asn1.GeneralizedTime {
		return nil
	}
	start = p.offset()
	element, _ = p.element(tag, end)
	if p.list.nextUpdate, ok = readTime(&element); !ok {
		return fault(start, "nextUpdate is not a time as RFC 5280, 5.1.2.5 has it")
	}
	return nil
}
