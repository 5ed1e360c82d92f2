package targetgroup

import "testing"

func TestHostHeaderLeavesOutTheDefaultPort(t *testing.T) {
	for _, tt := range []struct {
		address  string
		protocol Protocol
		want     string
	}{
		{"10.0.0.1:80", HTTP, "10.0.0.1"},
		{"10.0.0.1:443", HTTP, "10.0.0.1:443"},
		{"10.0.0.1:443", HTTPS, "10.0.0.1"},
		{"10.0.0.1:80", HTTPS, "10.0.0.1:80"},
		{"[fd00::1]:80", HTTP, "[fd00::1]"},
		{"[fd00::1]:8080", HTTP, "[fd00::1]:8080"},
		{"api.internal:80", HTTP, "api.internal"},
	} {
		if got := hostHeader(tt.address, tt.protocol); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.protocol, tt.address, got, tt.want)
		}
	}
}
