package listener

import (
	"strconv"
	"strings"
)

// A HostChoice is what the Host header towards a target is made from.
type HostChoice struct {
	// Header is the client's Host header, or :authority.
	Header string
	// Authority is the host in a request target of absolute form; empty for
	// other forms.
	Authority string
	// Port is the listener's.
	Port uint16
	// Preserve passes Header on unchanged (preserve_host_header).
	Preserve bool
	// Fallback is the load balancer's own name, for HTTP/1.0 without Host.
	Fallback string
}

// TargetHost returns the Host that a target gets (ALB, "Application Load
// Balancers", Host header preservation). Preserved, it is the client's. If not:
// the host of an absolute target without port; else the client's in lower case,
// with the port the client gave removed and the listener's added unless that is
// 80 or 443.
func TargetHost(c HostChoice) string {
	if c.Preserve && c.Header != "" {
		return c.Header
	}
	if c.Authority != "" {
		name := withoutPort(c.Authority)
		return lowerASCII(name)
	}
	name := withoutPort(orElse(c.Header, c.Fallback))
	name = lowerASCII(name)
	if name == "" || c.Port == 80 || c.Port == 443 {
		return name
	}
	return name + ":" + strconv.Itoa(int(c.Port))
}

// A hostMemo remembers one choice: the requests of a listener have few hosts.
type hostMemo struct {
	choice HostChoice
	host   string
}

// choose is TargetHost with the address of c's socket to fall back on.
func (m *hostMemo) choose(choice HostChoice, c *conn) string {
	if choice.Header == "" && choice.Authority == "" {
		choice.Fallback = c.local.Addr().String()
	}
	if m.host != "" && m.choice == choice {
		return m.host
	}
	host := TargetHost(choice)
	if len(choice.Header)+len(choice.Authority) <= maxMemoHost {
		choice.Header, choice.Authority = strings.Clone(choice.Header), strings.Clone(choice.Authority)
		m.choice, m.host = choice, strings.Clone(host)
	}
	return host
}

// maxMemoHost is how long a name, in bytes, may be to be remembered. It is copied,
// or all of its request's head would be kept with it.
const maxMemoHost = 255
