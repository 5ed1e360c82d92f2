package trust

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Name constraints (RFC 5280, 4.2.1.10) are checked in two places. x509 compares DNS
// names, addresses and email addresses while it builds paths. What follows goes
// over each path found and adds what x509 leaves out: directory names; email
// addresses in the subject; kinds of names that nobody here compares, which no
// certificate below the constraint may hold then; and that a permitted host of an
// email address means that host, not the hosts below it, which x509 would take
// in. URIs are not shown to x509 at all, see timeless: it refuses one without a
// host whatever the constraints are about, and is wide with hosts here as well.

// The tags of a GeneralName.
const (
	tagEmail     = 1
	tagDNS       = 2
	tagDirectory = 4
	tagURI       = 6
	tagIP        = 7
)

// forbiddenName returns the first certificate of a path, leaf first, that has a
// name which a certificate above it forbids, and says which; nil if none has.
func forbiddenName(path []*x509.Certificate) (*x509.Certificate, string) {
	held := make([]*names, len(path)) // by need
	for above := len(path) - 1; above > 0; above-- {
		if !hasExtension(path[above], oidNameConstraints) {
			continue
		}
		limits, ok := newSubtrees(path[above])
		if !ok {
			return path[above], "its name constraints cannot be read"
		}
		for i, c := range path[:above] {
			// RFC 5280, 6.1.3 (b): a CA that certified itself anew is held to
			// nothing; that of the leaf is looked at always.
			if i > 0 && selfIssued(c) {
				continue
			}
			if held[i] == nil {
				held[i] = namesOf(c)
			}
			if problem := limits.forbid(held[i]); problem != "" {
				return c, problem + " is forbidden by the name constraints of " + quoteSubject(path[above])
			}
		}
	}
	return nil, ""
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// names are those of a certificate that the checks here are about.
type names struct {
	emails      []string // of the alternative names and of the subject
	hosts       []string // of URIs
	directories []string // normal forms, see normalName
	kinds       uint16   // a bit for the tag of each alternative name
	unreadable  bool
}

func namesOf(c *x509.Certificate) *names {
	n := &names{emails: append([]string(nil), c.EmailAddresses...)}
	for _, u := range c.URIs {
		n.hosts = append(n.hosts, strings.ToLower(u.Hostname()))
	}
	subject, ok := normalName(c.RawSubject)
	n.unreadable = !ok
	if subject != "" {
		n.directories = append(n.directories, subject)
	}
	n.addSubjectEmails(c)
	der := extension(c, oidSubjectAltName)
	walked := der == nil || eachName(der, func(tag int, value cryptobyte.String) bool {
		n.kinds |= 1 << tag
		if tag != tagDirectory {
			return true
		}
		directory, ok := normalName(value)
		n.directories = append(n.directories, directory)
		return ok
	})
	n.unreadable = n.unreadable || !walked
	return n
}

// addSubjectEmails adds the emailAddress attributes (PKCS #9). RFC 5280 applies
// email constraints to them if there are no alternative names; here always,
// since targets are shown the subject.
func (n *names) addSubjectEmails(c *x509.Certificate) {
	for _, a := range c.Subject.Names {
		if !a.Type.Equal([]int{1, 2, 840, 113549, 1, 9, 1}) {
			continue
		}
		text, ok := a.Value.(string)
		n.emails = append(n.emails, text)
		n.unreadable = n.unreadable || !ok
	}
}

// eachName calls f for each GeneralName of a subject alternative name extension until
// it returns false, and reports whether all went well.
func eachName(der cryptobyte.String, f func(tag int, value cryptobyte.String) bool) bool {
	var list cryptobyte.String
	if !der.ReadASN1(&list, cbasn1.SEQUENCE) {
		return false
	}
	for !list.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadAnyASN1(&value, &tag) || nameTag(tag) > 15 || !f(nameTag(tag), value) {
			return false
		}
	}
	return true
}

// nameTag is the number of a context-specific tag; that of any other is large.
func nameTag(tag cbasn1.Tag) int {
	if tag&0xc0 != 0x80 {
		return 1 << 8
	}
	return int(tag & 0x1f)
}

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
