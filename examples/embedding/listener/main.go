// Command listener serves one port with mutual TLS and answers from inside the
// program: no config file, no target, no other process.
//
//	go run ./examples/embedding/listener -bundle ca-bundle.pem -cert server.pem -key server-key.pem
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/targetgroup"
	"github.com/postern-lb/postern/trust"
)

// files names what the program reads.
type files struct{ bundle, cert, key string }

func main() {
	var f files
	flag.StringVar(&f.bundle, "bundle", "ca-bundle.pem", "CA certificates, PEM")
	flag.StringVar(&f.cert, "cert", "server.pem", "the server's certificates, PEM")
	flag.StringVar(&f.key, "key", "server-key.pem", "the server's key, PEM")
	address := flag.String("address", "127.0.0.1:8443", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ln, err := open(f, *address)
	if err == nil {
		err = ln.Run(ctx) // drains when ctx ends
	}
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// open reads the files and binds the address.
func open(f files, address string) (*listener.Listener, error) {
	store, err := newStore(f.bundle)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, err
	}
	policy, err := listener.Compile(listener.Config{
		Name: "embedded", Address: address, Protocol: listener.ProtocolHTTPS, HTTP2: true,
		Certificates: []tls.Certificate{cert},
		MutualAuthentication: listener.MutualAuthentication{
			Mode: listener.ModeVerify, Store: store, OnRefusal: listener.RefuseForbidden,
		},
		DefaultActions: []listener.ActionConfig{{
			Forward: &listener.ForwardConfig{TargetGroups: []listener.WeightedGroup{{Name: "whoami"}}},
		}},
		Backends: map[string]targetgroup.Backend{"whoami": whoami{}},
	}, nil)
	if err != nil {
		return nil, err
	}
	ln := listener.New(policy, slog.Default())
	return ln, ln.Open()
}

// newStore returns a trust store with the certificates of one file and no
// revocation lists. Publish may be called again at any time.
func newStore(bundle string) (*trust.Store, error) {
	data, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	parsed, err := trust.ParseBundle(data, time.Now())
	if err != nil {
		return nil, err
	}
	store := trust.NewStore("embedded", trust.Options{})
	store.Publish(parsed, nil, bundle)
	return store, nil
}

// whoami is a target group without targets: anything that implements
// targetgroup.Backend can stand behind a rule.
type whoami struct{}

// RoundTrip answers with the subject that the listener verified. The header can be
// believed: a client's own has been removed before.
func (whoami) RoundTrip(r *http.Request) (*http.Response, error) {
	body := "you are " + r.Header.Get("X-Amzn-Mtls-Clientcert-Subject") + "\n"
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"text/plain"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}, nil
}

// Health implements targetgroup.Backend; there is nothing to check.
func (whoami) Health() []targetgroup.TargetHealth { return nil }

// Run implements targetgroup.Backend.
func (whoami) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
