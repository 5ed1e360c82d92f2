package listener

import "strconv"

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
		name, _ := splitHostPort(c.Authority)
		return lowerASCII(name)
	}
	name, _ := splitHostPort(orElse(c.Header, c.Fallback))
	name = lowerASCII(name)
	if name == "" || c.Port == 80 || c.Port == 443 {
		return name
	}
	return name + ":" + strconv.Itoa(int(c.Port))
}
