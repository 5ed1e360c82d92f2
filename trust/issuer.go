package trust

import "crypto/x509"

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
	}
	if id := notUnderstood(c); id != "" {
		return "has the critical extension " + id + ", which is not understood"
	}
	if hasExtension(c, oidNameConstraints) {
		if _, ok := newSubtrees(c); !ok {
			return "has name constraints that cannot be read"
		}
	}
	return ""
}
