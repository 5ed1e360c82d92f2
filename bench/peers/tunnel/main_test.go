package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

// TestPass sends bytes through a tunnel to a server that wants a certificate.
func TestPass(t *testing.T) {
	root := pki.NewRoot("Tunnel Root")
	client := root.Client("tunnel")
	dir := t.TempDir()
	for name, text := range map[string][]byte{"ca": root.PEM(), "cert": client.ChainPEM(), "key": client.KeyPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := clientConfig(filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.ServerName = "localhost"
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root.PEM())
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{root.Server("localhost").TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		if nc, err := server.Accept(); err == nil {
			io.Copy(nc, nc)
			nc.Close()
		}
	}()

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if nc, err := ln.Accept(); err == nil {
			pass(nc.(*net.TCPConn), server.Addr().String(), cfg)
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sent := bytes.Repeat([]byte("through"), 10_000)
	go func() {
		nc.Write(sent)
		nc.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(nc)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
	}
}
