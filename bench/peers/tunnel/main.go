// Command tunnel lets a tool that has no client certificate speak to a server that
// wants one: what it accepts over TCP it passes on over mutual TLS, with ALPN h2.
//
//	tunnel -address 127.0.0.1:9000 -to 127.0.0.1:8443 -ca root.pem -cert client.pem -key client-key.pem
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "`address` to listen on")
	to := flag.String("to", "", "`host:port` of the server")
	name := flag.String("server-name", "localhost", "SNI and `name` to expect")
	ca := flag.String("ca", "", "what the server must lead to, PEM `file`")
	cert := flag.String("cert", "", "client chain, PEM `file`")
	key := flag.String("key", "", "client key, PEM `file`")
	flag.Parse()
	cfg, err := clientConfig(*ca, *cert, *key)
	if err == nil {
		cfg.ServerName = *name
		err = run(*address, *to, cfg)
	}
	fmt.Fprintln(os.Stderr, "tunnel:", err)
	os.Exit(1)
}

func clientConfig(ca, cert, key string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", ca)
	}
	client, err := tls.LoadX509KeyPair(cert, key)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{client}, NextProtos: []string{"h2"}}, err
}

func run(address, to string, cfg *tls.Config) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go pass(nc.(*net.TCPConn), to, cfg)
	}
}

// pass copies both ways, and hands on which side ended.
func pass(plain *net.TCPConn, to string, cfg *tls.Config) {
	defer plain.Close()
	secure, err := tls.Dial("tcp", to, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tunnel:", err)
		return
	}
	defer secure.Close()
	go func() {
		io.Copy(secure, plain)
		secure.CloseWrite()
	}()
	io.Copy(plain, secure)
}
