package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A general is a GeneralName (RFC 5280, 4.2.1.6).
type general struct {
	tag  int
	data []byte
}

func (g general) der(t *testing.T) []byte {
	if g.tag < 0 { // no GeneralName
		return marshal(t, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: g.data})
	}
	return marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: g.tag, IsCompound: g.tag == 4, Bytes: g.data})
}

func dns(s string) general   { return general{2, []byte(s)} }
func email(s string) general { return general{1, []byte(s)} }
func uri(s string) general   { return general{6, []byte(s)} }

// ip is an address or, as constraint, a network of 4 bytes and 4 of mask.
func ip(b ...byte) general { return general{7, b} }

func directory(t *testing.T, name pkix.Name) general {
	return general{4, marshal(t, name.ToRDNSequence())}
}

// limits makes name constraints as they are written, whatever x509 would say.
func limits(t *testing.T, critical bool, permitted, excluded []general) pki.Option {
	var body []byte
	for tag, list := range [][]general{permitted, excluded} {
		var subtrees []byte
		for _, g := range list {
			subtrees = append(subtrees, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: g.der(t)})...)
		}
		if list != nil {
			body = append(body, marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: subtrees})...)
		}
	}
	return extended(asn1.ObjectIdentifier{2, 5, 29, 30}, critical, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
}

func extended(id asn1.ObjectIdentifier, critical bool, value []byte) pki.Option {
	return pki.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: value})
	})
}

// alternative makes the subject alternative names.
func alternative(t *testing.T, names ...general) pki.Option {
	var body []byte
	for _, n := range names {
		body = append(body, n.der(t)...)
	}
	return extended(asn1.ObjectIdentifier{2, 5, 29, 17}, false, marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body}))
}

// rawSubject sets a subject that pkix.Name does not express.
func rawSubject(t *testing.T, parts ...[]attribute) pki.Option {
	var body []byte
	for _, part := range parts {
		body = append(body, marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: joined(t, part)})...)
	}
	raw := marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
	return pki.Template(func(c *x509.Certificate) { c.RawSubject = raw })
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

func joined(t *testing.T, list []attribute) (out []byte) {
	for _, a := range list {
		out = append(out, marshal(t, a)...)
	}
	return out
}

