package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A kind is what a value of a filter is compared with.
type kind int

const (
	kindSubjectCN kind = iota
	kindSubjectOU
	kindSubjectO
	kindSANDNS
	kindSANURI
	kindSANEmail
	kindSANIP
	kindSPIFFEID
	kindSPIFFETrustDomain
	kindIssuer
	kindSerial
	kindSHA256
	kindSPKISHA256
	kindCount
)

// kinds holds for each kind its config key, its values, and how one of them is
// brought to the form in which facts are kept. Literal kinds have no wildcards.
var kinds = [kindCount]struct {
	key       string
	values    func(*FilterConfig) []string
	literal   bool
	normalize func(text string) (normal, problem string)
}{
	kindSubjectCN:         {"subject_cn", func(c *FilterConfig) []string { return c.SubjectCN }, false, plainValue},
	kindSubjectOU:         {"subject_ou", func(c *FilterConfig) []string { return c.SubjectOU }, false, plainValue},
	kindSubjectO:          {"subject_o", func(c *FilterConfig) []string { return c.SubjectO }, false, plainValue},
	kindSANDNS:            {"san_dns", func(c *FilterConfig) []string { return c.SANDNS }, false, dnsValue},
	kindSANURI:            {"san_uri", func(c *FilterConfig) []string { return c.SANURI }, false, plainValue},
	kindSANEmail:          {"san_email", func(c *FilterConfig) []string { return c.SANEmail }, false, emailValue},
	kindSANIP:             {"san_ip", func(c *FilterConfig) []string { return c.SANIP }, true, plainValue},
	kindSPIFFEID:          {"spiffe_id", func(c *FilterConfig) []string { return c.SPIFFEID }, false, spiffeValue},
	kindSPIFFETrustDomain: {"spiffe_trust_domain", func(c *FilterConfig) []string { return c.SPIFFETrustDomain }, false, domainValue},
	kindIssuer:            {"issuer", func(c *FilterConfig) []string { return c.Issuer }, false, plainValue},
	kindSerial:            {"serial", func(c *FilterConfig) []string { return c.Serial }, true, serialValue},
	kindSHA256:            {"sha256", func(c *FilterConfig) []string { return c.SHA256 }, true, digestValue},
	kindSPKISHA256:        {"spki_sha256", func(c *FilterConfig) []string { return c.SPKISHA256 }, true, digestValue},
}

func (k kind) key() string { return kinds[k].key }

func (c *FilterConfig) values(k kind) []string { return kinds[k].values(c) }

func kindKeys() string {
	var keys []string
	for k := range kindCount {
		keys = append(keys, k.key())
	}
	return strings.Join(keys, ", ")
}

// checkText refuses what no value may be.
func checkText(text string) string {
	if text == "" {
		return "a value must not be empty"
	}
	if len(text) > MaxPatternBytes {
		return fmt.Sprintf("pattern of %d bytes is longer than %d", len(text), MaxPatternBytes)
	}
	if odd(text) {
		return fmt.Sprintf("pattern %s holds a control character or is not UTF-8", quote(text))
	}
	return ""
}

// odd reports whether text holds a control character or is not UTF-8.
func odd(text string) bool {
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == 0xFFFD {
			return true
		}
	}
	return false
}

func hasWildcard(text string) bool { return strings.ContainsAny(text, "*?") }

func plainValue(text string) (string, string) { return text, "" }

// dnsValue also brings names of certificates to their form. A dot at the end
// changes nothing about which name it is.
func dnsValue(text string) (string, string) {
	if strings.IndexFunc(text, func(r rune) bool { return r > 0x7e || r <= ' ' }) >= 0 {
		return "", fmt.Sprintf("DNS pattern %s must be ASCII without spaces; write an international name in its xn-- form", quote(text))
	}
	return strings.ToLower(strings.TrimSuffix(text, ".")), ""
}

// emailValue leaves the case of the mailbox, which is its host's affair (RFC 5280,
// section 7.5).
func emailValue(text string) (string, string) {
	mailbox, host, _ := strings.Cut(text, "@")
	if mailbox == "" || host == "" || strings.Contains(host, "@") {
		return "", fmt.Sprintf("%s is no email address: write one such as *@example.com", quote(text))
	}
	return mailbox + "@" + strings.ToLower(host), ""
}

