// Command pki makes the certificates, keys and CRLs of one comparison in a
// folder, in the forms that each server wants.
package main

import (
	"crypto/x509"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

func main() {
	dir := flag.String("dir", "", "`folder` to write to")
	revoked := flag.Int("revoked", 0, "`number` of serials in the CRL of the CA that issues clients")
	rsaServer := flag.Bool("rsa-server", false, "give the server an RSA-2048 key in place of P-256")
	rsaClient := flag.Bool("rsa-client", false, "give the client an RSA-2048 key in place of P-256")
	flag.Parse()
	if err := write(*dir, files(*revoked, keyOptions(*rsaServer), keyOptions(*rsaClient))); err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		os.Exit(1)
	}
}

func keyOptions(useRSA bool) []pki.Option {
	if useRSA {
		return []pki.Option{pki.RSA(2048)}
	}
	return nil
}

// files makes a root, an intermediate that issues clients, one client, one
// server, and a CRL of each CA: OpenSSL wants one for every CA of a chain.
func files(revoked int, server, client []pki.Option) map[string][]byte {
	root := pki.NewRoot("Compare Root")
	sub := root.Intermediate("Compare Clients")
	front := root.ServerWith([]string{"localhost", "127.0.0.1"}, server...)
	partner := sub.Client("partner-1", client...)
	rootCRL := pki.CRLPEM(root.CRL(1))
	subCRL := pki.CRLPEM(sub.SignCRL(list(revoked)))
	return map[string][]byte{
		"root.pem":       root.PEM(),
		"sub.pem":        sub.ChainPEM(),
		"sub-key.pem":    sub.KeyPEM(),
		"server.pem":     front.ChainPEM(),
		"server-key.pem": front.KeyPEM(),
		"server-all.pem": append(front.ChainPEM(), front.KeyPEM()...), // haproxy
		"client.pem":     partner.ChainPEM(),
		"client-key.pem": partner.KeyPEM(),
		"root.crl":       rootCRL,
		"sub.crl":        subCRL,
		"all.crl":        append(append([]byte{}, rootCRL...), subCRL...), // nginx, haproxy
	}
}

// list revokes serials of 9 bytes, which no certificate of this PKI has: theirs
// are drawn from 15.
func list(revoked int) *x509.RevocationList {
	now := time.Now()
	l := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(24 * time.Hour),
	}
	base := new(big.Int).Lsh(big.NewInt(1), 71)
	for i := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: new(big.Int).Add(base, big.NewInt(int64(i)*7919)), RevocationTime: now,
		})
	}
	return l
}

func write(dir string, files map[string][]byte) error {
	if dir == "" {
		return fmt.Errorf("no folder given; use -dir")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}
