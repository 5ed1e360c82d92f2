package listener

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// maxCANames bounds the subjects that a CertificateRequest may carry, in bytes
// as TLS counts them. Above 64 KiB of them every handshake fails (crypto/tls:
// handshake messages are limited), so a policy with more is refused.
const maxCANames = 60_000

// tlsBase is the part of the tls.Config that all connections of a policy share.
// Only this file makes a tls.Config for clients.
func (p *Policy) newTLSBase(http2 bool, security *SecurityPolicy) (*tls.Config, error) {
	base := &tls.Config{
		NextProtos:             []string{"http/1.1"},
		ClientAuth:             p.clientAuth(),
		SessionTicketsDisabled: p.mtls.NoSessionResumption && p.mtls.Mode != ModeOff,
	}
	if http2 {
		base.NextProtos = []string{"h2", "http/1.1"}
	}
	security.Apply(base)
	if err := p.advertise(base); err != nil {
		return nil, err
	}
	// Our own tickets are sealed by ticketKeys. Without a key of its own, though,
	// crypto/tls would make one for the clone of every connection.
	var unused [32]byte
	rand.Read(unused[:])
	base.SetSessionTicketKeys([][32]byte{unused})
	return base, nil
}

// clientAuth never asks crypto/tls to verify: trust.Store does that, in decide.
func (p *Policy) clientAuth() tls.ClientAuthType {
	switch m := &p.mtls; {
	case m.Mode == ModeVerify && m.OnRefusal == RefuseAlert && !m.Optional && !m.AllowInvalid:
		// The one alert worth having by name is certificate_required.
		return tls.RequireAnyClientCert
	case m.Mode == ModeVerify, m.Mode == ModePassthrough:
		return tls.RequestClientCert
	}
	return tls.NoClientCert
}

func (p *Policy) advertise(base *tls.Config) error {
	if p.mtls.Mode != ModeVerify || len(p.mtls.AdvertisedCAs) == 0 {
		return nil
	}
	// With ClientAuth below VerifyClientCertIfGiven, crypto/tls uses ClientCAs
	// for the names in its CertificateRequest and nothing else.
	base.ClientCAs = x509.NewCertPool()
	size := 0
	for _, ca := range p.mtls.AdvertisedCAs {
		base.ClientCAs.AddCert(ca)
		size += len(ca.RawSubject) + 2
	}
	if size > maxCANames {
		return fmt.Errorf("the subjects of the trust store take %d bytes in a handshake, the limit is %d: "+
			"switch advertise_trust_store_ca_names off or make the bundle smaller", size, maxCANames)
	}
	return nil
}

// tlsConfig is the configuration of one connection: the shared part with hooks
// that know the connection.
func (c *conn) tlsConfig() *tls.Config {
	cfg := c.policy.tlsBase.Clone()
	cfg.GetConfigForClient = c.helloReceived
	cfg.GetCertificate = c.chooseCertificate
	cfg.VerifyConnection = c.decide
	if !cfg.SessionTicketsDisabled {
		cfg.WrapSession, cfg.UnwrapSession = c.wrapSession, c.unwrapSession
	}
	return cfg
}

// helloReceived notes the server name, and gives the rest of the handshake a
// time of its own. All cryptography is still to come: a client that has gone while
// it waited for the processor is dropped here.
func (c *conn) helloReceived(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c.sni = hello.ServerName
	if l := c.listener; l.admission.pressed(c.policy.maxHandshakes) && peerGone(c.raw) {
		c.muted = true
		return nil, errClientGone
	}
	c.Conn.SetDeadline(time.Now().Add(c.policy.timeouts.Handshake))
	return nil, nil
}

// chooseCertificate also notes what the access log says of the choice.
func (c *conn) chooseCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, matched := c.policy.certs.Choose(hello)
	c.serverCert = cert
	c.sniMatched = matched
	return cert, nil
}
