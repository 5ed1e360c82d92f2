package crl_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

func TestParseReadsTheFields(t *testing.T) {
	root := pki.NewRoot("Fields Root")
	der := draft{
		ca: root, entries: anEntry("2a"),
		extensions: bytes.Join([][]byte{ext(numberOID, "02021000"), ext(unknownOID, "0500")}, nil),
	}.der()
	for name, data := range map[string][]byte{"DER": der, "PEM": pki.CRLPEM(der)} {
		t.Run(name, func(t *testing.T) {
			list := parse(t, data)
			if !bytes.Equal(list.RawIssuer(), root.Cert.RawSubject) || list.Issuer() != "CN=Fields Root,O=Postern" {
				t.Errorf("issuer %x, %q", list.RawIssuer(), list.Issuer())
			}
			if got := list.Number(); got.Int64() != 0x1000 {
				t.Errorf("number %v", got)
			}
			if got, want := list.ThisUpdate(), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC); got != want {
				t.Errorf("thisUpdate %v, want %v", got, want)
			}
			if got, want := list.NextUpdate(), time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC); got != want {
				t.Errorf("nextUpdate %v, want %v", got, want)
			}
			if list.Len() != 1 {
				t.Errorf("%d entries, want 1", list.Len())
			}
			if _, ok := list.Contains(big.NewInt(42)); !ok {
				t.Error("serial 42 is missing")
			}
		})
	}
}

// TestParseCopies overwrites the file after parsing: the list must not care.
func TestParseCopies(t *testing.T) {
	root := pki.NewRoot("root")
	der := draft{ca: root, entries: anEntry("2a")}.der()
	list := parse(t, der)
	clear(der)
	if _, ok := list.Contains(big.NewInt(42)); !ok {
		t.Error("serial 42 went with the file")
	}
	if err := list.CheckSignature(root.Cert); err != nil {
		t.Error(err)
	}
}

func TestNumberIsACopy(t *testing.T) {
	list := parse(t, pki.NewRoot("root").CRL(7))
	list.Number().SetInt64(8)
	if got := list.Number().Int64(); got != 7 {
		t.Errorf("number %d, want 7", got)
	}
}

