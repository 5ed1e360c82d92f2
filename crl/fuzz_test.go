package crl_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// FuzzParse asserts that what Parse accepts, crypto/x509 accepts too and reads the
// same from it, but for the differences that knownDifference lists.
func FuzzParse(f *testing.F) {
	root := pki.NewRoot("root")
	list := root.CRL(1, root.Client("a"), root.Client("b"))
	f.Add(list)
	f.Add(pki.CRLPEM(list))
	f.Add(root.PEM())
	f.Add(draft{ca: root, version: []byte{}, entries: anEntry("01")}.der())
	f.Add(draft{ca: root, times: unhex(someTime), entries: anEntry("ff", ext(reasonOID, "0a0101"))}.der())
	f.Add(draft{ca: root, extensions: join(point(uri+userOnly), ext(numberOID, "020101"))}.der())
	f.Add(draft{ca: root, extensions: join(ext(authorityKeyID, "3003800101"), critical(deltaOID, "020101"))}.der())
	f.Add(draft{ca: root, entries: anEntry("01", critical(certIssuerOID, "3000"), ext(invalidityOID, "0500"))}.der())
	rsa := pki.NewRoot("rsa", pki.RSA(2048))
	pss := template(revocations(root.Cert.SerialNumber)...)
	pss.SignatureAlgorithm = x509.SHA256WithRSAPSS
	f.Add(rsa.SignCRL(pss))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := crl.Parse(data)
		if err != nil {
			if list != nil {
				t.Fatal("an error came with a list")
			}
			if strings.ContainsAny(err.Error(), "\r\x00\x1b") {
				t.Fatalf("error %q has control characters", err)
			}
			return
		}
		der := data
		if bytes.Contains(data, []byte("-----BEGIN X509 CRL-----")) && data[1] < 0x80 {
			block, _ := pem.Decode(data[bytes.Index(data, []byte("-----BEGIN X509 CRL-----")):])
			der = block.Bytes
		}
		standard, err := x509.ParseRevocationList(der)
		if err != nil {
			if !knownDifference(err) {
				t.Fatalf("crypto/x509 refuses this: %v", err)
			}
			return
		}
		sameAnswers(t, list, standard)
	})
}

// knownDifference tells the lists that only this package accepts.
func knownDifference(err error) bool {
	for _, known := range []string{
		"unsupported crl version", // version 1
		"invalid RDNSequence",     // names that OpenSSL reads and Go does not, so no CA in Go has one
	} {
		if strings.Contains(err.Error(), known) {
			return true
		}
	}
	return false
}

// FuzzPoints asks a partition about certificates with any cRLDistributionPoints: it vouches
// for none that does not have its name, and revokes whatever it lists.
func FuzzPoints(f *testing.F) {
	root := pki.NewRoot("root")
	client := root.Client("client").Cert
	extensions := point(full(nameY))
	clean, err := crl.NewSet([]crl.Source{{List: parse(f, draft{ca: root, extensions: extensions}.der())}}, certs(root))
	if err != nil {
		f.Fatal(err)
	}
	revoking := newSet(f, certs(root), draft{ca: root, extensions: extensions, entries: anEntryOf(client.SerialNumber)}.der())
	for _, points := range [][]string{{full(nameY)}, {full(nameZ), full(nameY) + keyOnly}, {directory(root)}, {full(nameY) + wrap(nameZ, 0xa2)}} {
		all := dps(client, points...).Extensions
		f.Add(all[len(all)-1].Value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		cert := dps(client)
		cert.Extensions[len(cert.Extensions)-1].Value = value
		if got := clean.Status(cert, root.Cert).Status; got == crl.Revoked || got == crl.Good && !bytes.Contains(value, unhex(nameY)) {
			t.Errorf("%v", got)
		}
		if got := revoking.Status(cert, root.Cert).Status; got != crl.Revoked {
			t.Errorf("%v, though it is listed", got)
		}
	})
}
