package trust_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// hang is far above what any of these takes; it guards against exponents, on a
// machine however busy.
const hang = 20 * time.Second

// TestPathologicalChains holds that chains which cost other programs minutes cost
// little here, and end with a reason (CVE-2026-32280, CVE-2018-16875,
// CVE-2025-58187, CVE-2026-27145, CVE-2026-32281, CVE-2026-33818, CVE-2023-29409,
// CVE-2025-58185).
func TestPathologicalChains(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(root.Key)
	for _, tt := range []struct {
		name  string
		chain func() []*x509.Certificate
		want  trust.Reason
	}{
		{"nine CAs of one name, each signed by the next", func() []*x509.Certificate { return mesh(pki.NewRoot("mesh")) }, trust.ClientCertUntrusted},
		{"nine CAs of the root's name, each signed by the next", func() []*x509.Certificate { return mesh(pki.NewRoot("root")) }, trust.ClientCertUntrusted},
		{"nine CAs of one name, the last by the root", func() []*x509.Certificate { return mesh(root.Intermediate("mesh")) }, ""},
		{"layers that certify each other", func() []*x509.Certificate { return layers(root) }, ""},
		{"1,001 DNS names", func() []*x509.Certificate { return root.Client("c", manyNames(1001)).Chain() }, trust.ClientCertMaxSizeExceeded},
		{"1,001 directory names", many(t, root, directory(t, pkix.Name{}), 1001), trust.ClientCertMaxSizeExceeded},
		{"1,001 registered identifiers", many(t, root, general{8, []byte{42}}, 1001), trust.ClientCertMaxSizeExceeded},
		{"1,001 other names", many(t, root, general{3, nil}, 1001), trust.ClientCertMaxSizeExceeded},
		{"1,001 names behind one that is none", many(t, root, dns("a"), 1001, general{-1, []byte("a")}), trust.ClientCertMaxSizeExceeded},
		{"501 DNS constraints", limited(t, root, dns("a"), 501), trust.ClientCertMaxSizeExceeded},
		{"501 directory constraints", limited(t, root, directory(t, pkix.Name{}), 501), trust.ClientCertMaxSizeExceeded},
		{"501 constraints of other kinds", limited(t, root, general{8, []byte{42}}, 501), trust.ClientCertMaxSizeExceeded},
		{"a thousand names and 500 constraints thrice", func() []*x509.Certificate { return constrained(t, root, key) }, trust.ClientCertUntrusted},
		{"policies mapped to each other", func() []*x509.Certificate { return mapped(t, root, key, 40) }, trust.ClientCertUntrusted},
		{"101 policies", func() []*x509.Certificate { return root.Client("c", policyList(t, 101)).Chain() }, trust.ClientCertMaxSizeExceeded},
		{"51 policies and 51 mappings", func() []*x509.Certificate { return mapped(t, root, key, 51) }, trust.ClientCertMaxSizeExceeded},
		{"RSA key of 16,384 bits", func() []*x509.Certificate { return root.Client("c", giant(16<<10, 65537)).Chain() }, trust.ClientCertIncompatible},
		{"RSA CA key of 16,384 bits", func() []*x509.Certificate {
			return append(root.Client("c").Chain(), root.Intermediate("giant", giant(16<<10, 65537)).Cert)
		}, trust.ClientCertIncompatible},
		{"RSA CA key with a large exponent", func() []*x509.Certificate {
			return append(root.Client("c").Chain(), root.Intermediate("root", giant(8<<10, 1<<31-1)).Cert)
		}, ""},
		{"an extension nested 4,000 deep", func() []*x509.Certificate { return root.Client("c", nested(4000)).Chain() }, ""},
		{"100 attributes in the subject", func() []*x509.Certificate { return root.Client("c", attributes(t, 100)).Chain() }, ""},
		{"101 attributes in the subject", func() []*x509.Certificate { return root.Client("c", attributes(t, 101)).Chain() }, trust.ClientCertMaxSizeExceeded},
		{"101 extensions", func() []*x509.Certificate { return root.Client("c", extensions(101)).Chain() }, trust.ClientCertMaxSizeExceeded},
		{"a URI of 14 KB", func() []*x509.Certificate {
			return root.Client("c", pki.URI("spiffe://a.example/"+strings.Repeat("x/", 7000))).Chain()
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain := tt.chain()
			answer := make(chan *trust.Verdict, 1)
			go func() { answer <- store(t, root.Cert).Verify(chain, &trust.Policy{MaxDepth: 10}, time.Now()) }()
			select {
			case v := <-answer:
				checkVerdict(t, v, tt.want, v.Index)
			case <-time.After(hang):
				t.Fatal("no answer")
			}
		})
	}
}

