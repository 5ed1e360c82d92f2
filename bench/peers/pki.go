package main

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// crlSizes are the sizes of CRL, by the name that files and setups have.
var crlSizes = map[string]int{"10k": 10_000, "1m": 1_000_000}

// writePKI makes a root, an intermediate that issues clients and one below it,
// clients that present two and three certificates, a server, and a CRL of each
// CA: OpenSSL wants one for every CA of a chain. The long lists are those of
// the first intermediate, which is in every chain.
func writePKI(dir string) error {
	root := pki.NewRoot("Compare Root")
	sub := root.Intermediate("Compare Clients")
	sub2 := sub.Intermediate("Compare Clients 2")
	front := root.Server("localhost", "127.0.0.1")
	rootCRL, sub2CRL := pki.CRLPEM(root.CRL(1)), pki.CRLPEM(sub2.CRL(1))
	files := map[string][]byte{
		"root.pem":       root.PEM(),
		"bundle.pem":     pki.PEM(root.Cert, sub.Cert, sub2.Cert), // postern reads no list of a CA that it does not know
		"server.pem":     front.ChainPEM(),
		"server-key.pem": front.KeyPEM(),
		"server-all.pem": append(front.ChainPEM(), front.KeyPEM()...), // haproxy
		"root.crl":       rootCRL,
		"sub2.crl":       sub2CRL,
	}
	for length, issuer := range map[int]*pki.Entity{2: sub, 3: sub2} {
		client := issuer.Client("partner")
		files[fmt.Sprintf("client-%d.pem", length)] = client.ChainPEM()
		files[fmt.Sprintf("client-%d-key.pem", length)] = client.KeyPEM()
	}
	for name, size := range crlSizes {
		for number, suffix := range []string{".crl", ".crl.next"} {
			list := pki.CRLPEM(sub.SignCRL(revocations(size, number+1)))
			files["sub-"+name+suffix] = list
			// nginx and haproxy read one file.
			files["all-"+name+suffix] = slices.Concat(rootCRL, sub2CRL, list)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("writing certificates: %w", err)
		}
	}
	return nil
}

// revocations revokes serials of 9 bytes, which no certificate of this PKI has:
// theirs are drawn from 15.
func revocations(size, number int) *x509.RevocationList {
	now := time.Now()
	l := &x509.RevocationList{
		Number: big.NewInt(int64(number)), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(24 * time.Hour),
	}
	base := new(big.Int).Lsh(big.NewInt(1), 71)
	for i := range size {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: new(big.Int).Add(base, big.NewInt(int64(i)*7919)), RevocationTime: now,
		})
	}
	return l
}
