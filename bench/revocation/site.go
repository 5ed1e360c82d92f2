package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// A site is the files of a server and the certificates of its clients.
type site struct {
	dir, address string
	connections  int
	roots        *x509.CertPool
	clients      []tls.Certificate
	witness      tls.Certificate
	next         map[string][]byte // what change puts in the place of files; on disk as NAME.next
}

const configText = `admin:
  address: 127.0.0.1:0
listeners:
  - name: front
    address: %s
    protocol: HTTPS
    certificates: [{certificate: server.pem, private_key: server-key.pem}]
    mutual_authentication: {mode: verify, trust_store: clients}
    default_actions: [{fixed_response: {status_code: 204}}]
trust_stores:
  - name: clients
    ca_certificates_bundle: bundle.pem
    revocations: [clients.crl]
`

// newSite writes the files. The clients that are cut and the one that stays have
// different CAs, so that either file can be changed without touching the latter.
func newSite(dir string, o options) (*site, error) {
	root, stays := pki.NewRoot("Clients"), pki.NewRoot("Stays")
	sub := root.Intermediate("Partners")
	front := root.Server("localhost")
	s := &site{dir: dir, connections: o.connections, roots: pool(root.Cert), witness: stays.Client("stays").TLS()}
	var err error
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	list := &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(24 * time.Hour)}
	revoke := func(n *big.Int) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now()})
	}
	for i := range o.clients {
		client := sub.Client(fmt.Sprintf("client-%d", i))
		s.clients = append(s.clients, client.TLS())
		revoke(client.Cert.SerialNumber)
	}
	for i := range o.entries {
		revoke(big.NewInt(1<<40 + int64(i)*7919))
	}
	s.next = map[string][]byte{"clients.crl": sub.SignCRL(list)}
	if o.bundle {
		s.next = map[string][]byte{"bundle.pem": pki.PEM(stays.Cert)}
	}
	next := make(map[string][]byte)
	for name, data := range s.next {
		next[name+".next"] = data
	}
	if err := writeAll(dir, next); err != nil {
		return nil, err
	}
	return s, writeAll(dir, map[string][]byte{
		"postern.yaml": fmt.Appendf(nil, configText, s.address), "server.pem": front.ChainPEM(), "server-key.pem": front.KeyPEM(),
		"bundle.pem": pki.PEM(root.Cert, sub.Cert, stays.Cert), "clients.crl": stays.CRL(1),
	})
}

// change puts the new files in force, each with one rename.
func (s *site) change() error {
	for name := range s.next {
		if err := os.Rename(filepath.Join(s.dir, name+".next"), filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(dir string, files map[string][]byte) error {
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
