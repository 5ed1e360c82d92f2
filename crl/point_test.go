package crl_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// Distribution points in hex, as certificates and lists have them.
const (
	nameY, nameZ = "8603782f79", "8603782f7a" // x/y, x/z
	relativeA    = "300806035504030c0141"     // CN=A, content of the SET
	keyOnly      = "81020640"                 // keyCompromise, of a DistributionPoint
	allButKey    = "8303073f80"               // of a list
)

// wrap puts hex into the elements with the given tags, the innermost last.
func wrap(content string, tags ...cbasn1.Tag) string {
	b := unhex(content)
	for _, tag := range slices.Backward(tags) {
		b = tlv(tag, b)
	}
	return hex.EncodeToString(b)
}

// full is a DistributionPointName with fullName.
func full(names string) string { return wrap(names, 0xa0, 0xa0) }

// dps is a certificate like c with the given DistributionPoints.
func dps(c *x509.Certificate, points ...string) *x509.Certificate {
	var all string
	for _, p := range points {
		all += wrap(p, cbasn1.SEQUENCE)
	}
	copied := *c
	copied.Extensions = append(slices.Clone(c.Extensions), pkix.Extension{
		Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: unhex(wrap(all, cbasn1.SEQUENCE))})
	return &copied
}

// directory is a fullName of CN=A below a CA's name.
func directory(ca *pki.Entity) string {
	name, rdns := cryptobyte.String(ca.Cert.RawSubject), cryptobyte.String(nil)
	name.ReadASN1(&rdns, cbasn1.SEQUENCE)
	return full(wrap(hex.EncodeToString(rdns)+wrap(relativeA, cbasn1.SET), 0xa4, cbasn1.SEQUENCE))
}

