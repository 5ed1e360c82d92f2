package trust

import (
	"crypto/x509"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// subtrees are the name constraints of one CA.
type subtrees struct {
	permitted, excluded branch
}

// A branch is the permitted or the excluded subtrees.
type branch struct {
	kinds       uint16 // a bit for each tag that it speaks of
	emails      map[string]bool
	hosts       map[string]bool // of URIs
	directories map[string]bool
}

// newSubtrees reads the constraints; false if they are malformed.
func newSubtrees(ca *x509.Certificate) (*subtrees, bool) {
	s := &subtrees{
		permitted: branch{emails: lowerHosts(ca.PermittedEmailAddresses), hosts: lowerHosts(ca.PermittedURIDomains)},
		excluded:  branch{emails: lowerHosts(ca.ExcludedEmailAddresses), hosts: lowerHosts(ca.ExcludedURIDomains)},
	}
	var both, list cryptobyte.String
	der := cryptobyte.String(extension(ca, oidNameConstraints))
	if !der.ReadASN1(&both, cbasn1.SEQUENCE) {
		return nil, false
	}
	for tag, b := range []*branch{&s.permitted, &s.excluded} {
		var present bool
		if !both.ReadOptionalASN1(&list, &present, cbasn1.Tag(tag).ContextSpecific().Constructed()) || present && !b.read(list) {
			return nil, false
		}
	}
	return s, both.Empty()
}

// read takes in what x509 does not keep: kinds, and directory names.
func (b *branch) read(list cryptobyte.String) bool {
	b.directories = make(map[string]bool)
	for !list.Empty() {
		var subtree, base cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadASN1(&subtree, cbasn1.SEQUENCE) || !subtree.ReadAnyASN1(&base, &tag) || !subtree.Empty() || nameTag(tag) > 15 {
			return false
		}
		b.kinds |= 1 << nameTag(tag)
		if nameTag(tag) == tagDirectory {
			directory, ok := normalName(base)
			if !ok {
				return false
			}
			b.directories[directory] = true
		}
	}
	return true
}

// lowerHosts makes a set of the constraints, in which hosts are in lower case.
func lowerHosts(constraints []string) map[string]bool {
	set := make(map[string]bool, len(constraints))
	for _, c := range constraints {
		local, host, isMailbox := cutEmail(c)
		if !isMailbox {
			set[strings.ToLower(c)] = true
			continue
		}
		set[local+"@"+strings.ToLower(host)] = true
	}
	return set
}

// cutEmail splits an address. A local part in quotes (RFC 5321, 4.1.2) is
// returned as it is without them.
func cutEmail(s string) (local, host string, ok bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", s, false
	}
	local, host = s[:at], s[at+1:]
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local, host, true
	}
	var plain strings.Builder
	for inner := local[1 : len(local)-1]; inner != ""; inner = inner[1:] {
		if inner[0] == '\\' && len(inner) > 1 {
			inner = inner[1:]
		}
		plain.WriteByte(inner[0])
	}
	return plain.String(), host, true
}

// compared are the kinds that somebody compares: x509 or forbid.
const compared = 1<<tagEmail | 1<<tagDNS | 1<<tagDirectory | 1<<tagURI | 1<<tagIP

// forbid says which name is not allowed; "" if all are.
func (s *subtrees) forbid(n *names) string {
	if n.unreadable {
		return "a name that cannot be read"
	}
	if (s.permitted.kinds|s.excluded.kinds)&n.kinds&^compared != 0 {
		return "a name of a kind that cannot be compared"
	}
	for _, email := range n.emails {
		if s.forbidsEmail(email) {
			return "the email address " + quote(email)
		}
	}
	for _, host := range n.hosts {
		if s.forbidsHost(host) {
			return "the URI host " + quote(host)
		}
	}
	for _, directory := range n.directories {
		if s.permitted.speaksOf(tagDirectory) && !beneath(s.permitted.directories, directory) ||
			beneath(s.excluded.directories, directory) {
			return "a directory name"
		}
	}
	return ""
}

func (b *branch) speaksOf(tag int) bool { return b.kinds&(1<<tag) != 0 }

// forbidsHost compares the host of a URI with permitted hosts exactly, and with
// excluded ones and those below them. What is no host name, such as an address
// or nothing at all, cannot be compared (RFC 5280, 4.2.1.10).
func (s *subtrees) forbidsHost(host string) bool {
	if !s.permitted.speaksOf(tagURI) && !s.excluded.speaksOf(tagURI) {
		return false
	}
	if !isHostName(host) || s.excluded.hosts[""] || among(s.excluded.hosts, host, true) {
		return true
	}
	return s.permitted.speaksOf(tagURI) && !s.permitted.hosts[""] && !among(s.permitted.hosts, host, false)
}

// isHostName tells apart what x509 lets pass as the host of a URI.
func isHostName(host string) bool {
	_, err := netip.ParseAddr(host)
	return host != "" && err != nil
}

// forbidsEmail compares an address with permitted hosts exactly, and with
// excluded ones as x509 does, hosts below them included.
func (s *subtrees) forbidsEmail(email string) bool {
	if !s.permitted.speaksOf(tagEmail) && !s.excluded.speaksOf(tagEmail) {
		return false
	}
	local, host, ok := cutEmail(email)
	if !ok {
		return true
	}
	host = strings.ToLower(host)
	whole := local + "@" + host
	if s.excluded.emails[""] || s.excluded.emails[whole] || among(s.excluded.emails, host, true) {
		return true
	}
	return s.permitted.speaksOf(tagEmail) &&
		!s.permitted.emails[""] && !s.permitted.emails[whole] && !among(s.permitted.emails, host, false)
}

// among looks for the host itself, for a domain above it that is written with
// a leading period, and, if wide, for any domain above it.
func among(set map[string]bool, host string, wide bool) bool {
	if set[host] {
		return true
	}
	for {
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return false
		}
		if set[host[dot:]] || wide && set[host[dot+1:]] {
			return true
		}
		host = host[dot+1:]
	}
}
