package crl_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestFileForms(t *testing.T) {
	root := pki.NewRoot("root")
	der := root.CRL(1, root.Client("revoked"))
	text := pki.CRLPEM(der)
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"DER", der},
		{"PEM", text},
		{"PEM with CRLF", bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))},
		{"no final newline", bytes.TrimRight(text, "\n")},
		{"text dump first", join([]byte("Certificate Revocation List (CRL):\n    Version 2\n"), text)},
		{"text that starts as DER would", join([]byte("0 lists of partner A\n"), text)},
		{"comment that names the line", join([]byte("# see -----BEGIN X509 CRL----- below\n"), text)},
		{"text after", join(text, []byte("\nthat is all\n"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n := parse(t, tt.data).Len(); n != 1 {
				t.Errorf("%d entries, want 1", n)
			}
		})
	}
}

func TestFileRefusals(t *testing.T) {
	root := pki.NewRoot("root")
	der := root.CRL(1, root.Client("revoked"))
	text := pki.CRLPEM(der)
	damaged := bytes.Clone(text)
	damaged[100] = '!'
	headers := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Headers: map[string]string{"A": "b"}, Bytes: der})
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "file is empty"},
		{"white space", []byte(" \r\n\t"), "file is empty"},
		{"no list", []byte("hello\n"), "neither DER nor PEM"},
		{"base64 without PEM lines", []byte(base64.StdEncoding.EncodeToString(der)), "neither DER nor PEM"},
		{"CA certificate", root.PEM(), `line 1: a PEM block of type "CERTIFICATE", want "X509 CRL": CA certificates belong in`},
		{"private key", join([]byte("key:\n"), root.KeyPEM()), `line 2: a PEM block of type "PRIVATE KEY", want "X509 CRL": a private key must not be`},
		{"other label", pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), `type "PKCS7"`},
		{"PEM inside of DER certificate", root.Cert.Raw, "byte "},
		{"two lists in PEM", join(text, text), "a second PEM block, and a file holds exactly one list"},
		{"list and certificate", join(text, root.PEM()), "a second PEM block"},
		{"certificate and list", join(root.PEM(), text), `type "CERTIFICATE"`},
		{"damaged list and list", join(damaged, text), "not valid base64"},
		{"two lists in DER", join(der, der), "more than one list in the file"},
		{"two lists in one PEM block", pki.CRLPEM(join(der, der)), "more than one list in the file"},
		{"DER and newline", join(der, []byte("\n")), "unexpected data after the list"},
		{"DER cut short", der[:len(der)-1], "cut short"},
		{"DER header only", der[:4], "cut short"},
		{"DER of indefinite length", unhex("3080 0000"), "cut short or damaged"},
		{"PEM cut short", text[:len(text)/2], "no END line"},
		{"PEM cut in the END line", text[:len(text)-8], "no END line"},
		{"PEM damaged", damaged, "not valid base64"},
		{"PEM of DER cut short", pki.CRLPEM(der[:len(der)-1]), "cut short"},
		{"empty PEM block", pki.CRLPEM(nil), "cut short or damaged"},
		{"PEM with headers", headers, "headers"},
		{"PEM begin line only", []byte("-----BEGIN X509 CRL-----"), "no END line"},
		{"over the limit", make([]byte, crl.MaxSize+1), "over the limit of 134217728"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := crl.Parse(tt.data)
			refused(t, list, err, tt.want)
		})
	}
}

// TestEveryPrefixIsRefused cuts a list everywhere, in both forms.
func TestEveryPrefixIsRefused(t *testing.T) {
	root := pki.NewRoot("root")
	der := root.CRL(1, root.Client("revoked"))
	text := bytes.TrimRight(pki.CRLPEM(der), "\n")
	for _, whole := range [][]byte{der, text} {
		for n := range whole {
			if _, err := crl.Parse(whole[:n]); err == nil {
				t.Errorf("the first %d bytes of %d are accepted", n, len(whole))
			}
		}
	}
}