func attr(arc, tag int, value string) attribute {
	return attribute{asn1.ObjectIdentifier{2, 5, 4, arc}, asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
}

const (
	cn, org                = 3, 10
	utf8Text, teletex, bmp = 12, 20, 30
)

func TestNameConstraints(t *testing.T) {
	partner := directory(t, pkix.Name{Organization: []string{"Partner One"}})
	mail := func(address string) pki.Option {
		return pki.Template(func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: address}}
		})
	}
	list := func(g ...general) []general { return g }
	for _, tt := range []struct {
		name                string
		permitted, excluded []general
		leaf                []pki.Option
		refused             bool
	}{
		{"DNS below", list(dns("partners.example")), nil, []pki.Option{alternative(t, dns("a.partners.example"))}, false},
		{"DNS in other letters", list(dns("Partners.Example")), nil, []pki.Option{alternative(t, dns("A.PARTNERS.example"))}, false},
		{"DNS elsewhere", list(dns("partners.example")), nil, []pki.Option{alternative(t, dns("evilpartners.example"))}, true},
		{"DNS excluded in other letters", nil, list(dns("bad.example")), []pki.Option{alternative(t, dns("A.BAD.Example"))}, true},
		{"DNS wildcard over an exclusion, in other letters", nil, list(dns("Sub.Example.com")), []pki.Option{alternative(t, dns("*.EXAMPLE.com"))}, true},
		{"email that spells an excluded DNS name", nil, list(dns("a.example")), []pki.Option{alternative(t, email("x@a.example"))}, false},
		{"email does not serve as a permitted DNS name", list(email("a.example")), nil, []pki.Option{alternative(t, dns("a.example"))}, false},
		{"URI does not serve as DNS name", list(dns("a.example")), nil, []pki.Option{alternative(t, uri("spiffe://b.example/x"))}, false},
		{"email at the host", list(email("a.example")), nil, []pki.Option{alternative(t, email("x@A.example"))}, false},
		{"email below the host", list(email("a.example")), nil, []pki.Option{alternative(t, email("x@sub.a.example"))}, true},
		{"email below the domain", list(email(".a.example")), nil, []pki.Option{alternative(t, email("x@sub.a.example"))}, false},
		{"email of the domain itself", list(email(".a.example")), nil, []pki.Option{alternative(t, email("x@a.example"))}, true},
		{"mailbox", list(email("x@a.example")), nil, []pki.Option{alternative(t, email("x@A.EXAMPLE"))}, false},
		{"another mailbox", list(email("x@a.example")), nil, []pki.Option{alternative(t, email("X@a.example"))}, true},
		{"email anything", list(email("")), nil, []pki.Option{alternative(t, email("x@a.example"))}, false},
		{"email in the subject", list(email("a.example")), nil, []pki.Option{mail("x@a.example")}, false},
		{"email in the subject elsewhere", list(email("a.example")), nil, []pki.Option{mail("x@b.example")}, true},
		{"email in the subject excluded", nil, list(email("b.example")), []pki.Option{mail("x@B.example")}, true},
		{"email in the subject below an exclusion", nil, list(email("b.example")), []pki.Option{mail("x@a.b.example")}, true},
		{"email in the subject excluded beside good names", nil, list(email("x@b.example")), []pki.Option{mail("x@b.example"), alternative(t, email("x@a.example"))}, true},
		{"email in the subject without host", nil, list(email("b.example")), []pki.Option{mail("nobody")}, true},
		{"URI at the host", list(uri("a.example")), nil, []pki.Option{alternative(t, uri("spiffe://A.example/x"))}, false},
		{"URI at the host and a port", list(uri("a.example")), nil, []pki.Option{alternative(t, uri("https://a.example:8443/x"))}, false},
		{"URI below the host", list(uri("a.example")), nil, []pki.Option{alternative(t, uri("spiffe://b.a.example/x"))}, true},
		{"URI below the domain", list(uri(".a.example")), nil, []pki.Option{alternative(t, uri("spiffe://b.a.example/x"))}, false},
		{"URI with the host in its path", list(uri("a.example")), nil, []pki.Option{alternative(t, uri("spiffe://b.example/a.example"))}, true},
		{"URI with the host as user", list(uri("a.example")), nil, []pki.Option{alternative(t, uri("https://a.example@b.example/"))}, true},
		{"address", list(ip(10, 0, 0, 0, 255, 0, 0, 0)), nil, []pki.Option{pki.IP(net.IPv4(10, 1, 1, 1))}, false},
		{"address elsewhere", list(ip(10, 0, 0, 0, 255, 0, 0, 0)), nil, []pki.Option{pki.IP(net.IPv4(11, 1, 1, 1))}, true},
		{"excluded range written by an address within", nil, list(ip(9, 0, 0, 0, 255, 0, 0, 0), ip(10, 200, 0, 0, 255, 0, 0, 0)), []pki.Option{pki.IP(net.IPv4(10, 1, 1, 1))}, true},
		{"permitted range written by an address within", list(ip(9, 0, 0, 0, 255, 0, 0, 0), ip(10, 200, 0, 0, 255, 0, 0, 0)), nil, []pki.Option{pki.IP(net.IPv4(10, 1, 1, 1))}, false},
		{"directory", list(partner), nil, []pki.Option{subject("Partner One", "c")}, false},
		{"directory in other letters and blanks", list(partner), nil, []pki.Option{subject("  PARTNER   one ", "c")}, false},
		{"directory as Teletex", list(partner), nil, []pki.Option{rawSubject(t, []attribute{attr(org, teletex, "Partner One")}, []attribute{attr(cn, utf8Text, "c")})}, false},
		{"directory as BMP", list(partner), nil, []pki.Option{rawSubject(t, []attribute{attr(org, bmp, "\x00P\x00a\x00r\x00t\x00n\x00e\x00r\x00 \x00O\x00n\x00e")})}, false},
		{"directory excluded, as BMP", nil, list(partner), []pki.Option{rawSubject(t, []attribute{attr(org, bmp, "\x00P\x00A\x00R\x00T\x00N\x00E\x00R\x00 \x00O\x00N\x00E")})}, true},
		{"directory longer in its last part", list(partner), nil, []pki.Option{subject("Partner One Ltd", "c")}, true},
		{"directory in another order", list(partner), nil, []pki.Option{rawSubject(t, []attribute{attr(cn, utf8Text, "c")}, []attribute{attr(org, utf8Text, "Partner One")})}, true},
		{"directory with the part among others", list(partner), nil, []pki.Option{rawSubject(t, []attribute{attr(org, utf8Text, "Partner One"), attr(cn, utf8Text, "c")})}, true},
		{"directory excluded", nil, list(partner), []pki.Option{subject("partner one", "c")}, true},
		{"directory beside the excluded one", nil, list(partner), []pki.Option{subject("partner two", "c")}, false},
		{"directory among the alternative names", list(partner), nil, []pki.Option{subject("Partner One", "c"), alternative(t, directory(t, pkix.Name{Organization: []string{"Other"}}))}, true},
		{"directory excluded among the alternative names", nil, list(partner), []pki.Option{alternative(t, partner)}, true},
		{"directory all excluded", nil, list(directory(t, pkix.Name{})), nil, true},
		{"a kind that nobody compares, not held", list(general{8, []byte{42, 3}}), nil, []pki.Option{alternative(t, dns("a.example"))}, false},
		{"a kind that nobody compares, held", list(general{8, []byte{42, 3}}), nil, []pki.Option{alternative(t, general{8, []byte{42, 3}})}, true},
		{"a kind that nobody compares, excluded and held", nil, list(general{8, []byte{42, 3}}), []pki.Option{alternative(t, general{8, []byte{42, 4}})}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, critical := range []bool{true, false} {
				root := pki.NewRoot("root")
				limited := root.Intermediate("limited", limits(t, critical, tt.permitted, tt.excluded))
				client := limited.Client("c", tt.leaf...)
				want := trust.Reason("")
				if tt.refused {
					want = trust.ClientCertUntrusted
				}
				v := store(t, root.Cert).Verify(client.Chain(), nil, time.Now())
				checkVerdict(t, v, want, 0)
				if tt.refused && !strings.Contains(v.Detail, "name constraint") {
					t.Errorf("detail %s", v.Detail)
				}
				checkVerdict(t, store(t, limited.Cert).Verify(client.Chain()[:1], nil, time.Now()), want, 0)
			}
		})
	}
}

