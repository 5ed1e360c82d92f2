package crl

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/dn"
)

// MaxSize is the largest file, in bytes, that Parse reads. It is above ALB's 50 MB
// ([QuotaSize], which gives a warning) because a list of a million entries in
// PEM does not fit in that.
const MaxSize = 128 << 20

// Parse reads one certificate revocation list (RFC 5280, section 5), as PEM with
// the label "X509 CRL" or as DER; ALB takes PEM only. Text around the PEM
// block is allowed, a second list is not (ALB, Configuring mutual TLS on an
// Application Load Balancer).
//
// The list may be of version 2 or, without any extension, 1. Its signature
// algorithm is SHA-256, SHA-384 or SHA-512 with RSA PKCS #1, RSA-PSS or ECDSA. These
// are refused: delta and indirect lists, lists for some reasons or for
// attribute certificates only, unknown critical extensions, entries with
// removeFromCRL, serial numbers over 20 bytes, times that are not as RFC 5280
// wants them, and DER that is not canonical. Negative serial numbers are
// kept and looked up as such; ALB cannot revoke those.
//
// Parse reads at most [MaxSize] bytes, keeps none of data, and takes time in
// proportion to it. An error names the position and the remedy. The signature is
// not checked here: see [NewSet].
func Parse(data []byte) (*List, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("file of %d bytes is over the limit of %d: have the CA partition its list", len(data), MaxSize)
	}
	der, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	p := parser{der: der, list: &List{size: len(data)}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.list, nil
}

// A parser walks the DER of one list.
type parser struct {
	der  []byte
	list *List
}

// fault returns an error about what is at rest, which is a tail of p.der.
func (p *parser) fault(rest []byte, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", p.offset(rest), fmt.Sprintf(format, args...))
}

// offset is where in p.der the slice starts that is a part of it.
func (p *parser) offset(part []byte) int { return cap(p.der) - cap(part) }

// parse reads CertificateList (RFC 5280, 5.1).
func (p *parser) parse() error {
	outer := cryptobyte.String(p.der)
	var list, signed, tbs, algorithmID cryptobyte.String
	if !outer.ReadASN1(&list, asn1.SEQUENCE) {
		return p.fault(p.der, "no DER sequence: the file is damaged; copy it again")
	}
	rest := list
	if !rest.ReadASN1Element(&signed, asn1.SEQUENCE) || !list.ReadASN1(&tbs, asn1.SEQUENCE) {
		return p.fault(list, "malformed TBSCertList")
	}
	if err := p.version(&tbs); err != nil {
		return err
	}
	if !tbs.ReadASN1Element(&algorithmID, asn1.SEQUENCE) {
		return p.fault(tbs, "malformed signature algorithm")
	}
	if err := p.signature(rest, algorithmID); err != nil {
		return err
	}
	if err := p.body(tbs); err != nil {
		return err
	}
	p.list.digest = p.list.algorithm.sum(signed)
	return nil
}

// signature reads what follows the signed part, and holds the algorithm named
// there to inner, the one in the signed part (5.1.1.2).
func (p *parser) signature(rest, inner cryptobyte.String) error {
	start := rest
	var outer, bits cryptobyte.String
	if !rest.ReadASN1Element(&outer, asn1.SEQUENCE) {
		return p.fault(start, "malformed signature algorithm")
	}
	if !bytes.Equal(outer, inner) {
		return p.fault(start, "the signature algorithm differs from the one in the signed part")
	}
	var err error
	if p.list.algorithm, err = parseAlgorithm(outer); err != nil {
		return fmt.Errorf("byte %d: %w", p.offset(start), err)
	}
	start = rest
	if !rest.ReadASN1(&bits, asn1.BIT_STRING) || len(bits) < 2 || bits[0] != 0 {
		return p.fault(start, "malformed signature value")
	}
	if !rest.Empty() {
		return p.fault(rest, "unexpected data after the signature value")
	}
	p.list.signature = bytes.Clone(bits[1:])
	return nil
}

// version reads the optional version: 1 for version 2, nothing for version 1
// (5.1.2.1).
func (p *parser) version(tbs *cryptobyte.String) error {
	start := *tbs
	p.list.version = 1
	if !tbs.PeekASN1Tag(asn1.INTEGER) {
		return nil
	}
	var version int
	if !tbs.ReadASN1Integer(&version) || version != 1 {
		return p.fault(start, "unknown version of the list format: only 1 and 2 exist")
	}
	p.list.version = 2
	return nil
}

// body reads what TBSCertList has after version and algorithm.
func (p *parser) body(tbs cryptobyte.String) error {
	if err := p.issuer(&tbs); err != nil {
		return err
	}
	if err := p.times(&tbs); err != nil {
		return err
	}
	var revoked cryptobyte.String
	if tbs.PeekASN1Tag(asn1.SEQUENCE) && !tbs.ReadASN1(&revoked, asn1.SEQUENCE) {
		return p.fault(tbs, "malformed list of entries")
	}
	if err := p.extensions(&tbs); err != nil {
		return err
	}
	if !tbs.Empty() {
		return p.fault(tbs, "unexpected data after the last field")
	}
	return p.revoked(revoked)
}

// issuer reads the issuer's name, which must not be empty (5.1.2.3).
func (p *parser) issuer(tbs *cryptobyte.String) error {
	start := *tbs
	var raw cryptobyte.String
	if !tbs.ReadASN1Element(&raw, asn1.SEQUENCE) {
		return p.fault(start, "malformed issuer")
	}
	text, ok := dn.Format(raw)
	if !ok {
		return p.fault(start, "the issuer's name is malformed or over %d bytes", dn.MaxText)
	}
	if text == "" {
		return p.fault(start, "the issuer's name is empty")
	}
	p.list.rawIssuer, p.list.issuer = bytes.Clone(raw), text
	return nil
}

// times reads thisUpdate and, if it is there, nextUpdate. RFC 5280, 5.1.2.5 wants
// it, but lists that never end exist, and ALB does not mind.
func (p *parser) times(tbs *cryptobyte.String) error {
	start := *tbs
	var ok bool
	if p.list.thisUpdate, ok = readTime(tbs); !ok {
		return p.fault(start, "thisUpdate is not a time as RFC 5280, 5.1.2.4 has it")
	}
	if !tbs.PeekASN1Tag(asn1.UTCTime) && !tbs.PeekASN1Tag(asn1.GeneralizedTime) {
		return nil
	}
	start = *tbs
	if p.list.nextUpdate, ok = readTime(tbs); !ok {
		return p.fault(start, "nextUpdate is not a time as RFC 5280, 5.1.2.5 has it")
	}
	return nil
}
