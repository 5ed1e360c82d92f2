package main

import (
	"net"
	"net/http"
	"testing"

	"github.com/postern-lb/postern/examples/internal/story"
)

func TestStory(t *testing.T) {
	s := story.New(t)
	address := story.FreeAddress(t)
	s.Run(s.Config("postern.yaml", map[string]string{
		"127.0.0.1:8443": address,
		"127.0.0.1:9001": story.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(r.Header.Get("X-Amzn-Mtls-Clientcert-Subject") + " from " + r.Header.Get("X-Forwarded-For")))
		})),
	}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go forward(ln, address, "vpce-0123456789abcdef0")
	front := "https://" + ln.Addr().String()

	status, body := s.Request("acme-1", "GET", front+"/")
	if want := "CN=acme-1,O=Postern from 127.0.0.1"; status != 200 || body != want {
		t.Errorf("through the load balancer in front: status %d, %q, want %q", status, body, want)
	}
	s.AwaitLog("connection.log", `"vpce_id":"vpce-0123456789abcdef0"`)
	s.AwaitLog("access.log", `"vpce_id":"vpce-0123456789abcdef0"`)
	if status, body := s.Request("", "GET", front+"/"); status != 0 {
		t.Errorf("without a certificate: status %d, %q", status, body)
	}
	if status, body := s.Request("acme-1", "GET", "https://"+address+"/"); status != 0 {
		t.Errorf("without a PROXY header: status %d, %q", status, body)
	}
	s.AwaitLog("connection.log", "header_missing")
}

func TestUntrustedSource(t *testing.T) {
	s := story.New(t)
	address := story.FreeAddress(t)
	s.Run(s.Config("postern.yaml", map[string]string{
		"127.0.0.1:8443": address, "127.0.0.1/32": "192.0.2.0/24",
	}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go forward(ln, address, "vpce-0123456789abcdef0")
	if status, body := s.Request("acme-1", "GET", "https://"+ln.Addr().String()+"/"); status != 0 {
		t.Errorf("a header from an untrusted source: status %d, %q", status, body)
	}
	s.AwaitLog("connection.log", "untrusted_source")
}
