package listener

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
)

// MaxForwardedFor is the number of addresses that X-Forwarded-For may hold when
// a request arrives (ALB, "Troubleshoot your Application Load Balancers"). With
// more the answer is 463.
const MaxForwardedFor = 30

// forwardedAddress writes the client's address as ALB does: IPv6 bare, or in
// brackets if the port follows. No zone, and IPv4 always in its own form.
func forwardedAddress(client netip.AddrPort, withPort bool) string {
	addr := client.Addr().Unmap().WithZone("")
	if withPort {
		return netip.AddrPortFrom(addr, client.Port()).String()
	}
	return addr.String()
}

// setForwardedFor treats X-Forwarded-For by the mode. If the client's address is
// not known, append removes the header: the last address in it, which targets
// take for what the load balancer saw, would be one that the client wrote.
func (c *ConnectionHeaders) setForwardedFor(h http.Header) {
	switch {
	case c.mode == ForwardedPreserve:
	case c.mode == ForwardedRemove || c.client == "":
		delete(h, headerForwardedFor)
	case len(h[headerForwardedFor]) == 0:
		h[headerForwardedFor] = c.alone
	default:
		h[headerForwardedFor] = []string{joinForwarded(h[headerForwardedFor], c.client)}
	}
}

// joinForwarded puts client behind the values that are there, all on one line.
func joinForwarded(values []string, client string) string {
	if len(values) == 0 {
		return client
	}
	if len(values) == 1 && values[0] != "" {
		return values[0] + ", " + client
	}
	var b strings.Builder
	for _, value := range values {
		if value = textproto.TrimString(value); value != "" {
			b.WriteString(value)
			b.WriteString(", ")
		}
	}
	b.WriteString(client)
	return b.String()
}

// countForwarded returns the number of addresses in X-Forwarded-For. Empty
// places do not count.
func countForwarded(h http.Header) int {
	n := 0
	for _, value := range h[headerForwardedFor] {
		for value != "" {
			var address string
			address, value, _ = strings.Cut(value, ",")
			if textproto.TrimString(address) != "" {
				n++
			}
		}
	}
	return n
}
