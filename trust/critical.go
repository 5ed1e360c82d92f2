package trust

import (
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const oidPolicies oid = 32

// notUnderstood names a critical extension that neither x509 nor this package
// acts on; "" if there is none. Of the certificate policies, the qualifiers must
// be known as well (RFC 5280, 4.2.1.4), at which x509 does not look.
func notUnderstood(c *x509.Certificate) string {
	for _, id := range c.UnhandledCriticalExtensions {
		// Name constraints of a CA that x509 cannot compare, [forbiddenName] does.
		if !c.IsCA || !isNameConstraints(id) {
			return id.String()
		}
	}
	for i := range c.Extensions {
		if e := &c.Extensions[i]; e.Critical && e.Id.Equal(idCE(oidPolicies)) && !knownQualifiers(e.Value) {
			return e.Id.String() + " with a qualifier of an unknown kind"
		}
	}
	return ""
}

func idCE(last oid) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, int(last)} }

func isNameConstraints(id asn1.ObjectIdentifier) bool { return id.Equal(idCE(oidNameConstraints)) }

// knownQualifiers reports whether every policy qualifier is a pointer to a
// practice statement or a notice, neither of which asks for anything.
func knownQualifiers(der cryptobyte.String) bool {
	var policies, policy, qualifiers, qualifier cryptobyte.String
	if !der.ReadASN1(&policies, cbasn1.SEQUENCE) {
		return false
	}
	for !policies.Empty() {
		if !policies.ReadASN1(&policy, cbasn1.SEQUENCE) || !policy.SkipASN1(cbasn1.OBJECT_IDENTIFIER) {
			return false
		}
		if policy.Empty() {
			continue
		}
		if !policy.ReadASN1(&qualifiers, cbasn1.SEQUENCE) {
			return false
		}
		for !qualifiers.Empty() {
			var id asn1.ObjectIdentifier
			if !qualifiers.ReadASN1(&qualifier, cbasn1.SEQUENCE) || !qualifier.ReadASN1ObjectIdentifier(&id) ||
				len(id) != 9 || !id[:8].Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 2}) || id[8] != 1 && id[8] != 2 {
				return false
			}
		}
	}
	return true
}
