// Package outbound asks servers that certificates name, without being led astray: it goes
// to hosts on a list only, without redirects and proxies, and to private addresses only
// if the list has them as addresses.
package outbound

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// MaxHosts is how many hosts may be listed, and maxURL the longest address that is followed.
const (
	MaxHosts = 100
	maxURL   = 2048
)

// Hosts is a list of hosts that may be asked. It is immutable once NewHosts returned it.
type Hosts struct{ allowed map[string]bool }

// NewHosts makes a list of HOST, for the usual ports, and HOST:PORT. The error names the
// one that is neither.
func NewHosts(list []string) (*Hosts, error) {
	if len(list) > MaxHosts {
		return nil, fmt.Errorf("%d hosts are listed; at most %d are allowed", len(list), MaxHosts)
	}
	h := &Hosts{allowed: make(map[string]bool, len(list))}
	for _, host := range list {
		if u, err := url.Parse("http://" + host); err != nil || u.Host != host || u.Hostname() == "" {
			return nil, fmt.Errorf("%q is no host: write HOST or HOST:PORT", host)
		}
		h.allowed[strings.ToLower(host)] = true
	}
	return h, nil
}

// SpeaksHTTP reports whether u is an http or https address without a user in it.
func SpeaksHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// Allows reports whether an address is one that may be asked.
func (h *Hosts) Allows(address string) bool {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL || !SpeaksHTTP(u) {
		return false
	}
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	host := strings.ToLower(u.Hostname())
	if u.Port() == "" || u.Port() == usual {
		return h.allowed[host] || h.allowed[host+":"+usual]
	}
	return h.allowed[strings.ToLower(u.Host)]
}

// Client returns a client that goes where it is sent and nowhere else.
func (h *Hosts) Client(dial time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: dial, Control: func(_, address string, _ syscall.RawConn) error { return h.mayDial(address) }}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: dial, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// mayDial refuses addresses that a name on the list must not lead to: whoever has the
// name could otherwise have us ask this machine, or the metadata service of a cloud.
// Whoever means them writes the address itself into the list.
func (h *Hosts) mayDial(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if isPublic(ip) || h.allowed[address] || h.allowed[ip.String()] || h.allowed[at.String()] {
		return nil
	}
	return fmt.Errorf("%s is not a public address: if it is meant, write it into allowed_hosts, with its port if that is not the usual one", ip)
}

// isPublic reports whether an address is one of the Internet at large: not of this machine,
// its network or a private one, nor one that stands for such (RFC 6598, RFC 6052).
func isPublic(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16",
	} {
		if netip.MustParsePrefix(p).Contains(ip) {
			return false
		}
	}
	return true
}
