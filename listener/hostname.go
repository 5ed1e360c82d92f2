package listener

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxHostLength is the greatest length in bytes of a normalised host name, and
// maxHostLabel that of one label (RFC 1035, section 2.3.4).
const (
	MaxHostLength = 253
	maxHostLabel  = 63
)

// maxHostInput bounds what is looked at before any of it is decoded: a name in
// any spelling, dots and a port included, is well below it.
const maxHostInput = 4 * MaxHostLength

// NormalizeHost returns the one spelling of a host that certificate choice, TLS
// policy and rules compare. Whatever a client sends as SNI, as Host or as
// :authority goes through here and nowhere else, so that two spellings of a name
// cannot get two policies.
//
// A port is removed, then one trailing dot; letters become lower case, Unicode
// becomes A-labels by UTS 46 without transitional mapping. An IP address becomes
// the text of netip.Addr: IPv6 without brackets, IPv4-mapped as IPv4. Underscores
// are kept, as ALB does. A-labels that arrive as such are compared as they are.
//
// Refused are: an empty host, an empty label, labels over 63 bytes and names
// over [MaxHostLength], any character but letters, digits, hyphen, underscore
// and dot (wildcards and controls too), a name that ends in a number but is
// no IPv4 address, IPv6 zones, and a port that is no number below 65536. The
// result of a failed call is empty.
//
// It allocates nothing if s is in normal form already, with or without a port.
// It is safe for concurrent use.
func NormalizeHost(s string) (string, error) {
	if len(s) > maxHostInput {
		return "", fmt.Errorf("host of %d bytes is longer than %d", len(s), maxHostInput)
	}
	if addr, ok, err := bracketedOrIPv6(s); ok || err != nil {
		return addr, err
	}
	host, err := cutPort(s)
	if err != nil {
		return "", err
	}
	if !isASCII(host) {
		if host, err = toALabels(host); err != nil {
			return "", err
		}
	}
	return normalizeASCII(strings.TrimSuffix(host, "."))
}

// IsIPHost reports whether a result of [NormalizeHost] is an IP address.
func IsIPHost(normalized string) bool {
	return strings.IndexByte(normalized, ':') >= 0 || endsInNumber(normalized)
}

// NormalizeHostPattern normalises a name that may begin with "*.", as
// certificates and policies have it. For a wildcard it returns the name below
// it: such a pattern covers exactly one further label, and not that name itself
// (RFC 9525, section 6.3). A star anywhere else, and one in front of an IP
// address, is refused.
func NormalizeHostPattern(s string) (host string, wildcard bool, err error) {
	rest, wildcard := strings.CutPrefix(s, "*.")
	host, err = NormalizeHost(rest)
	if err != nil {
		return "", false, err
	}
	if wildcard && IsIPHost(host) {
		return "", false, fmt.Errorf("pattern %q has a wildcard in front of an IP address", s)
	}
	return host, wildcard, nil
}

// parentHost returns the name that a wildcard covering host would stand in
// front of; false for a single label and for addresses.
func parentHost(host string) (string, bool) {
	if IsIPHost(host) {
		return "", false
	}
	_, parent, ok := strings.Cut(host, ".")
	return parent, ok
}

// bracketedOrIPv6 handles the forms that hold more than one colon; ok is false
// if s is none of them.
func bracketedOrIPv6(s string) (addr string, ok bool, err error) {
	inner := s
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", false, fmt.Errorf("host %q has no closing bracket", s)
		}
		port := s[end+1:]
		if port != "" && (port[0] != ':' || !isHostPort(port[1:])) {
			return "", false, fmt.Errorf("host %q has %q after the bracket, want a port", s, port)
		}
		inner = s[1:end]
		if strings.IndexByte(inner, ':') < 0 {
			return "", false, fmt.Errorf("host %q has brackets around something else than IPv6", s)
		}
	} else if strings.Count(s, ":") < 2 {
		return "", false, nil
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || ip.Zone() != "" {
		return "", false, fmt.Errorf("host %q is not an IPv6 address without zone", s)
	}
	return ipText(ip, inner), true, nil
}

// ipText returns addr as text: given itself if that is the text already.
func ipText(addr netip.Addr, given string) string {
	var buf [64]byte
	text := addr.Unmap().AppendTo(buf[:0])
	if string(text) == given {
		return given
	}
	return string(text)
}

// cutPort removes ":" and a port from a host that holds at most one colon. The
// port may be empty (RFC 3986, section 3.2.3).
func cutPort(s string) (string, error) {
	host, port, found := strings.Cut(s, ":")
	if found && !isHostPort(port) {
		return "", fmt.Errorf("port %q in host %q is not a number below 65536", port, s)
	}
	return host, nil
}

func isHostPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n < 65536
}

// normalizeASCII checks a name that has neither port nor trailing dot.
func normalizeASCII(host string) (string, error) {
	if host == "" {
		return "", errors.New("host is empty")
	}
	if len(host) > MaxHostLength {
		return "", fmt.Errorf("host of %d bytes is longer than %d", len(host), MaxHostLength)
	}
	upper, label := false, 0
	for i := range len(host) {
		c := host[i]
		if c == '.' {
			if label == 0 {
				return "", fmt.Errorf("host %q has an empty label", host)
			}
			label = 0
			continue
		}
		if !isHostNameByte(c) {
			return "", fmt.Errorf("host %q has %q at byte %d; want letters, digits, hyphen, underscore and dot", host, c, i)
		}
		upper = upper || 'A' <= c && c <= 'Z'
		if label++; label > maxHostLabel {
			return "", fmt.Errorf("host %q has a label longer than %d bytes", host, maxHostLabel)
		}
	}
	if label == 0 {
		return "", fmt.Errorf("host %q has an empty label", host)
	}
	if endsInNumber(host) {
		return normalizeIPv4(host)
	}
	if upper {
		return strings.ToLower(host), nil
	}
	return host, nil
}

// normalizeIPv4 refuses names that some parsers take for an IPv4 address and
// others do not, such as "127.1" and "010.0.0.1".
func normalizeIPv4(host string) (string, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", fmt.Errorf("host %q ends in a number but is not an IPv4 address of four decimal parts", host)
	}
	return ipText(addr, host), nil
}

// endsInNumber reports whether the last label is a number, decimal or
// hexadecimal with "0x": what URL parsers take for IPv4. The name has no
// trailing dot.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if len(last) >= 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X') {
		return strings.Trim(last[2:], "0123456789abcdefABCDEF") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isHostNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// toALabels maps and encodes a name as idna.Lookup does, but for underscores,
// which StrictDomainName would refuse. The result must still be checked like any
// other name, since mapping makes dots, digits and colons from wide forms of
// them. Only names with non-ASCII bytes pay for this; clients send none in Host.
func toALabels(host string) (string, error) {
	// The profile encodes a replacement character in place of invalid bytes, so
	// that different names would become one.
	if !utf8.ValidString(host) || strings.ContainsRune(host, utf8.RuneError) {
		return "", fmt.Errorf("host %q is not valid UTF-8", host)
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
	name, err := profile.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("converting host %q to A-labels: %w", host, err)
	}
	return name, nil
}
