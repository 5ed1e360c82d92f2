package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// An address is HOST:PORT in one spelling, so that two can be compared.
type address struct {
	host string // lower case; empty and the unspecified addresses are ""
	port int
}

// hostName is a DNS name; underscores occur in the names of containers.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)

// maxHostName is the longest DNS name (RFC 1035, section 2.3.4).
const maxHostName = 253

// parseAddress splits HOST:PORT. The host may be empty.
func parseAddress(s string) (address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return address{}, fmt.Errorf("expected HOST:PORT, found %s", quoteText(s))
	}
	n, err := strconv.Atoi(port)
	if err != nil || !decimal.MatchString(port) || n < 0 || n > 65535 {
		return address{}, fmt.Errorf("the port must be an integer up to 65535; found %s", quoteText(port))
	}
	host, err = canonicalHost(host)
	if err != nil {
		return address{}, err
	}
	return address{host: host, port: n}, nil
}

func canonicalHost(host string) (string, error) {
	if host == "" {
		return "", nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() {
			return "", nil
		}
		return ip.Unmap().String(), nil
	}
	number := strings.Trim(host, "0123456789.") == ""
	if number || len(host) > maxHostName || !hostName.MatchString(host) {
		return "", fmt.Errorf("the host must be an IP address or a DNS name; found %s", quoteText(host))
	}
	return strings.TrimSuffix(strings.ToLower(host), "."), nil
}

// isLoopback reports whether only this machine can reach the address.
func (a address) isLoopback() bool {
	ip, err := netip.ParseAddr(a.host)
	return a.host == "localhost" || err == nil && ip.IsLoopback()
}

// overlaps reports whether both addresses cannot be listened on together. The
// system chooses another port for each port 0.
func (a address) overlaps(b address) bool {
	return a.port != 0 && a.port == b.port && (a.host == b.host || a.host == "" || b.host == "")
}

// reachedAs reports whether b is a way to what listens on a, as far as the two
// say so: names are not looked up, nor the machine's other addresses.
func (a address) reachedAs(b address) bool {
	switch {
	case a.port == 0 || a.port != b.port:
		return false
	case a.host == "" || a.host == "localhost":
		return b.isLoopback()
	}
	return a.host == b.host || b.host == "localhost" && a.isLoopback()
}
