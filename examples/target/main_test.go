package main

import (
	"net/http/httptest"
	"testing"
)

func TestEchoShowsIdentityOnly(t *testing.T) {
	r := httptest.NewRequest("GET", "/orders/7", nil)
	r.Header.Set("X-Amzn-Mtls-Clientcert-Subject", "CN=acme-1")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	r.Header.Set("Authorization", "secret")
	w := httptest.NewRecorder()
	echo("orders").ServeHTTP(w, r)
	want := "orders got GET /orders/7\nX-Amzn-Mtls-Clientcert-Subject: CN=acme-1\nX-Forwarded-For: 192.0.2.1\n"
	if got := w.Body.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
