package trust

import (
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// mayIssue reports whether a certificate may sign others.
func mayIssue(c *x509.Certificate) bool { return cannotIssue(c) == "" }

// cannotIssue says why a certificate may not sign others, as a phrase without
// a subject; "" if it may. It must be a CA by its basic constraints and, if it
// has a key usage, by that too (RFC 5280, 4.2.1.3 and 4.2.1.9); x509 would let
// a key usage without any bit pass.
func cannotIssue(c *x509.Certificate) string {
	switch {
	case c.Version != 3 || !c.BasicConstraintsValid || !c.IsCA:
		return "is not a CA"
	case hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return "is a CA whose key usage lacks keyCertSign"
	case len(c.UnhandledCriticalExtensions) > 0:
		return "has the critical extension " + c.UnhandledCriticalExtensions[0].String() + ", which is not understood"
	case constrainsOtherNames(extension(c, oidNameConstraints)):
		return "has name constraints of a kind that is not supported; supported are DNS, email, URI and IP"
	}
	return ""
}

// constrainsOtherNames reports whether a name constraints extension (RFC 5280,
// 4.2.1.10) constrains what x509 does not compare, such as directory names.
// x509 refuses it if it is critical and ignores it if not. Ignoring would let
// a CA that is held to one part of the directory issue for any subject.
func constrainsOtherNames(der cryptobyte.String) bool {
	if der == nil {
		return false
	}
	var both cryptobyte.String
	if !der.ReadASN1(&both, cbasn1.SEQUENCE) {
		return true
	}
	for !both.Empty() {
		var subtrees cryptobyte.String
		var which cbasn1.Tag
		if !both.ReadAnyASN1(&subtrees, &which) {
			return true
		}
		for !subtrees.Empty() {
			if !comparable509(&subtrees) {
				return true
			}
		}
	}
	return false
}

// comparable509 reads one GeneralSubtree and reports whether x509 compares
// names of its kind: rfc822Name [1], dNSName [2], URI [6] and iPAddress [7].
func comparable509(subtrees *cryptobyte.String) bool {
	var subtree, base cryptobyte.String
	var kind cbasn1.Tag
	if !subtrees.ReadASN1(&subtree, cbasn1.SEQUENCE) || !subtree.ReadAnyASN1(&base, &kind) {
		return false
	}
	switch kind {
	case cbasn1.Tag(1).ContextSpecific(), cbasn1.Tag(2).ContextSpecific(),
		cbasn1.Tag(6).ContextSpecific(), cbasn1.Tag(7).ContextSpecific():
		return true
	}
	return false
}
