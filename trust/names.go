package trust

import (
	"bytes"
	"crypto/x509"
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
