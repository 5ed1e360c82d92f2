package dn_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/internal/dn"
	"github.com/postern-lb/postern/internal/pki"
)

// A value is one attribute: type in dotted form, tag and content of its value.
type value struct {
	oid     string
	tag     asn1.Tag
	content string
}

// rdn is the members of one RDN, in the order of the encoding.
type rdn []value

const (
	utf8String      = asn1.UTF8String
	numericString   = asn1.Tag(18)
	universalString = asn1.Tag(28)
	bmpString       = asn1.Tag(30)

	cn, ou, o, c, gn, sn = "550403", "55040b", "55040a", "550406", "55042a", "550404"
	serial, email        = "550405", "2a864886f70d010901"
	unknown              = "2a030405" // 1.2.3.4.5
)

func one(oid string, tag asn1.Tag, content string) []rdn {
	return []rdn{{{oid, tag, content}}}
}

func text(content string) []rdn { return one(cn, utf8String, content) }

// name encodes RDNs as a Name; oids are hex of their content.
func name(rdns []rdn) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, r := range rdns {
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
				for _, v := range r {
					addAttribute(b, v)
				}
			})
		}
	})
	return b.BytesOrPanic()
}

func addAttribute(b *cryptobyte.Builder, v value) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(unhex(v.oid)) })
		b.AddASN1(v.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v.content)) })
	})
}

