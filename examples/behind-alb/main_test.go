package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-lb/postern/examples/internal/story"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func TestStory(t *testing.T) {
	s := story.New(t)
	handler, err := newHandler(filepath.Join(s.Dir, "pki", "ca-bundle.pem"), "127.0.0.1/32")
	if err != nil {
		t.Fatal(err)
	}
	address, program := story.FreeAddress(t), story.Serve(t, handler)
	s.Run(s.Config("postern.yaml", map[string]string{"127.0.0.1:8443": address, "127.0.0.1:9001": program}))
	for client, want := range map[string]string{
		"acme-1": "hello CN=acme-1,O=Postern", "globex": "hello CN=globex,O=Postern",
		"mallory": "client certificate refused", "": "client certificate refused",
	} {
		status, body := s.Request(client, "GET", "https://"+address+"/")
		if strings.TrimSpace(body) != want || (status == 200) != strings.HasPrefix(want, "hello") {
			t.Errorf("%q is answered %d %q, want %q", client, status, body, want)
		}
	}
}

// What a client says of itself does not get through.
func TestForgedHeader(t *testing.T) {
	s := story.New(t)
	handler, err := newHandler(filepath.Join(s.Dir, "pki", "ca-bundle.pem"), "127.0.0.1/32")
	if err != nil {
		t.Fatal(err)
	}
	address, program := story.FreeAddress(t), story.Serve(t, handler)
	s.Run(s.Config("postern.yaml", map[string]string{"127.0.0.1:8443": address, "127.0.0.1:9001": program}))
	req, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amzn-Mtls-Clientcert", trust.EncodeChain(pki.NewRoot("Partners CA").Client("acme-1").Chain()))
	resp, err := s.Client("acme-1").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the header of the client was believed, or came beside the load balancer's: status %d", resp.StatusCode)
	}
}

func TestFaults(t *testing.T) {
	s := story.New(t)
	for _, args := range [][2]string{{"absent.pem", "127.0.0.1/32"}, {"main.go", "127.0.0.1/32"}, {filepath.Join(s.Dir, "pki", "ca-bundle.pem"), "nowhere"}} {
		if _, err := newHandler(args[0], args[1]); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
