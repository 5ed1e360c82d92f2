package trust

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/postern-lb/postern/internal/dn"
)

// An inquiry puts into words what a decision wanted and what it was offered. It
// decides nothing.
type inquiry struct {
	q        *question
	store    string
	snapshot *Snapshot
	policy   *Policy
	decided  *tracedPath // nil if no path was judged
}

// wanted says what a step asks for.
func (i *inquiry) wanted(s Step) string {
	switch s {
	case StepCount:
		return fmt.Sprintf("1 to %d certificates", i.policy.depth())
	case StepSize:
		return fmt.Sprintf("at most %d bytes a certificate, %d together", MaxCertificateBytes, MaxChainBytes)
	case StepParts:
		return fmt.Sprintf("at most %d alternative names, %d name constraints, %d attributes of a name, %d extensions, %d policies",
			MaxAlternativeNames, MaxNameConstraints, MaxSubjectAttributes, MaxExtensions, MaxPolicies)
	case StepForm:
		return "X.509 version 3, nothing after the signature"
	case StepKeyType:
		return "RSA or ECDSA"
	case StepKeySize:
		return fmt.Sprintf("RSA of %d to %d bits, or P-256, P-384, P-521", minRSABits, maxRSABits)
	case StepSignature:
		return "SHA-256, SHA-384 or SHA-512 with RSA, RSASSA-PSS or ECDSA"
	case StepPath:
		return fmt.Sprintf("a path to one of the %d certificates of trust store %s", i.snapshot.Len(), quote(i.store))
	case StepIdentity:
		return i.policy.wantedIdentity()
	case StepRevocation:
		return "no certificate of the path is revoked"
	case StepNotBefore:
		return "every certificate of the path is valid by " + stamp(i.q.now)
	case StepNotAfter:
		if i.policy.ignoresExpiry() {
			return "every CA of the path is valid at " + stamp(i.q.now) + "; the client's own may have expired"
		}
		return "every certificate of the path is still valid at " + stamp(i.q.now)
	case StepPurpose:
		return "for TLS clients: key usage digitalSignature or keyAgreement, extended key usage clientAuth, or no such extension"
	}
	return ""
}

// offered says what the chain has of what a step that was reached asks for.
func (i *inquiry) offered(s Step) string {
	chain := describable(i.q.chain)
	switch s {
	case StepCount:
		return fmt.Sprintf("%d", len(i.q.chain))
	case StepSize:
		return each(i.q.chain, func(c *x509.Certificate) string { return fmt.Sprintf("%d bytes", len(c.Raw)) })
	case StepParts:
		return each(chain, func(c *x509.Certificate) string {
			return fmt.Sprintf("%d names, %d constraints, %d extensions", alternativeNames(c), nameConstraints(c), len(c.Extensions))
		})
	case StepForm:
		return each(chain, func(c *x509.Certificate) string { return fmt.Sprintf("version %d", c.Version) })
	case StepKeyType:
		return each(chain, keyType)
	case StepKeySize:
		return each(chain, keyText)
	case StepSignature:
		return each(chain, func(c *x509.Certificate) string { return c.SignatureAlgorithm.String() })
	case StepPath:
		return i.offeredPath(chain)
	case StepIdentity:
		return offeredIdentity(i.q.chain[0])
	}
	return i.offeredOnPath(s)
}

func (i *inquiry) offeredPath(chain []*x509.Certificate) string {
	if i.decided != nil {
		return each(i.decided.path.certs, subjectText)
	}
	return each(chain, func(c *x509.Certificate) string {
		return subjectText(c) + " issued by " + clip(dn.RFC2253(c.RawIssuer))
	})
}

// offeredOnPath is offered for the steps of a path.
func (i *inquiry) offeredOnPath(s Step) string {
	if i.decided == nil {
		return ""
	}
	certs := i.decided.path.certs
	switch s {
	case StepRevocation:
		return i.offeredLists()
	case StepNotBefore:
		return each(certs, func(c *x509.Certificate) string { return "from " + stamp(c.NotBefore) })
	case StepNotAfter:
		return each(certs, func(c *x509.Certificate) string { return "until " + stamp(c.NotAfter) })
	case StepPurpose:
		return each(certs[:max(1, len(certs)-1)], purposeText)
	}
	return ""
}