func subject(organization, commonName string) pki.Option {
	return pki.Subject(pkix.Name{Organization: []string{organization}, CommonName: commonName})
}

// A CA between the constraint and the client is held to it as well, unless it
// certified itself anew; and a constraint on one of two paths leaves the other.
func TestNameConstraintsAlongThePath(t *testing.T) {
	within := directory(t, pkix.Name{Organization: []string{"Partner"}})
	root := pki.NewRoot("root")
	limited := root.Intermediate("", subject("Partner", "limited"), limits(t, true, []general{within}, nil))
	outside := limited.Intermediate("outside")
	checkVerdict(t, store(t, root.Cert).Verify(outside.Client("", subject("Partner", "c")).Chain(), nil, time.Now()), trust.ClientCertUntrusted, 1)

	elsewhere := root.Intermediate("elsewhere", limits(t, true, []general{within}, nil))
	renewed := elsewhere.Intermediate("elsewhere")
	checkVerdict(t, store(t, root.Cert).Verify(renewed.Client("", subject("Partner", "c")).Chain(), nil, time.Now()), "", 0)

	free := root.Intermediate("twice")
	bound := root.Intermediate("twice", pki.Key(free.Key), limits(t, true, []general{within}, nil))
	chain := append(free.Client("c").Chain(), bound.Cert)
	checkVerdict(t, store(t, root.Cert).Verify(chain, nil, time.Now()), "", 0)
	chain[1], chain[2] = chain[2], chain[1]
	checkVerdict(t, store(t, root.Cert).Verify(chain, nil, time.Now()), "", 0)
}

// TestConstraintThatCannotBeRead holds that a subtree with a minimum, which RFC 5280
// does away with, binds the CA's hands instead of nobody's.
func TestConstraintThatCannotBeRead(t *testing.T) {
	base := append(dns("a.example").der(t), marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: []byte{1}})...)
	subtree := marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: base})
	permitted := marshal(t, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: subtree})
	root := pki.NewRoot("root")
	odd := root.Intermediate("odd", extended(asn1.ObjectIdentifier{2, 5, 29, 30}, true,
		marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: permitted})))
	checkVerdict(t, store(t, root.Cert).Verify(odd.Client("c", pki.DNS("a.example")).Chain(), nil, time.Now()), trust.ClientCertUntrusted, 0)
}

// A URI without a host name cannot be compared, so below constraints of URIs there is
// no place for it; below others there is.
func TestURIWithoutHost(t *testing.T) {
	root := pki.NewRoot("root")
	other := root.Intermediate("other", limits(t, true, []general{dns("a.example")}, nil))
	permits := root.Intermediate("permits", limits(t, true, []general{uri("a.example")}, nil))
	excludes := root.Intermediate("excludes", limits(t, true, nil, []general{uri("evil.example")}))
	for _, text := range []string{
		"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "/a.example", "https://10.0.0.1/", "https://[fe80::1]/", "https://[fe80::1%25a.example]:80/",
	} {
		chain := other.Client("c", alternative(t, uri(text))).Chain()
		checkVerdict(t, store(t, root.Cert).Verify(chain, nil, time.Now()), "", 0)
		for _, ca := range []*pki.Entity{permits, excludes} {
			checkVerdict(t, store(t, root.Cert).Verify(ca.Client("c", alternative(t, uri(text))).Chain(), nil, time.Now()), trust.ClientCertUntrusted, 0)
		}
	}
}
