package labca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/durable"
)

// reasons are openssl's names of the reason codes that a revocation may have, at their
// numbers (RFC 5280, 5.3.1).
var reasons = []string{
	"unspecified", "keyCompromise", "CACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
}

// Revoke revokes a certificate, named by its files or by its serial number in
// hexadecimal, and writes a new list. To revoke one that is revoked is an error.
func (c *CA) Revoke(which, reason string) error {
	if !slices.Contains(reasons, reason) {
		return fmt.Errorf("reason %q: choose %s", reason, strings.Join(reasons, ", "))
	}
	serial := strings.ToUpper(strings.ReplaceAll(which, ":", ""))
	if certs, err := readCertificates(c.path(which + chainSuffix)); err == nil && fileName.MatchString(which) {
		serial = hexSerial(certs[0].SerialNumber)
	}
	at := slices.IndexFunc(c.index, func(r record) bool { return r.serial == serial })
	if at < 0 {
		return fmt.Errorf("%q is neither the name of files in %s nor a serial number in its index: `postern pki list` tells what there is",
			which, c.dir)
	}
	if c.index[at].status == statusRevoked {
		return fmt.Errorf("%q is revoked already, since %s", which, c.index[at].revoked)
	}
	c.index[at].status, c.index[at].revoked = statusRevoked, asn1Time(time.Now())
	if reason != reasons[0] {
		c.index[at].revoked += "," + reason
	}
	if err := c.writeIndex(); err != nil {
		return err
	}
	return c.WriteCRL(DefaultCRLDays)
}

// WriteCRL writes a new list, which the next is due to replace after so many days;
// negative: it is due already.
func (c *CA) WriteCRL(days int) error {
	number, err := c.takeNumber()
	if err != nil {
		return err
	}
	now := time.Now()
	list := &x509.RevocationList{Number: number, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.AddDate(0, 0, days)}
	if days <= 0 {
		list.ThisUpdate = list.NextUpdate.Add(-day)
	}
	for i, r := range c.index {
		if r.status != statusRevoked {
			continue
		}
		entry, err := r.entry()
		if err != nil {
			return fmt.Errorf("%s:%d: %w", c.path(indexFile), i+1, err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, entry)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.cert, c.key)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.path(crlFile), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// entry is a revoked certificate as a list has it.
func (r record) entry() (x509.RevocationListEntry, error) {
	var e x509.RevocationListEntry
	var ok bool
	if e.SerialNumber, ok = new(big.Int).SetString(r.serial, 16); !ok {
		return e, fmt.Errorf("the serial number %q is not hexadecimal", r.serial)
	}
	fields := strings.Split(r.revoked, ",")
	var err error
	if e.RevocationTime, err = parseASN1Time(fields[0]); err != nil {
		return e, err
	}
	if len(fields) > 1 {
		if e.ReasonCode = slices.Index(reasons, fields[1]); e.ReasonCode < 0 {
			return e, fmt.Errorf("the reason %q is none that a list of ours can have", fields[1])
		}
	}
	return e, nil
}

// takeNumber returns the number of the next list and counts on.
func (c *CA) takeNumber() (*big.Int, error) {
	text, err := os.ReadFile(c.path(numberFile))
	if err != nil {
		return nil, err
	}
	number, ok := new(big.Int).SetString(strings.TrimSpace(string(text)), 16)
	if !ok || number.Sign() < 0 || number.BitLen() > 152 {
		return nil, fmt.Errorf("%s holds no number in hexadecimal", c.path(numberFile))
	}
	next := new(big.Int).Add(number, big.NewInt(1))
	return number, durable.WriteFile(c.path(numberFile), []byte(hexSerial(next)+"\n"))
}
