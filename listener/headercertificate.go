package listener

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/postern-lb/postern/internal/dn"
	"github.com/postern-lb/postern/trust"
)

// The forms in which certificates, and what is in them, stand in headers beyond ALB's.

// byteSequences returns certificates as a list of byte sequences (RFC 9440, section 2;
// RFC 8941, sections 3.1 and 3.3.5).
func byteSequences(certs []*x509.Certificate) string {
	var out []byte
	for i, cert := range certs {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(out, ':')
		out = base64.StdEncoding.AppendEncode(out, cert.Raw)
		out = append(out, ':')
	}
	return string(out)
}

// fingerprint returns the SHA-256 digest of a certificate in small hex digits.
func fingerprint(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(digest[:])
}

// xfcc returns the one element of X-Forwarded-Client-Cert (Envoy, "HTTP header
// manipulation"): Hash, Cert, Chain (the leaf and its intermediates), Subject, each
// URI and each DNS. By is left out: Postern has no URI of its own.
func xfcc(path []*x509.Certificate) string {
	leaf, presented := path[0], path[:max(1, len(path)-1)]
	var b strings.Builder
	b.WriteString("Hash=" + fingerprint(leaf))
	b.WriteString(`;Cert="` + envoyPEM(path[:1]) + `"`)
	b.WriteString(`;Chain="` + envoyPEM(presented) + `"`)
	b.WriteString(`;Subject="` + xfccSubject(dn.RFC2253(leaf.RawSubject)) + `"`)
	for _, uri := range alternativeNames(leaf, nameURI) {
		writeXFCC(&b, "URI", uri)
	}
	for _, name := range alternativeNames(leaf, nameDNS) {
		writeXFCC(&b, "DNS", name)
	}
	return b.String()
}

// envoyPEM returns certificates in Envoy's form of PEM in URL encoding, which unlike
// ALB's also escapes what base64 is made of.
func envoyPEM(certs []*x509.Certificate) string {
	return strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(trust.EncodeChain(certs))
}

// xfccSubject makes a name in the form of RFC 2253 fit to stand between quotes.
// Readers differ in whether a backslash before a backslash counts, so that a name
// with \" or \\ in it might end the value, and go on with a URI of the client's
// choice. RFC 2253 has another way to write the two.
func xfccSubject(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name) && (name[i+1] == '"' || name[i+1] == '\\'):
			i++
			fallthrough
		case name[i] == '"':
			const upper = "0123456789ABCDEF"
			b.WriteString(`\` + string(upper[name[i]>>4]) + string(upper[name[i]&15]))
		default:
			b.WriteByte(name[i])
		}
	}
	return b.String()
}

// writeXFCC adds an alternative name. One with characters that neither URIs nor DNS
// names have is left out: what targets would make of it cannot be known.
func writeXFCC(b *strings.Builder, key, value string) {
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return
		}
	}
	if strings.ContainsAny(value, ",;=") {
		value = `"` + value + `"`
	}
	b.WriteString(";" + key + "=" + value)
}

// Tags of GeneralName (RFC 5280, section 4.2.1.6).
const (
	nameDNS = 2
	nameURI = 6
)

// alternativeNames returns the subject alternative names of one kind as the
// certificate has them: crypto/x509 keeps URIs in a form that is not always theirs.
func alternativeNames(cert *x509.Certificate, tag int) []string {
	var out []string
	for _, extension := range cert.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && name.Tag == tag {
				out = append(out, string(name.Bytes))
			}
		}
	}
	return out
}
