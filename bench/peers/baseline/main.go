// Command baseline is what a careful person writes in an afternoon with Go's
// standard library: net/http, httputil.ReverseProxy and
// tls.RequireAndVerifyClientCert. It is the measure of what Postern's own code
// is worth. It reads no CRL.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	address := flag.String("address", "127.0.0.1:8443", "`address` to listen on")
	backend := flag.String("backend", "http://127.0.0.1:9000", "`URL` to forward to")
	cert := flag.String("cert", "", "server chain, PEM `file`")
	key := flag.String("key", "", "server key, PEM `file`")
	clientCA := flag.String("client-ca", "", "what clients must lead to, PEM `file`")
	tickets := flag.Bool("tickets", true, "issue session tickets")
	flag.Parse()
	if err := run(*address, *backend, *cert, *key, *clientCA, *tickets); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		os.Exit(1)
	}
}

func run(address, backend, cert, key, clientCA string, tickets bool) error {
	target, err := url.Parse(backend)
	if err != nil {
		return fmt.Errorf("reading backend: %w", err)
	}
	data, err := os.ReadFile(clientCA)
	if err != nil {
		return fmt.Errorf("reading client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return errors.New("reading client CA: no certificate in the file")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("/", proxy(target))
	server := &http.Server{
		Addr: address, Handler: mux,
		ErrorLog:          log.New(io.Discard, "", 0), // no server of a comparison logs
		ReadHeaderTimeout: 20 * time.Second,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			SessionTicketsDisabled: !tickets,
		},
	}
	return server.ListenAndServeTLS(cert, key)
}

// proxy forwards with the same headers that the other servers are told to set.
func proxy(target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			identify(r.Out.Header, r.In.TLS.PeerCertificates[0])
		},
	}
}

func identify(h http.Header, leaf *x509.Certificate) {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	h.Set("X-Amzn-Mtls-Clientcert-Serial-Number", fmt.Sprintf("%X", leaf.SerialNumber))
	h.Set("X-Amzn-Mtls-Clientcert-Issuer", leaf.Issuer.String())
	h.Set("X-Amzn-Mtls-Clientcert-Subject", leaf.Subject.String())
	h.Set("X-Amzn-Mtls-Clientcert-Validity",
		"NotBefore="+leaf.NotBefore.Format(time.RFC3339)+";NotAfter="+leaf.NotAfter.Format(time.RFC3339))
	h.Set("X-Amzn-Mtls-Clientcert-Leaf", url.PathEscape(string(block)))
}
