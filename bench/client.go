package bench

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// A Client says what the generator presents to the server, and what it expects.
// The zero value presents no certificate and trusts the system's roots.
type Client struct {
	// ServerName is sent as SNI and must be in the server's certificate.
	// Default: the host of the address.
	ServerName string
	// CAFile holds the PEM certificates that the server's must lead to. Default:
	// the system's roots.
	CAFile string
	// CertFile and KeyFile are the client's chain, leaf first, and its key, in
	// PEM; both or neither.
	CertFile, KeyFile string
	// NewClients makes so many clients, each with its own P-256 key and a
	// certificate below the first one in IssuerFile, and rotates through them. It
	// shows what a server's memory of known clients is worth when they are many.
	// It excludes CertFile.
	NewClients int
	// IssuerFile holds the CA's certificate and any intermediates above it that
	// clients must present, in PEM; IssuerKeyFile is the CA's ECDSA or RSA key.
	IssuerFile, IssuerKeyFile string
	// KeyType is the key of the made clients: "ecdsa-p256", "rsa-2048" or "ed25519".
	// Default ecdsa-p256. RSA clients share one key, which takes long to make.
	KeyType string
	// ChainLength is how many certificates each made client presents: what the
	// issuer's own chain lacks is made below it. Default: no more than that chain.
	ChainLength int
	// MinVersion and MaxVersion are tls.VersionTLS12 or tls.VersionTLS13.
	// Default: both allowed.
	MinVersion, MaxVersion uint16
	// Curves are the key agreements offered. Default: Go's, which begins with
	// X25519MLKEM768; set tls.X25519 to compare with a server that lacks it.
	Curves []tls.CurveID
}

func (c *Client) check(faults *fault.List) {
	between(faults, "new_clients", c.NewClients, 0, MaxNewClients)
	if (c.CertFile == "") != (c.KeyFile == "") {
		faults.Add("cert_file", "certificate %q and key %q: give both or neither", c.CertFile, c.KeyFile)
	}
	if c.NewClients > 0 && c.CertFile != "" {
		faults.Add("new_clients", "%d new clients and certificate %q exclude each other", c.NewClients, c.CertFile)
	}
	if c.NewClients > 0 && (c.IssuerFile == "" || c.IssuerKeyFile == "") {
		faults.Add("issuer_file", "new clients need the CA's certificate and key; give issuer_file and issuer_key_file")
	}
	if _, err := keyOption(c.KeyType); err != nil {
		faults.Add("key_type", "%v", err)
	}
	between(faults, "chain_length", c.ChainLength, 0, MaxChainLength)
	if c.NewClients == 0 && (c.KeyType != "" || c.ChainLength != 0) {
		faults.Add("new_clients", "a key type or a chain length is for clients that are made; give their number and issuer")
	}
	for path, version := range map[string]uint16{"min_version": c.MinVersion, "max_version": c.MaxVersion} {
		if version != 0 && version != tls.VersionTLS12 && version != tls.VersionTLS13 {
			faults.Add(path, "version 0x%04x is neither TLS 1.2 nor TLS 1.3", version)
		}
	}
}

// An identity is what one client presents; the zero value presents nothing.
type identity struct {
	certificate *tls.Certificate
}

// A dialer opens TLS connections for one run. It is safe for concurrent use.
type dialer struct {
	address    string
	timeout    time.Duration
	template   *tls.Config
	identities []identity

	// verified is the server certificate that passed last.
	verified atomic.Pointer[x509.Certificate]
}

// newDialer reads the files and makes the clients. c has been checked.
func newDialer(c *Client, address string, timeout time.Duration) (*dialer, error) {
	d := &dialer{address: address, timeout: timeout}
	name := c.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("reading address: %w", err)
		}
		name = host
	}
	roots, err := readRoots(c.CAFile)
	if err != nil {
		return nil, err
	}
	d.identities, err = c.identities()
	if err != nil {
		return nil, err
	}
	d.template = &tls.Config{
		ServerName: name,
		RootCAs:    roots,
		MinVersion: max(c.MinVersion, tls.VersionTLS12), MaxVersion: c.MaxVersion,
		CurvePreferences: c.Curves,
		// verifyServer does what this leaves out.
		InsecureSkipVerify: true,
		VerifyConnection:   d.verifyServer,
	}
	return d, nil
}

// verifyServer checks the server's chain and name in full the first time, and
// then only that the certificate is still the same one, byte for byte: the
// generator shares its machine with the server, and what it saves it can offer.
// That the server holds the key is proved in every handshake all the same.
func (d *dialer) verifyServer(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	if known := d.verified.Load(); known != nil && bytes.Equal(known.Raw, leaf.Raw) {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: d.template.RootCAs, Intermediates: intermediates, DNSName: d.template.ServerName,
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	d.verified.Store(leaf)
	return nil
}

// configs returns the TLS configurations of worker id of n: its share of the
// identities, so that no two workers share a session cache, or one of them if
// there are fewer identities than workers.
func (d *dialer) configs(id, n int, resume bool) []*tls.Config {
	var configs []*tls.Config
	for i := id % len(d.identities); i < len(d.identities); i += n {
		config := d.template.Clone()
		if certificate := d.identities[i].certificate; certificate != nil {
			// Not Certificates: crypto/tls would hold back one whose issuer the
			// server does not name, and the run would measure clients without any.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return certificate, nil
			}
		}
		if resume {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		configs = append(configs, config)
	}
	return configs
}

// dial opens one TCP connection whose deadline is the timeout from now.
func (d *dialer) dial() (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", d.address, d.timeout)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return tcp, tcp.SetDeadline(time.Now().Add(d.timeout))
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	certs, err := readCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("reading server CA: %w", err)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

func (c *Client) identities() ([]identity, error) {
	if c.NewClients > 0 {
		return c.makeClients()
	}
	if c.CertFile == "" {
		return []identity{{}}, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading client certificate: %w", err)
	}
	return []identity{{&certificate}}, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing %q: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New(file + ": no PEM certificate in the file")
	}
	return certs, nil
}