// A store may hold more CAs of one name than signatures are checked for a
// chain, which is 100 (x509). The key identifier tells which comes first; without
// one the search ends with a reason.
func TestManyAnchorsOfOneName(t *testing.T) {
	anonymous := pki.Template(func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} })
	var named, alike []*x509.Certificate
	for range 150 {
		named = append(named, pki.NewRoot("CA").Cert)
		alike = append(alike, pki.NewRoot("CA", anonymous).Cert)
	}
	ca := pki.NewRoot("CA")
	checkVerdict(t, store(t, append(named, ca.Cert)...).Verify(ca.Client("c").Chain(), nil, time.Now()), "", 0)
	last := pki.NewRoot("CA", anonymous)
	v := store(t, append(alike, last.Cert)...).Verify(last.Client("c").Chain(), nil, time.Now())
	checkVerdict(t, v, trust.ClientCertUntrusted, 0)
	if !strings.Contains(v.Detail, "limit") {
		t.Errorf("detail %s", v.Detail)
	}
}

// mesh is a client and nine CAs of one name, each with a key of its own and
// signed by the one before it.
func mesh(top *pki.Entity) []*x509.Certificate {
	cas := []*pki.Entity{top}
	for range 8 {
		cas = append(cas, cas[len(cas)-1].Intermediate(top.Cert.Subject.CommonName, pki.Curve(elliptic.P384())))
	}
	chain := cas[len(cas)-1].Client("c").Chain()[:1]
	for _, ca := range cas {
		chain = append(chain, ca.Cert)
	}
	return chain
}

// layers is a client below two CAs, each certified by both of the layer above,
// four times over: sixteen paths, and twice as many that do not end.
func layers(root *pki.Entity) []*x509.Certificate {
	above := []*pki.Entity{root.Intermediate("layer 0"), root.Intermediate("layer 0")}
	helpers := []*x509.Certificate{above[0].Cert, above[1].Cert}
	for i := 1; len(helpers) < 9; i++ {
		first := above[0].Intermediate(fmt.Sprint("layer ", i))
		second := above[1].Intermediate(fmt.Sprint("layer ", i), pki.Key(first.Key))
		helpers = append(helpers, first.Cert, second.Cert)
		above = []*pki.Entity{first, second}
	}
	return append([]*x509.Certificate{above[0].Client("c").Cert}, helpers[len(helpers)-9:]...)
}

func many(t *testing.T, ca *pki.Entity, name general, n int, list ...general) func() []*x509.Certificate {
	for range n {
		list = append(list, name)
	}
	return func() []*x509.Certificate { return ca.Client("c", alternative(t, list...)).Chain() }
}

func limited(t *testing.T, root *pki.Entity, name general, n int) func() []*x509.Certificate {
	list := make([]general, n)
	for i := range list {
		list[i] = name
	}
	return func() []*x509.Certificate {
		return root.Intermediate("ca", limits(t, true, list, nil)).Client("c").Chain()
	}
}

// constrained fills the 64 KB that a client may send with names and constraints
// that have to be compared, and do not meet.
func constrained(t *testing.T, root *pki.Entity, key pki.Option) []*x509.Certificate {
	var excluded, held []general
	for i := range 125 {
		excluded = append(excluded, dns(fmt.Sprint("x", i)), email(fmt.Sprint("x", i)), uri(fmt.Sprint("x", i)),
			directory(t, pkix.Name{CommonName: fmt.Sprint("x", i)}))
	}
	for i := range 250 {
		held = append(held, dns(fmt.Sprint("y", i)), email(fmt.Sprint("a@y", i)), uri(fmt.Sprint("s://y", i)),
			directory(t, pkix.Name{CommonName: fmt.Sprint("y", i)}))
	}
	held[len(held)-1] = excluded[3] // the last one is forbidden
	ca := root
	for i := range 3 {
		ca = ca.Intermediate(fmt.Sprint("ca ", i), key, limits(t, true, nil, excluded))
	}
	return ca.Client("c", alternative(t, held...)).Chain()
}

func policyID(arc int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1, arc} }

func policyList(t *testing.T, n int) pki.Option {
	var body []byte
	for arc := range n {
		body = append(body, marshal(t, []asn1.ObjectIdentifier{policyID(arc)})...)
	}
	return extended(asn1.ObjectIdentifier{2, 5, 29, 32}, true, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
}

// mapped is a client below eight CAs that ask for policies and map each policy
// to its neighbours; the client has another.
func mapped(t *testing.T, root *pki.Entity, key pki.Option, n int) []*x509.Certificate {
	var mappings []struct{ From, To asn1.ObjectIdentifier }
	for arc := range n {
		mappings = append(mappings, struct{ From, To asn1.ObjectIdentifier }{policyID(arc), policyID((arc*7 + 1) % n)})
	}
	ca := root
	for i := range 8 {
		ca = ca.Intermediate(fmt.Sprint("ca ", i), key, policyList(t, n),
			extended(asn1.ObjectIdentifier{2, 5, 29, 33}, true, marshal(t, mappings)),
			extended(asn1.ObjectIdentifier{2, 5, 29, 36}, true, []byte{0x30, 3, 0x80, 1, 0}))
	}
	return ca.Client("c").Chain()
}

// giant is a public key of that size; nobody has the private one.
func giant(bits uint, exponent int) pki.Option {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return pki.Key(publicOnly{&rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: exponent}})
}

