package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-lb/postern/examples/internal/story"
)

func TestListener(t *testing.T) {
	s := story.New(t)
	in := func(name string) string { return filepath.Join(s.Dir, "pki", name) }
	ln, err := open(files{in("ca-bundle.pem"), in("server.pem"), in("server-key.pem")}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ln.Run(ctx) }()
	url := "https://" + ln.Addr().String() + "/"
	for client, want := range map[string]string{
		"acme-1":  "you are CN=acme-1,O=Postern",
		"mallory": `{"message":"Forbidden"}`,
		"":        `{"message":"Forbidden"}`,
	} {
		if _, body := s.Request(client, "GET", url); !strings.Contains(body, want) {
			t.Errorf("%q got %q, want %q", client, body, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestOpenRefusesWhatIsNoBundle(t *testing.T) {
	s := story.New(t)
	in := func(name string) string { return filepath.Join(s.Dir, "pki", name) }
	if _, err := open(files{in("partners.crl"), in("server.pem"), in("server-key.pem")}, "127.0.0.1:0"); err == nil {
		t.Error("a revocation list was taken for a bundle")
	}
}
