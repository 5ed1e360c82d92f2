package trust

import (
	"crypto/x509"
	"errors"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	spiffeScheme = "spiffe://"
	// maxSPIFFEID is the longest SPIFFE ID, in bytes (SPIFFE-ID, section 2.3).
	maxSPIFFEID = 2048
)

// SPIFFEID returns the SPIFFE ID of a certificate, empty if it has none that is in
// order: an X.509-SVID has exactly one URI among its subject alternative names, and
// that is written as the standard wants it, the trust domain in lower case.
func SPIFFEID(leaf *x509.Certificate) string {
	id, err := spiffeOf(rawURIs(extension(leaf, oidSubjectAltName)))
	if err != nil {
		return ""
	}
	return id.String()
}

var errNoSPIFFEID = errors.New("not exactly one URI of tolerable length")

func spiffeOf(uris []string) (spiffeid.ID, error) {
	if len(uris) != 1 || len(uris[0]) > maxSPIFFEID {
		return spiffeid.ID{}, errNoSPIFFEID
	}
	return spiffeid.FromString(uris[0])
}

// spiffeLike returns the URIs that claim to be SPIFFE IDs, and their trust domains
// in lower case.
func spiffeLike(uris []string) (ids, domains []string) {
	for _, uri := range uris {
		if len(uri) < len(spiffeScheme) || !strings.EqualFold(uri[:len(spiffeScheme)], spiffeScheme) {
			continue
		}
		domain, _, _ := strings.Cut(uri[len(spiffeScheme):], "/")
		ids = append(ids, uri)
		domains = append(domains, lowerASCII(domain))
	}
	return ids, domains
}

// lowerASCII is strings.ToLower for ASCII only, whatever bytes there are.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}
