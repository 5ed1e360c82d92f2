package crl

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/postern-lb/postern/internal/dn"
)

// CheckSignature checks that ca issued the list: that ca has the name of the
// list's issuer, byte for byte; is a CA by its basic constraints; may sign lists,
// if it has a key usage at all (RFC 5280, 6.3.3 (f)); and that its key made the
// signature. The dates of ca are not checked.
//
// It is safe for concurrent use, and costs one signature verification whatever
// the size of the list.
func (l *List) CheckSignature(ca *x509.Certificate) error {
	if !bytes.Equal(ca.RawSubject, l.rawIssuer) {
		return fmt.Errorf("the list is issued by %q, not by %q", l.issuer, dn.RFC2253(ca.RawSubject))
	}
	if !ca.BasicConstraintsValid || !ca.IsCA {
		return fmt.Errorf("%q is no CA: its certificate lacks CA:TRUE", l.issuer)
	}
	if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("%q must not sign lists: the key usage of its certificate lacks cRLSign", l.issuer)
	}
	if err := l.algorithm.verify(ca.PublicKey, l.digest, l.signature); err != nil {
		return fmt.Errorf("the signature is not by the key of %q: %w", l.issuer, err)
	}
	return nil
}

// signedBy returns the CA that signed the list. Several CAs may have its name:
// a CA that changed its key, or one that others certified too.
func (l *List) signedBy(cas []*x509.Certificate) (*x509.Certificate, error) {
	var tried []error
	for _, ca := range cas {
		if !bytes.Equal(ca.RawSubject, l.rawIssuer) {
			continue
		}
		err := l.CheckSignature(ca)
		if err == nil {
			return ca, nil
		}
		tried = append(tried, err)
	}
	if len(tried) == 0 {
		return nil, fmt.Errorf("the list is issued by %q, which is not in the bundle: add the CA that signed it, "+
			"or remove the list", l.issuer)
	}
	return nil, fmt.Errorf("no CA of the bundle signed the list: add the CA that did, or get its current list: %w",
		errors.Join(tried...))
}
