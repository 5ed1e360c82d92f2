package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func TestFilesFitTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if err := write(dir, files(50, nil, keyOptions(true))); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{
		{"server.pem", "server-key.pem"}, {"client.pem", "client-key.pem"},
		{"sub.pem", "sub-key.pem"}, {"server-all.pem", "server-all.pem"},
	} {
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])); err != nil {
			t.Errorf("%v: %v", pair, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "all.crl"))
	if err != nil {
		t.Fatal(err)
	}
	var revoked []int
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		revoked = append(revoked, len(list.RevokedCertificateEntries))
	}
	if len(revoked) != 2 || revoked[0] != 0 || revoked[1] != 50 {
		t.Errorf("lists revoke %v, want none and 50", revoked)
	}
	if info, err := os.Stat(filepath.Join(dir, "server-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v, %v", info.Mode(), err)
	}
}

func TestNoFolderIsAnError(t *testing.T) {
	if err := write("", nil); err == nil {
		t.Error("no error")
	}
}