// vectors are names and what OpenSSL 3.0 prints for them; "refused" where it
// cannot read the certificate.
var vectors = []struct {
	name string
	rdns []rdn
	want string
}{
	{"order", []rdn{{{c, asn1.PrintableString, "US"}}, {{o, utf8String, "A"}}, {{cn, utf8String, "x"}}}, "CN=x,O=A,C=US"},
	{"multi-valued", []rdn{{{o, utf8String, "Org"}}, {{cn, utf8String, "n1"}, {ou, utf8String, "ou1"}}}, "OU=ou1+CN=n1,O=Org"},
	{"empty name", nil, ""},
	{"empty RDN", []rdn{{{o, utf8String, "Org"}}, {}, {{cn, utf8String, "x"}}}, "CN=x,O=Org"},
	{"two multi-valued", []rdn{{{cn, utf8String, "a"}, {cn, utf8String, "b"}}, {{cn, utf8String, "c"}, {cn, utf8String, "d"}}}, "CN=d+CN=c,CN=b+CN=a"},
	{"specials", text(`A, B + C; "q" <x> \ y`), `CN=A\, B \+ C\; \"q\" \<x\> \\ y`},
	{"equals", text("a=b"), "CN=a=b"},
	{"leading hash", text("#hash"), `CN=\#hash`},
	{"inner hash", text("a#b#"), "CN=a#b#"},
	{"lone hash", text("#"), "CN=#"},
	{"spaces", text(" lead trail "), `CN=\ lead trail\ `},
	{"two spaces", text("  "), `CN=\ \ `},
	{"lone space", text(" "), `CN=\ `},
	{"many spaces", text("   "), `CN=\  \ `},
	{"empty value", text(""), "CN="},
	{"latin", text("MÄNNIK"), `CN=M\C3\84NNIK`},
	{"kanji", text("日"), `CN=\E6\97\A5`},
	{"astral", text("😀"), `CN=\F0\9F\98\80`},
	{"controls", text("a\tb\nc\rd\x00e\x7f"), `CN=a\09b\0Ac\0Dd\00e\7F`},
	{"header injection", text("x\r\nX-Admin: 1"), `CN=x\0D\0AX-Admin: 1`},
	{"apostrophe and others", text("'/*()@!~^`|"), "CN='/*()@!~^`|"},
	{"bmp", one(cn, bmpString, "\x00M\x00\xc4\x65\xe5\x00,"), `CN=M\C3\84\E6\97\A5\,`},
	{"bmp hash and space", one(cn, bmpString, "\x00#\x00a\x00 "), `CN=\#a\ `},
	{"bmp lone hash", one(cn, bmpString, "\x00#"), `CN=#`},
	{"bmp noncharacter", one(cn, bmpString, "\xff\xfe"), `CN=\EF\BF\BE`},
	{"bmp odd length", one(cn, bmpString, "\x00a\x00"), "refused"},
	{"bmp surrogates", one(cn, bmpString, "\xd8\x3d\xde\x00"), "refused"},
	{"t61", one(cn, asn1.T61String, "M\xc4\xff"), `CN=M\C3\84\C3\BF`},
	{"universal", one(cn, universalString, "\x00\x00\x00a\x00\x01\xf6\x00"), `CN=a\F0\9F\98\80`},
	{"universal too large", one(cn, universalString, "\x00\x11\x00\x00"), "refused"},
	{"universal negative", one(cn, universalString, "\xff\xff\xff\xff"), "refused"},
	{"universal short", one(cn, universalString, "\x00\x00\x00"), "refused"},
	{"ia5", one(email, asn1.IA5String, "a+b@example.com"), `emailAddress=a\+b@example.com`},
	{"ia5 with high bytes", one(cn, asn1.IA5String, "\xe4"), `CN=\C3\A4`},
	{"printable with high bytes", one(cn, asn1.PrintableString, "\xe4"), `CN=\C3\A4`},
	{"numeric", one(serial, numericString, "123 "), `serialNumber=123\ `},
	{"invalid UTF-8", text("a\xffb"), "refused"},
	{"overlong UTF-8", text("\xc0\x80"), "refused"},
	{"surrogate in UTF-8", text("\xed\xa0\x80"), "refused"},
	{"unknown type", one(unknown, utf8String, "foo"), "1.2.3.4.5=#0C03666F6F"},
	{"unknown type, invalid text", one(unknown, utf8String, "\xff"), "refused"},
	{"unknown type among known", []rdn{{{cn, utf8String, "a"}}, {{unknown, asn1.IA5String, "b"}}}, "1.2.3.4.5=#160162,CN=a"},
	{"large component", one("2a84ffffffffffffffffffff7f", utf8String, "x"), "1.2.755578637259143234191359=#0C0178"},
	{"arc 2", one("883703", utf8String, "x"), "2.999.3=#0C0178"},
	{"arc 2 by one byte", one("5003", utf8String, "x"), "2.0.3=#0C0178"},
	{"arc 1", one("4f03", utf8String, "x"), "1.39.3=#0C0178"},
	{"long type", one(strings.Repeat("ffff7f", 30), utf8String, "x"), "2.2097071" + strings.Repeat(".2097151", 8) + ".20971" + "=#0C0178"},
	{"bit string", one(cn, asn1.BIT_STRING, "\x00\x05"), "CN=#03020005"},
	{"bit string with unused bits", one(cn, asn1.BIT_STRING, "\x02\x04"), "CN=#03020204"},
	{"sequence", one(cn, asn1.SEQUENCE, "\x05\x00"), "CN=#30020500"},
	{"relative oid", one(cn, asn1.Tag(13), "\x05"), "CN=#0D0105"},
	{"real", one(cn, asn1.Tag(9), ""), "CN=#0900"},
	{"visible string", one(cn, asn1.Tag(26), "x"), "refused"},
	{"general string", one(cn, asn1.Tag(27), "x"), "refused"},
	{"octet string", one(cn, asn1.OCTET_STRING, "x"), "refused"},
	{"integer", one(cn, asn1.INTEGER, "\x01"), "refused"},
	{"utc time", one(cn, asn1.UTCTime, "230101000000Z"), "refused"},
	{"context tag", one(cn, asn1.Tag(0).ContextSpecific(), "x"), "refused"},
	{"estonian", []rdn{
		{{c, asn1.PrintableString, "EE"}},
		{{cn, utf8String, "MÄNNIK,MARILIIS,47101010033"}},
		{{sn, utf8String, "MÄNNIK"}}, {{gn, utf8String, "MARILIIS"}},
		{{serial, asn1.PrintableString, "PNOEE-47101010033"}},
	}, `serialNumber=PNOEE-47101010033,GN=MARILIIS,SN=M\C3\84NNIK,CN=M\C3\84NNIK\,MARILIIS\,47101010033,C=EE`},
}