func TestParseAccepts(t *testing.T) {
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		name  string
		draft draft
	}{
		{"version 2 without extensions", draft{entries: anEntry("01")}},
		{"version 1", draft{version: []byte{}, entries: anEntry("01")}},
		{"no nextUpdate", draft{times: unhex(someTime), entries: anEntry("01")}},
		{"thisUpdate as GeneralizedTime", draft{times: unhex("180f 32303235303130313030303030305a"), entries: anEntry("01")}},
		{"invalidityDate", draft{entries: anEntry("01", ext(invalidityOID, "180f 32303235303130313030303030305a"))}},
		{"unknown entry extension", draft{entries: anEntry("01", ext(unknownOID, "0500"))}},
		{"unknown list extension", draft{entries: anEntry("01"), extensions: ext(unknownOID, "0500")}},
		{"freshest list", draft{entries: anEntry("01"), extensions: ext(freshestOID, "3000")}},
		{"critical number", draft{entries: anEntry("01"), extensions: critical(numberOID, "020101")}},
		{"as many extensions as may be", draft{entries: anEntry("01"), extensions: manyExtensions(crl.MaxExtensions)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.draft.ca = root
			list := parse(t, tt.draft.der())
			if _, ok := list.Contains(big.NewInt(1)); !ok || list.Len() != 1 {
				t.Errorf("serial 1 found: %v, among %d", ok, list.Len())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		name  string
		draft draft
		want  string
	}{
		{"version 3", draft{version: unhex("020102")}, "unknown version"},
		{"version 1, spelt out", draft{version: unhex("020100")}, "unknown version"},
		{"version 1 with extensions", draft{version: []byte{}, extensions: ext(numberOID, "020101")}, "version 1"},
		{"version 1 with entry extensions", draft{version: []byte{}, entries: anEntry("01", ext(reasonOID, "0a0101"))}, "version 1"},
		{"empty issuer", draft{issuer: unhex("3000")}, "issuer's name is empty"},
		{"malformed issuer", draft{issuer: unhex("3002 3100")[:2]}, "malformed"},
		{"unreadable issuer", draft{issuer: unhex("3002 0500")}, "issuer's name is malformed"},
		{"no thisUpdate", draft{times: []byte{}}, "thisUpdate"},
		{"data after the last field", draft{trailer: unhex("0500")}, "unexpected data after the last field"},
		{"signature with unused bits", draft{entries: bytes.Repeat(anEntry("01"), 8), bits: unhex("01 02 02")}, "malformed signature value"},
		{"empty signature", draft{entries: bytes.Repeat(anEntry("01"), 8), bits: unhex("00")}, "malformed signature value"},

		{"delta", draft{extensions: critical(deltaOID, "020101")}, "delta list"},
		{"delta, not critical", draft{extensions: ext(deltaOID, "020101")}, "delta list"},
		{"unknown critical extension", draft{extensions: critical(unknownOID, "0500")}, "critical extension 1.2.3.4 "},
		{"critical freshest list", draft{extensions: critical(freshestOID, "3000")}, "critical extension 2.5.29.46 "},
		{"extension twice", draft{extensions: bytes.Repeat(ext(unknownOID, "0500"), 2)}, "two extensions of one type"},
		{"too many extensions", draft{extensions: manyExtensions(crl.MaxExtensions + 1)}, "more than 32 extensions"},
		{"malformed extension", draft{extensions: unhex("3000")}, "malformed extension"},
		{"extension of no type", draft{extensions: ext("", "0500")}, "malformed extension"},
		{"extension of an endless type", draft{extensions: ext(strings.Repeat("01", 65), "0500")}, "malformed extension"},
		{"extension with an odd boolean", draft{extensions: anExtension(unknownOID, unhex("010101"), nil)}, "malformed extension"},
		{"negative number", draft{extensions: ext(numberOID, "0201ff")}, "cRLNumber"},
		{"long number", draft{extensions: ext(numberOID, "0215"+strings.Repeat("7f", 21))}, "cRLNumber"},
		{"number with a tail", draft{extensions: ext(numberOID, "020101 00")}, "cRLNumber"},
		{"malformed authority key", draft{extensions: ext(authorityKeyID, "0500")}, "authorityKeyIdentifier"},

		{"entry of another CA", draft{entries: anEntry("01", ext(certIssuerOID, "3000"))}, "indirect list"},
		{"critical entry of another CA", draft{entries: anEntry("01", critical(certIssuerOID, "3000"))}, "indirect list"},
		{"unknown critical entry extension", draft{entries: anEntry("01", critical(unknownOID, "0500"))}, "critical extension 1.2.3.4 "},
		{"removeFromCRL", draft{entries: anEntry("01", ext(reasonOID, "0a0108"))}, "removeFromCRL"},
		{"reason 7", draft{entries: anEntry("01", ext(reasonOID, "0a0107"))}, "reason code 7"},
		{"reason 11", draft{entries: anEntry("01", ext(reasonOID, "0a010b"))}, "reason code 11"},
		{"reason 255", draft{entries: anEntry("01", ext(reasonOID, "0a01ff"))}, "reason code 255"},
		{"reason of two bytes", draft{entries: anEntry("01", ext(reasonOID, "0a020101"))}, "malformed"},
		{"reason that is an integer", draft{entries: anEntry("01", ext(reasonOID, "020101"))}, "malformed"},
		{"two reasons", draft{entries: anEntry("01", ext(reasonOID, "0a0101"), ext(reasonOID, "0a0101"))}, "two extensions of one type"},
		{"empty serial", draft{entries: anEntry("")}, "malformed"},
		{"serial with a spare zero", draft{entries: anEntry("0001")}, "malformed"},
		{"negative serial with a spare byte", draft{entries: anEntry("ff80")}, "malformed"},
		{"serial of 21 bytes", draft{entries: anEntry("01" + strings.Repeat("00", 20))}, "serial number of 21 bytes"},
		{"serial of 22 bytes", draft{entries: anEntry("00" + strings.Repeat("80", 21))}, "serial number of 22 bytes"},
		{"entry without date", draft{entries: tlv(asn1.SEQUENCE, unhex("020101"))}, "revocationDate"},
		{"entry with a tail", draft{entries: tlv(asn1.SEQUENCE, unhex("020101"), unhex(someTime), unhex("0500"))}, "malformed"},
		{"entry that is no sequence", draft{entries: unhex("020101")}, "malformed"},
		{"third entry", draft{entries: bytes.Join([][]byte{anEntry("01"), anEntry("02"), anEntry("0003")}, nil)}, "entry 3: malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.draft.ca = root
			list, err := crl.Parse(tt.draft.der())
			refused(t, list, err, tt.want)
			if err != nil && !strings.HasPrefix(err.Error(), "byte ") {
				t.Errorf("error %q gives no position", err)
			}
		})
	}
}

// TestErrorsPointAtTheByte breaks the second of two entries.
func TestErrorsPointAtTheByte(t *testing.T) {
	good, bad := anEntry("01"), anEntry("0002")
	der := draft{ca: pki.NewRoot("root"), entries: append(bytes.Clone(good), bad...)}.der()
	list, err := crl.Parse(der)
	refused(t, list, err, fmt.Sprintf("byte %d: entry 2:", bytes.Index(der, bad)))
}

func manyExtensions(n int) []byte {
	var all []byte
	for i := range n {
		all = append(all, ext(unknownOID+hex.EncodeToString([]byte{byte(i)}), "0500")...)
	}
	return all
}

func TestTimes(t *testing.T) {
	root := pki.NewRoot("root")
	const utc, general = asn1.UTCTime, asn1.GeneralizedTime
	for _, tt := range []struct {
		tag  asn1.Tag
		text string
		want string // empty if it is refused
	}{
		{utc, "500101000000Z", "1950-01-01T00:00:00Z"},
		{utc, "491231235959Z", "2049-12-31T23:59:59Z"},
		{utc, "000229000000Z", "2000-02-29T00:00:00Z"},
		{utc, "010229000000Z", ""},
		{utc, "250431000000Z", ""},
		{utc, "250001000000Z", ""},
		{utc, "251301000000Z", ""},
		{utc, "250100000000Z", ""},
		{utc, "250101240000Z", ""},
		{utc, "250101006000Z", ""},
		{utc, "250101000060Z", ""},
		{utc, "2501010000Z", ""},
		{utc, "250101000000+0000", ""},
		{utc, "250101000000z", ""},
		{utc, "2x0101000000Z", ""},
		{utc, "25010100000/Z", ""},
		{utc, "-10101000000Z", ""},
		{utc, "20250101000000Z", ""},
		{general, "20500101000000Z", "2050-01-01T00:00:00Z"},
		{general, "99991231235959Z", "9999-12-31T23:59:59Z"},
		{general, "20490101000000Z", "2049-01-01T00:00:00Z"},
		{general, "20250101000000.5Z", ""},
		{general, "21000229000000Z", ""},
		{general, "2x250101000000Z", ""},
		{general, "202x0101000000Z", ""},
		{general, "250101000000Z", ""},
		{asn1.IA5String, "250101000000Z", ""},
		{utc, "", ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			encoded := tlv(tt.tag, []byte(tt.text))
			list, err := crl.Parse(draft{ca: root, times: encoded}.der())
			entry := tlv(asn1.SEQUENCE, unhex("020101"), encoded)
			_, entryErr := crl.Parse(draft{ca: root, entries: entry}.der())
			if (err == nil) != (entryErr == nil) {
				t.Errorf("thisUpdate: %v; revocationDate: %v", err, entryErr)
			}
			if tt.want == "" {
				refused(t, list, err, "thisUpdate")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := list.ThisUpdate().Format(time.RFC3339); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
