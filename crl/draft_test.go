package crl_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// A draft is a list put together by hand, so that it can be wrong. Fields hold
// DER; what is nil has a good default.
type draft struct {
	ca         *pki.Entity // who signs; its key is on P-256
	version    []byte      // an empty slice leaves it out
	algorithm  []byte
	outer      []byte // the algorithm outside of the signed part
	issuer     []byte
	times      []byte // thisUpdate and nextUpdate
	entries    []byte // content of revokedCertificates
	extensions []byte // content of Extensions
	trailer    []byte // after the last field of the signed part
	bits       []byte // content of the signature value
}

const (
	ecdsaSHA256 = "300a 0608 2a8648ce3d040302"
	someTimes   = "170d 3235303130313030303030305a 170d 3335303130313030303030305a" // 2025, 2035
	someTime    = "170d 3235303130313030303030305a"
)

func (d draft) der() []byte {
	algorithm := or(d.algorithm, unhex(ecdsaSHA256))
	tbs := tlv(asn1.SEQUENCE,
		or(d.version, unhex("020101")), algorithm, or(d.issuer, d.ca.Cert.RawSubject), or(d.times, unhex(someTimes)),
		optional(asn1.SEQUENCE, d.entries),
		optional(asn1.Tag(0).ContextSpecific().Constructed(), optional(asn1.SEQUENCE, d.extensions)),
		d.trailer)
	digest := sha256.Sum256(tbs)
	signature, err := d.ca.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic("crl_test: " + err.Error())
	}
	return tlv(asn1.SEQUENCE, tbs, or(d.outer, algorithm),
		tlv(asn1.BIT_STRING, or(d.bits, append([]byte{0}, signature...))))
}

func or(value, fallback []byte) []byte {
	if value == nil {
		return fallback
	}
	return value
}

// tlv encodes one element.
func tlv(tag asn1.Tag, contents ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, c := range contents {
			b.AddBytes(c)
		}
	})
	return b.BytesOrPanic()
}

// optional is tlv, or nothing for a nil content.
func optional(tag asn1.Tag, content []byte) []byte {
	if content == nil {
		return nil
	}
	return tlv(tag, content)
}

// anEntry encodes one entry: the content of its serial, and its extensions.
func anEntry(serial string, extensions ...[]byte) []byte {
	var list []byte
	if len(extensions) > 0 {
		list = tlv(asn1.SEQUENCE, extensions...)
	}
	return tlv(asn1.SEQUENCE, tlv(asn1.INTEGER, unhex(serial)), unhex(someTime), list)
}

// ext encodes one extension; oid and value are hex.
func ext(oid, value string) []byte { return anExtension(oid, nil, unhex(value)) }

// critical encodes one critical extension.
func critical(oid, value string) []byte { return anExtension(oid, unhex("0101ff"), unhex(value)) }

func anExtension(oid string, critical, value []byte) []byte {
	return tlv(asn1.SEQUENCE, tlv(asn1.OBJECT_IDENTIFIER, unhex(oid)), critical, tlv(asn1.OCTET_STRING, value))
}

const (
	reasonOID, invalidityOID, certIssuerOID       = "551d15", "551d18", "551d1d"
	numberOID, deltaOID, pointOID, authorityKeyID = "551d14", "551d1b", "551d1c", "551d23"
	freshestOID, unknownOID                       = "551d2e", "2a0304"
)

// unhex decodes hex with spaces.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic("crl_test: " + err.Error())
	}
	return b
}

// parse parses a list that must be good.
func parse(t testing.TB, data []byte) *crl.List {
	t.Helper()
	list, err := crl.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// refused wants an error that holds text, and no value.
func refused[T any](t *testing.T, value *T, err error, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want an error with %q", text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q lacks %q", err, text)
	}
	if value != nil {
		t.Error("an error came with a value")
	}
}

// revocations makes entries for the given serials, without reasons.
func revocations(serials ...*big.Int) []x509.RevocationListEntry {
	var entries []x509.RevocationListEntry
	for _, n := range serials {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now()})
	}
	return entries
}

// template is a list with the given entries that is valid now.
func template(entries ...x509.RevocationListEntry) *x509.RevocationList {
	return &x509.RevocationList{
		Number: big.NewInt(7), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: entries,
	}
}

// bigList is a list of n entries, with a number.
func bigList(ca *pki.Entity, n int) []byte {
	return draft{ca: ca, entries: bigEntries(n), extensions: ext(numberOID, "020101")}.der()
}

// anEntryOf encodes an entry for a serial number of any sign.
func anEntryOf(n *big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(n)
		b.AddBytes(unhex(someTime))
	})
	return b.BytesOrPanic()
}
