package trust_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func openssl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	return path
}

// The examples of ALB's documentation.
func TestIdentityAsDocumented(t *testing.T) {
	name := pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "US"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 8}, Value: "Washington"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "mTLS"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "client-3"},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "client_.com"},
	}}
	zone := time.FixedZone("", 3600)
	from := time.Date(2023, 9, 21, 2, 50, 17, 0, zone)
	leaf := pki.NewRoot("root").Client("", pki.Subject(name), pki.Serial(big.NewInt(0x03A5B1)), pki.Window(from, from.AddDate(1, 0, -1))).Cert
	got := trust.NewIdentity(leaf)
	want := trust.Identity{
		Subject:  "CN=client_.com,OU=client-3,O=mTLS,ST=Washington,C=US",
		Issuer:   "CN=root,O=Postern",
		Serial:   "03A5B1",
		Validity: "NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z",
		Leaf:     got.Leaf,
	}
	if *got != want {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

func TestSerial(t *testing.T) {
	for _, tt := range []struct{ hex, want string }{
		{"2", "02"}, {"FEF257372D5C14D4", "FEF257372D5C14D4"}, {"10F385C996E1A33484A4E2C62497B5A7", "10F385C996E1A33484A4E2C62497B5A7"},
		{"0", "0"}, {"-ABC", "-0ABC"},
	} {
		n, _ := new(big.Int).SetString(tt.hex, 16)
		if got := trust.NewIdentity(&x509.Certificate{SerialNumber: n}).Serial; got != tt.want {
			t.Errorf("serial %s printed as %s, want %s", tt.hex, got, tt.want)
		}
	}
}

func TestIdentityEqualsOpenSSL(t *testing.T) {
	program := openssl(t)
	odd := pkix.Name{CommonName: `MÄNNIK, "日" <x>; a=b + c\`, SerialNumber: "PNOEE-1", Organization: []string{" lead", "#hash", "trail "}}
	for _, e := range []*pki.Entity{
		pki.NewRoot("root").Client("plain"),
		pki.NewRoot("root", pki.Subject(odd)).Client("", pki.Subject(odd)),
		pki.NewRoot("root").Client("c", pki.Serial(big.NewInt(0x80)), pki.RSA(2048)),
	} {
		cmd := exec.Command(program, "x509", "-noout", "-subject", "-issuer", "-serial", "-nameopt", "RFC2253")
		cmd.Stdin = bytes.NewReader(e.PEM())
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		id := trust.NewIdentity(e.Cert)
		if want := "subject=" + id.Subject + "\nissuer=" + id.Issuer + "\nserial=" + id.Serial + "\n"; string(out) != want {
			t.Errorf("openssl prints\n%swant\n%s", out, want)
		}
	}
}

// Both halves of the whole: what OpenSSL reads from the decoded header is what
// went in, and nothing but PEM's own characters and two escapes is in it.
func TestEncodeChain(t *testing.T) {
	chain := pki.NewRoot("root").Intermediate("sub").Client("c").Chain()
	got := trust.EncodeChain(chain)
	want := strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(string(pki.PEM(chain...)))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if one := trust.NewIdentity(chain[0]).Leaf; !strings.HasPrefix(got, one) || !strings.HasSuffix(one, "-----END%20CERTIFICATE-----%0A") {
		t.Error("the leaf is encoded differently from the chain")
	}
	if got := trust.EncodeChain(nil); got != "" {
		t.Errorf("nothing is encoded as %q", got)
	}
	if n := testing.AllocsPerRun(10, func() { trust.EncodeChain(chain) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte{}, []byte{0xfb, 0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 48), bytes.Repeat([]byte{0xfe}, 49))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		chain := []*x509.Certificate{{Raw: a}, {Raw: b}}
		encoded := trust.EncodeChain(chain)
		text, err := url.PathUnescape(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if want := string(pki.PEM(chain...)); text != want {
			t.Fatalf("decoded\n%s\nwant\n%s", text, want)
		}
		block, _ := pem.Decode([]byte(text))
		if len(a) > 0 && (block == nil || !bytes.Equal(block.Bytes, a)) {
			t.Fatal("the first block is not the first certificate")
		}
		for _, c := range []byte(encoded) {
			if c <= ' ' || c > '~' || c == '"' || c == ',' || c == ';' {
				t.Fatalf("byte %q in a header value", c)
			}
		}
	})
}