// spiffeValue allows wildcards behind the trust domain only: as they stand for
// slashes too, one in front would let any trust domain pass.
func spiffeValue(text string) (string, string) {
	literal := text
	if at := strings.IndexAny(text, "*?"); at >= 0 {
		literal = text[:at]
		rest, ok := strings.CutPrefix(literal, spiffeScheme)
		slash := strings.IndexByte(rest, '/')
		if !ok || slash < 0 {
			return "", fmt.Sprintf("%s must name its trust domain without wildcards, as in spiffe://example.org/*; "+
				"for any SPIFFE ID of several use spiffe_trust_domain", quote(text))
		}
		literal = spiffeScheme + rest[:slash]
	}
	if _, err := spiffeid.FromString(literal); err != nil {
		return "", fmt.Sprintf("%s is no SPIFFE ID: %v", quote(text), err)
	}
	return text, ""
}

func domainValue(text string) (string, string) {
	text = strings.ToLower(strings.TrimPrefix(text, spiffeScheme))
	for i := range len(text) {
		if b := text[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && strings.IndexByte("-._*?", b) < 0 {
			return "", fmt.Sprintf("%s is no trust domain: write one such as example.org", quote(text))
		}
	}
	return text, ""
}

func serialValue(text string) (string, string) {
	digits := strings.ReplaceAll(text, ":", "")
	for i := range len(digits) {
		if !isHexDigit(digits[i]) {
			return "", fmt.Sprintf("%s is no serial number: write it in hexadecimal, as X-Amzn-Mtls-Clientcert-Serial-Number has it", quote(text))
		}
	}
	if digits == "" {
		return "", "a serial number needs a digit"
	}
	return canonicalSerial(strings.ToUpper(digits)), ""
}

// canonicalSerial has no zeros in front.
func canonicalSerial(upper string) string {
	if short := strings.TrimLeft(upper, "0"); short != "" {
		return short
	}
	return "0"
}

func isHexDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

// digestValue returns the 32 bytes of a SHA-256.
func digestValue(text string) (string, string) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil || len(raw) != sha256.Size {
		return "", fmt.Sprintf("%s is no SHA-256: write 64 hexadecimal digits, or base64", quote(text))
	}
	return string(raw), ""
}

// A valueSet is the values of one kind, in the form of facts.
type valueSet struct {
	exact    map[string]struct{}
	patterns []*pattern

	addresses map[netip.Addr]struct{}
	ranges    []netip.Prefix
}

func (s *valueSet) add(k kind, text string) (problem string) {
	if problem := checkText(text); problem != "" {
		return problem
	}
	if k == kindSANIP {
		return s.addAddress(text)
	}
	normal, problem := kinds[k].normalize(text)
	switch {
	case problem != "":
		return problem
	case hasWildcard(normal) && !kinds[k].literal:
		s.patterns = append(s.patterns, compile(normal))
	case s.exact == nil:
		s.exact = map[string]struct{}{normal: {}}
	default:
		s.exact[normal] = struct{}{}
	}
	return ""
}

func (s *valueSet) addAddress(text string) (problem string) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		if s.addresses == nil {
			s.addresses = make(map[netip.Addr]struct{})
		}
		s.addresses[addr.Unmap()] = struct{}{}
		return ""
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is no IP address or range: write one such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32", quote(text))
	case prefix != prefix.Masked():
		return fmt.Sprintf("%s has address bits beyond its length: write %s", quote(text), prefix.Masked())
	case prefix.Addr().Is4In6():
		return fmt.Sprintf("%s is an IPv4 range in IPv6 form: write it as IPv4", quote(text))
	}
	s.ranges = append(s.ranges, prefix)
	return ""
}

func (s *valueSet) values() int { return len(s.exact) + len(s.addresses) }

func (s *valueSet) scans() int { return len(s.patterns) + len(s.ranges) }

func (s *valueSet) has(text string) bool {
	if _, ok := s.exact[text]; ok {
		return true
	}
	for _, p := range s.patterns {
		if p.match(text) {
			return true
		}
	}
	return false
}

func (s *valueSet) hasAny(texts []string) bool {
	for _, text := range texts {
		if s.has(text) {
			return true
		}
	}
	return false
}

func (s *valueSet) hasAll(texts []string) bool {
	for _, text := range texts {
		if !s.has(text) {
			return false
		}
	}
	return len(texts) > 0
}

func (s *valueSet) hasAddress(addresses []netip.Addr) bool {
	for _, a := range addresses {
		if _, ok := s.addresses[a]; ok {
			return true
		}
		for _, r := range s.ranges {
			if r.Contains(a) {
				return true
			}
		}
	}
	return false
}