type publicOnly struct{ key *rsa.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (p publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("nobody has the private key")
}

// nested adds an extension of SEQUENCEs in each other.
func nested(depth int) pki.Option {
	var value []byte
	for range depth {
		head := []byte{0x30, 0x82, byte(len(value) >> 8), byte(len(value))}
		if value = append(head, value...); len(value) > 14<<10 {
			break
		}
	}
	return extended(asn1.ObjectIdentifier{1, 2, 3, 6}, false, value)
}

func attributes(t *testing.T, n int) pki.Option {
	var parts [][]attribute
	for range n {
		parts = append(parts, []attribute{attr(cn, utf8Text, "c")})
	}
	return rawSubject(t, parts...)
}

func extensions(n int) pki.Option {
	return pki.Template(func(c *x509.Certificate) {
		for i := range n {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 7, i}, Value: []byte{5, 0}})
		}
	})
}

// A bundle in which everything vouches for everything takes neither long nor much
// memory, and what revokes an anchor still does.
func TestTangledBundle(t *testing.T) {
	first := pki.NewRoot("root")
	key := pki.Key(first.Key)
	certs := []*x509.Certificate{first.Cert}
	for range 999 {
		certs = append(certs, pki.NewRoot("root", key).Cert)
	}
	client := first.Client("c")
	ready := make(chan *trust.Store, 1)
	go func() { ready <- published(t, certs, first.CRL(1)) }()
	select {
	case s := <-ready:
		checkVerdict(t, s.Verify(client.Chain(), nil, time.Now()), "", 0)
		s.SetRevocations(lists(t, certs[:1], first.CRL(1, &pki.Entity{Cert: certs[0]}, &pki.Entity{Cert: certs[999]})))
		checkVerdict(t, s.Verify(client.Chain(), nil, time.Now()), trust.ClientCertCrlHit, -1)
	case <-time.After(hang):
		t.Fatal("not published")
	}
}

// Names in encodings that nobody should use are refused as certificates that do not
// parse, or printed so that a log stays a log.
func TestOddEncodingsOfNames(t *testing.T) {
	root := pki.NewRoot("root")
	part := func(attributes ...attribute) []byte {
		return marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: joined(t, attributes)})
	}
	for _, tt := range []struct {
		name    string
		parts   [][]byte
		invalid bool
	}{
		{"no parts", nil, false},
		{"a part without attributes", [][]byte{part()}, false},
		{"a line feed", [][]byte{part(attr(cn, utf8Text, "a\nFailed:none"))}, false},
		{"a NUL", [][]byte{part(attr(cn, utf8Text, "a\x00b"))}, false},
		{"UTF-8 that is none", [][]byte{part(attr(cn, utf8Text, "\xc3\x28"))}, true},
		{"PrintableString with @", [][]byte{part(attr(cn, 19, "a@b"))}, true},
		{"IA5String with a high byte", [][]byte{part(attr(cn, 22, "\xff"))}, true},
		{"BMPString of three bytes", [][]byte{part(attr(cn, bmp, "\x00a\x00"))}, true},
		{"BMPString with half a pair", [][]byte{part(attr(cn, bmp, "\xd8\x00"))}, true},
		{"a number", [][]byte{part(attr(cn, asn1.TagInteger, "\x01"))}, true},
		{"direction marks", [][]byte{part(attr(cn, utf8Text, "\u202eevil"))}, false},
		{"14 KB", [][]byte{part(attr(cn, utf8Text, strings.Repeat("\"", 14<<10)))}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(tt.parts...)})
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), RawSubject: raw, KeyUsage: x509.KeyUsageDigitalSignature,
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			}
			der, err := x509.CreateCertificate(rand.Reader, template, root.Cert, root.Key.Public(), root.Key)
			if err != nil {
				t.Fatal(err)
			}
			chain, v, err := trust.ParseChain(pki.PEM(&x509.Certificate{Raw: der}))
			if err != nil {
				t.Fatal(err)
			}
			if v == nil {
				v = store(t, root.Cert).Verify(chain, nil, time.Now())
			}
			want := trust.Reason("")
			if tt.invalid {
				want = trust.ClientCertInvalid
			}
			checkVerdict(t, v, want, 0)
			for _, r := range v.Detail {
				if r < ' ' || r > '~' {
					t.Fatalf("%q in %q", r, v.Detail)
				}
			}
		})
	}
}