func (i *inquiry) offeredLists() string {
	if len(i.decided.looks) == 0 {
		return "there is no revocation list, and none is demanded"
	}
	var parts []string
	for _, l := range i.decided.looks[:min(len(i.decided.looks), MaxExplainedLists)] {
		a := l.answer(i.q.now)
		text := a.Subject + " " + a.Status
		switch {
		case l.result.List == nil:
			text += ": no list covers it"
		case a.Number != "":
			text += " by list " + clip(a.Number) + " of " + stamp(a.ThisUpdate)
		default:
			text += " by the list of " + stamp(a.ThisUpdate)
		}
		if a.Responder != "" {
			text += ", asked elsewhere: " + a.Responder
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// wantedIdentity puts the identity filters into words.
func (p *Policy) wantedIdentity() string {
	filters := p.filters()
	if len(filters) == 0 {
		return "anybody: there are no identity filters"
	}
	const shown = 10
	var parts []string
	for i := range filters[:min(len(filters), shown)] {
		parts = append(parts, filterText(&filters[i]))
	}
	if n := len(filters) - shown; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more", n))
	}
	return "one of: " + strings.Join(parts, "; ")
}

func filterText(f *Filter) string {
	c := f.Config()
	var parts []string
	for k := range kindCount {
		if values := c.values(k); len(values) > 0 {
			parts = append(parts, k.key()+" "+quoteSome(values))
		}
	}
	text := strings.Join(parts, " and ")
	if c.Deny {
		return "not " + text
	}
	return text
}

// quoteSome quotes the first values of a list that may be long.
func quoteSome(values []string) string {
	const shown = 3
	var parts []string
	for _, v := range values[:min(len(values), shown)] {
		parts = append(parts, quote(v))
	}
	if n := len(values) - shown; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more", n))
	}
	return strings.Join(parts, " or ")
}

// offeredIdentity is what identity filters can see of a leaf.
func offeredIdentity(leaf *x509.Certificate) string {
	const shown = 10
	parts := []string{subjectText(leaf)}
	who := newFacts(leaf)
	for k := range kindCount {
		plain, odd := who.of(k)
		switch k {
		case kindSubjectCN, kindSubjectOU, kindSubjectO, kindSHA256, kindSPKISHA256:
			continue // in the subject, or no text
		}
		values := append(append([]string(nil), plain...), odd...)
		if len(values) > 0 {
			parts = append(parts, k.key()+" "+quoteSome(values))
		}
	}
	for _, a := range who.addresses[:min(len(who.addresses), shown)] {
		parts = append(parts, kindSANIP.key()+" "+a.String())
	}
	return strings.Join(parts, ", ")
}

func keyText(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	}
	return keyType(c)
}

// purposeText says what a certificate's extensions allow.
func purposeText(c *x509.Certificate) string {
	var parts []string
	if hasExtension(c, oidKeyUsage) {
		parts = append(parts, "key usage "+keyUsageText(c.KeyUsage))
	}
	if hasExtension(c, oidExtKeyUsage) {
		var names []string
		for _, u := range c.ExtKeyUsage {
			names = append(names, extKeyUsageText(u))
		}
		for _, oid := range c.UnknownExtKeyUsage[:min(len(c.UnknownExtKeyUsage), 10)] {
			names = append(names, clip(oid.String()))
		}
		parts = append(parts, "extended key usage "+orNone(names))
	}
	if len(parts) == 0 {
		return "no key usage extensions"
	}
	return strings.Join(parts, ", ")
}

func keyUsageText(u x509.KeyUsage) string {
	var names []string
	for i, name := range []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"} {
		if u&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return orNone(names)
}

func extKeyUsageText(u x509.ExtKeyUsage) string {
	switch u {
	case x509.ExtKeyUsageAny:
		return "any"
	case x509.ExtKeyUsageServerAuth:
		return "serverAuth"
	case x509.ExtKeyUsageClientAuth:
		return "clientAuth"
	case x509.ExtKeyUsageCodeSigning:
		return "codeSigning"
	case x509.ExtKeyUsageEmailProtection:
		return "emailProtection"
	case x509.ExtKeyUsageTimeStamping:
		return "timeStamping"
	case x509.ExtKeyUsageOCSPSigning:
		return "OCSPSigning"
	}
	return "other"
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

// each describes the certificates of a list, in its order.
func each(certs []*x509.Certificate, text func(*x509.Certificate) string) string {
	parts := make([]string, 0, len(certs))
	for _, c := range certs {
		parts = append(parts, text(c))
	}
	return strings.Join(parts, "; ")
}