// TestVouching asks partitions, and lists for some reasons, about a certificate that
// none of them has.
func TestVouching(t *testing.T) {
	root, other := pki.NewRoot("root"), pki.NewRoot("other")
	client := root.Client("client").Cert
	relative := wrap(relativeA, 0xa0, 0xa1)
	const yz = nameY + nameZ
	for _, tt := range []struct {
		name   string
		points []string // of the certificate
		lists  []string // fields of issuingDistributionPoint
		want   crl.Status
	}{
		{"named", []string{full(nameY)}, []string{full(nameY)}, crl.Good},
		{"named, not the first list", []string{full(nameZ)}, []string{full(nameY), full(nameZ)}, crl.Good},
		{"another", []string{full(nameZ)}, []string{full(nameY)}, crl.Unknown},
		{"one of two names of the list", []string{full(nameZ)}, []string{full(yz)}, crl.Good},
		{"one of two names of the certificate", []string{full(yz)}, []string{full(nameZ)}, crl.Good},
		{"the second point", []string{full(nameY), full(nameZ)}, []string{full(nameZ)}, crl.Good},
		{"no point", nil, []string{full(nameY)}, crl.Unknown},
		{"no point, but a whole list", nil, []string{full(nameY), ""}, crl.Good},
		{"a whole list is not asked for its name", []string{full(nameY)}, []string{""}, crl.Good},
		{"relative, both", []string{relative}, []string{relative}, crl.Good},
		{"relative in the certificate", []string{relative}, []string{directory(root)}, crl.Good},
		{"relative in the list", []string{directory(root)}, []string{relative}, crl.Good},
		{"relative to another CA", []string{relative}, []string{directory(other)}, crl.Unknown},
		{"relative, longer", []string{wrap(relativeA+relativeA, 0xa0, 0xa1)}, []string{relative}, crl.Unknown},
		{"of another CRL issuer", []string{full(nameY) + wrap(nameY, 0xa2)}, []string{full(nameY)}, crl.Unknown},
		{"no name", []string{keyOnly}, []string{full(nameY)}, crl.Unknown},
		{"malformed after", []string{full(nameY), "05"}, []string{full(nameY)}, crl.Good},
		{"malformed before", []string{"05", full(nameY)}, []string{full(nameY)}, crl.Unknown},
		{"beyond the eighth point", append(slices.Repeat([]string{full(nameZ)}, 8), full(nameY)), []string{full(nameY)}, crl.Unknown},
		{"beyond 64 names", []string{full(strings.Repeat(nameZ, 64) + nameY)}, []string{full(nameY)}, crl.Unknown},
		{"of users", []string{full(nameY)}, []string{full(nameY) + userOnly}, crl.Good},
		{"of CAs", []string{full(nameY)}, []string{full(nameY) + caOnly}, crl.Unknown},
		{"some reasons", nil, []string{someReasons}, crl.Unknown},
		{"all reasons from two", nil, []string{someReasons, allButKey}, crl.Good},
		{"reasons of a partition not named", []string{full(nameZ)}, []string{full(nameY) + someReasons, allButKey}, crl.Unknown},
		{"reasons of a partition named", []string{full(nameY)}, []string{full(nameY) + someReasons, allButKey}, crl.Good},
		{"the point is for some reasons", []string{full(nameY) + keyOnly}, []string{full(nameY)}, crl.Unknown},
		{"the point is for some reasons, the rest elsewhere", []string{full(nameY) + keyOnly}, []string{full(nameY), allButKey}, crl.Good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert := client
			if tt.points != nil {
				cert = dps(client, tt.points...)
			}
			var lists, revoking [][]byte
			for _, fields := range tt.lists {
				lists = append(lists, draft{ca: root, extensions: point(fields)}.der())
				revoking = append(revoking, draft{ca: root, entries: anEntryOf(cert.SerialNumber), extensions: point(fields)}.der())
			}
			set := newSet(t, certs(root), lists...)
			got := set.Status(cert, root.Cert)
			if got.Status != tt.want {
				t.Errorf("status %v, want %v", got.Status, tt.want)
			}
			if wantUntil := tt.want == crl.Good; got.FreshUntil.IsZero() == wantUntil || (got.List != nil) != wantUntil {
				t.Errorf("list %v, fresh until %v", got.List, got.FreshUntil)
			}
			if n := testing.AllocsPerRun(100, func() { set.Status(cert, root.Cert) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			covered := !strings.Contains(tt.name, "of CAs")
			if got := newSet(t, certs(root), revoking...).Status(cert, root.Cert).Status; (got == crl.Revoked) != covered {
				t.Errorf("on the lists: %v", got)
			}
		})
	}
}

// TestFreshUntilOfReasons has the rest of the reasons in a list that is due earlier.
func TestFreshUntilOfReasons(t *testing.T) {
	root := pki.NewRoot("root")
	early := "170d 3235303130313030303030305a 170d 3330303130313030303030305a" // to 2030
	set := newSet(t, certs(root),
		draft{ca: root, extensions: point(someReasons)}.der(),
		draft{ca: root, extensions: point(allButKey), times: unhex(early)}.der(),
		draft{ca: root, extensions: point(someReasons), times: unhex(early)}.der())
	want := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := set.Status(root.Client("c").Cert, root.Cert).FreshUntil; !got.Equal(want) {
		t.Errorf("fresh until %v, want %v", got, want)
	}
}

// TestPointNameLimit has as many names as are read, and one more.
func TestPointNameLimit(t *testing.T) {
	root := pki.NewRoot("root")
	list := func(n int) []byte {
		fields := full(strings.Repeat(nameY, n))
		return draft{ca: root, extensions: critical(pointOID, wrap(fields, cbasn1.SEQUENCE))}.der()
	}
	if got := parse(t, list(32)).Scope(); !strings.Contains(got, `"x/y"`) {
		t.Errorf("scope %q", got)
	}
	_, err := crl.Parse(list(33))
	refused[crl.List](t, nil, err, "more than 32 names")
}