func TestFormat(t *testing.T) {
	for _, tt := range vectors {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := dn.Format(name(tt.rdns))
			if !ok {
				got = "refused"
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestVectorsAreOpenSSLs holds the vectors to the program whose output they claim
// to be. It needs the openssl command.
func TestVectorsAreOpenSSLs(t *testing.T) {
	openssl := lookOpenSSL(t)
	for _, tt := range vectors {
		t.Run(tt.name, func(t *testing.T) {
			if got := openssl.subject(t, name(tt.rdns)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestShortNamesAreOpenSSLs asks OpenSSL for every type of the families that are
// known here, one certificate a family.
func TestShortNamesAreOpenSSLs(t *testing.T) {
	openssl := lookOpenSSL(t)
	for _, arc := range []string{
		"5504", "0992268993f22c6401", "2a864886f70d0109", "2b0601040182373c0201", "2b060105050709", "2a850364",
		"2a85030381030101",
	} {
		var rdns []rdn
		for i := range 128 {
			rdns = append(rdns, rdn{{arc + hexByte(byte(i)), utf8String, "x"}})
		}
		got, ok := dn.Format(name(rdns))
		want := openssl.subject(t, name(rdns))
		if !ok || got != want {
			t.Errorf("arc %s:\ngot  %s\nwant %s", arc, got, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	good := name(text("x"))
	for _, tt := range []struct {
		name string
		raw  []byte
	}{
		{"nothing", nil},
		{"cut short", good[:len(good)-1]},
		{"trailing byte", append(bytes.Clone(good), 0)},
		{"not a sequence", []byte{0x31, 0}},
		{"sequence in place of a set", unhex("3002 3000")},
		{"attribute without value", unhex("3009 3107 3005 0603 550403")},
		{"attribute with two values", unhex("300f 310d 300b 0603 550403 0c00 0c00 0500")},
		{"empty type", name(one("", utf8String, "x"))},
		{"type cut short", name(one("2a83", utf8String, "x"))},
		{"type with a leading zero", name(one("2a8001", utf8String, "x"))},
		{"type too long", name(one("2a"+strings.Repeat("01", 128), utf8String, "x"))},
		{"bit string with bad padding", name(one(cn, asn1.BIT_STRING, "\x02\x01"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := dn.Format(tt.raw); ok || got != "" {
				t.Errorf("Format = %q, %v; want refusal", got, ok)
			}
			if got := dn.RFC2253(tt.raw); got != "" {
				t.Errorf("RFC2253 = %q, want nothing", got)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		content string
		want    bool
	}{
		{"as long as MaxText", strings.Repeat("x", dn.MaxText-len("CN=")), false}, // over MaxDER by its headers
		{"long", strings.Repeat("x", dn.MaxDER-64), true},
		{"over MaxDER", strings.Repeat("x", dn.MaxDER), false},
		{"escapes over MaxText", strings.Repeat("ä", dn.MaxText/6+1), false},
		{"escapes within MaxText", strings.Repeat("ä", dn.MaxText/6-1), true},
	} {
		if _, ok := dn.Format(name(text(tt.content))); ok != tt.want {
			t.Errorf("%s: ok = %v, want %v", tt.name, ok, tt.want)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, v := range vectors {
		f.Add(name(v.rdns))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := dn.Format(raw)
		if !ok && got != "" {
			t.Fatalf("refused, yet printed %q", got)
		}
		if len(got) > dn.MaxText {
			t.Fatalf("%d bytes printed", len(got))
		}
		for _, b := range []byte(got) {
			if b < ' ' || b > '~' {
				t.Fatalf("byte %#x in %q", b, got)
			}
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	raw := pki.NewRoot("Benchmark Root").Cert.RawSubject
	b.ReportAllocs()
	for b.Loop() {
		dn.RFC2253(raw)
	}
}

// An opensslCommand prints names of certificates.
type opensslCommand struct {
	path   string
	issuer *pki.Entity
}

func lookOpenSSL(t *testing.T) *opensslCommand {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("this test compares with OpenSSL; install the openssl command: %v", err)
	}
	return &opensslCommand{path, pki.NewRoot("issuer")}
}

// subject returns what OpenSSL prints for the subject of a certificate that has
// the given Name, or "refused".
func (o *opensslCommand) subject(t *testing.T, raw []byte) string {
	t.Helper()
	cmd := exec.Command(o.path, "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253")
	cmd.Stdin = bytes.NewReader(certificate(t, o.issuer, raw))
	out, err := cmd.Output()
	if err != nil {
		return "refused"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
}
