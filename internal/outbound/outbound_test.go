package outbound

import (
	"net/netip"
	"testing"
)

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"192.0.2.1": true, "8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false, "fe80::1": false, "fd00:ec2::254": false,
		"64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "::": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestAllows(t *testing.T) {
	h, err := NewHosts([]string{"a.example", "B.example:8080", "127.0.0.1:9000"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"http://a.example/x": true, "https://A.example/x": true, "http://a.example:80/": true, "https://a.example:443/": true,
		"http://a.example:443/": false, "http://a.example:8080/": false, "http://b.example:8080/": true, "http://b.example/": false,
		"http://127.0.0.1:9000/": true, "http://127.0.0.1/": false, "http://a.example.evil/": false, "http://u@a.example/": false,
		"ldap://a.example/": false, "": false, "://": false, "http://": false, "file:///etc/passwd": false,
	} {
		if got := h.Allows(address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
	for _, bad := range []string{"http://a/", "a/b", "", "u@a", "a b"} {
		if _, err := NewHosts([]string{bad}); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
	if _, err := NewHosts(make([]string, MaxHosts+1)); err == nil {
		t.Error("too many hosts are taken")
	}
}
