package labca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-lb/postern/internal/durable"
)

// A record is one line of index.txt, which `openssl ca` describes in its manual as
// the database: status, end, revocation, serial, file and subject, with tabs between.
type record struct {
	status  string // V, R or E
	ends    string // as ASN.1 writes times
	revoked string // time, and a comma and the reason if there is one
	serial  string // hexadecimal, an even number of digits
	file    string
	subject string // as X509_NAME_oneline prints it
}

const (
	statusValid   = "V"
	statusRevoked = "R"
)

func readIndex(file string) ([]record, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []record
	for number, line := range strings.Split(string(data), "\n") {
		if line == "" {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 6 || !strings.Contains("VRE", fields[0]) || fields[0] == "" {
			return nil, fmt.Errorf("%s:%d: not a line of openssl's index.txt", file, number+1)
		}
		out = append(out, record{fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]})
	}
	return out, nil
}

func (c *CA) writeIndex() error {
	var b bytes.Buffer
	for _, r := range c.index {
		fmt.Fprintln(&b, strings.Join([]string{r.status, r.ends, r.revoked, r.serial, r.file, r.subject}, "\t"))
	}
	return durable.WriteFile(c.path(indexFile), b.Bytes())
}

// enter notes a certificate in the books.
func (c *CA) enter(cert *x509.Certificate) error {
	serial := hexSerial(cert.SerialNumber)
	if err := durable.WriteFile(c.path(filepath.Join(issuedDir, serial+".pem")), encodeCertificates(cert)); err != nil {
		return err
	}
	c.index = append(c.index, record{
		status: statusValid, ends: asn1Time(cert.NotAfter), serial: serial, file: "unknown", subject: oneLine(cert),
	})
	return c.writeIndex()
}

// hexSerial writes a serial number as openssl does in file names.
func hexSerial(n *big.Int) string {
	text := fmt.Sprintf("%X", n)
	if len(text)%2 == 1 {
		text = "0" + text
	}
	return text
}

// asn1Time writes UTCTime or, from 2050, GeneralizedTime (RFC 5280, 4.1.2.5).
func asn1Time(t time.Time) string {
	if t.UTC().Year() < 2050 {
		return t.UTC().Format("060102150405Z")
	}
	return t.UTC().Format("20060102150405Z")
}

func parseASN1Time(s string) (time.Time, error) {
	if len(s) == len("060102150405Z") {
		t, err := time.Parse("060102150405Z", s)
		if err == nil && t.Year() >= 2050 { // Go's window ends in 2068, X.509's in 2049
			t = t.AddDate(-100, 0, 0)
		}
		return t, err
	}
	return time.Parse("20060102150405Z", s)
}

// oneLine prints a subject as X509_NAME_oneline does: /O=Acme/CN=alice.
func oneLine(cert *x509.Certificate) string {
	short := map[string]string{"2.5.4.3": "CN", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST"}
	var b strings.Builder
	for _, a := range cert.Subject.Names {
		name := short[a.Type.String()]
		if name == "" {
			name = a.Type.String()
		}
		fmt.Fprintf(&b, "/%s=", name)
		for _, octet := range []byte(fmt.Sprint(a.Value)) {
			if octet < ' ' || octet > '~' {
				fmt.Fprintf(&b, "\\x%02X", octet)
				continue
			}
			b.WriteByte(octet)
		}
	}
	return b.String()
}

func keyType(key any) string {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return fmt.Sprintf("rsa%d", key.N.BitLen())
	case *ecdsa.PrivateKey:
		return fmt.Sprintf("p%d", key.Curve.Params().BitSize)
	}
	return DefaultKeyType
}

// An Issued is one certificate of the books.
type Issued struct {
	Serial  string    `json:"serial_number"`
	Subject string    `json:"subject"` // as openssl prints it on one line
	Ends    time.Time `json:"not_after"`
	Status  string    `json:"status"` // valid, expired or revoked
	Revoked time.Time `json:"revoked_at,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	// Name is that of the files which hold it; empty if they hold a newer one, or another
	// tool made it.
	Name string `json:"name,omitempty"`
}

// List returns what was issued, in order.
func (c *CA) List(now time.Time) ([]Issued, error) {
	names, err := c.fileNames()
	if err != nil {
		return nil, err
	}
	out := make([]Issued, len(c.index))
	for i, r := range c.index {
		at := fmt.Sprintf("%s:%d", c.path(indexFile), i+1)
		ends, err := parseASN1Time(r.ends)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		out[i] = Issued{Serial: r.serial, Subject: r.subject, Ends: ends, Status: "valid", Name: names[r.serial]}
		switch {
		case r.status == statusRevoked:
			when, reason, _ := strings.Cut(r.revoked, ",")
			if out[i].Revoked, err = parseASN1Time(when); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			out[i].Status, out[i].Reason = "revoked", reason
		case now.After(ends):
			out[i].Status = "expired"
		}
	}
	return out, nil
}

// fileNames tells which serial number stands in which files.
func (c *CA) fileNames() (map[string]string, error) {
	files, err := filepath.Glob(c.path("*" + keySuffix))
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), keySuffix)
		certs, err := readCertificates(c.path(name + chainSuffix))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if name != "ca" {
			out[hexSerial(certs[0].SerialNumber)] = name
		}
	}
	return out, nil
}
