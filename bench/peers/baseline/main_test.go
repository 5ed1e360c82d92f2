package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
)

func TestIdentityReplacesWhatTheClientSent(t *testing.T) {
	leaf := pki.NewRoot("root").Client("acme")
	h := http.Header{"X-Amzn-Mtls-Clientcert-Subject": {"CN=somebody else", "CN=and another"}}
	identify(h, leaf.Cert)
	if got := h["X-Amzn-Mtls-Clientcert-Subject"]; len(got) != 1 || !strings.Contains(got[0], "CN=acme") {
		t.Errorf("subject %q", got)
	}
	text, err := url.PathUnescape(h.Get("X-Amzn-Mtls-Clientcert-Leaf"))
	if err != nil || text != string(leaf.PEM()) {
		t.Errorf("leaf %q, %v", text, err)
	}
	for _, name := range []string{"Serial-Number", "Issuer", "Validity"} {
		if h.Get("X-Amzn-Mtls-Clientcert-"+name) == "" {
			t.Errorf("no %s", name)
		}
	}
}
