package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Bundle is the content of a CA bundle file, checked. It is immutable.
type Bundle struct {
	// Certificates are in the order of the file, each once.
	Certificates []*x509.Certificate
	// Warnings are what was questionable when the bundle was parsed; see
	// [Bundle.WarningsAt] for later.
	Warnings []Warning
	// Digest is SHA-256 over the certificates, whatever their order.
	Digest [sha256.Size]byte

	lines   []int     // where each certificate begins in the file
	notices []Warning // warnings that do not depend on the time
}

// ParseBundle reads a CA bundle by the rules of ALB ("Mutual authentication
// with TLS in Application Load Balancer", trust stores):
//
// PEM certificates one after another, nothing between them but comment lines
// that begin with "#" and hold no "-"; no blank lines and no text dumps. Lines
// may end in CR LF. Each certificate is X.509 version 3 of at most
// [MaxCertificateBytes], with an RSA key of 2048 to 8192 bits or a key on P-256,
// P-384 or P-521, signed with SHA-256 or stronger. One bad certificate fails
// the bundle. The limits are [MaxBundleBytes] and [MaxBundleCertificates].
//
// One rule is wider than ALB's: a certificate that signed itself may have used
// SHA-1, with a warning, since the signature of an anchor is never used.
//
// The error names every fault, up to [MaxBundleFaults], each with its line and
// what to do about it. What is merely questionable at the time now is in
// Bundle.Warnings.
func ParseBundle(data []byte, now time.Time) (*Bundle, error) {
	if err := checkEncoding(data); err != nil {
		return nil, err
	}
	p := bundleParser{bundle: &Bundle{}, seen: make(map[string]int)}
	for number, line := range numbered(data) {
		p.line(number, line)
	}
	p.end()
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	b := p.bundle
	b.Digest = digest(b.Certificates)
	b.addNotices()
	b.Warnings = b.WarningsAt(now)
	return b, nil
}

// BundleError is every fault of a bundle, one sentence each, in the order of
// the file.
type BundleError []string

// Error returns the faults, one a line.
func (e BundleError) Error() string { return strings.Join(e, "\n") }

// Unwrap returns the faults as separate errors.
func (e BundleError) Unwrap() []error {
	list := make([]error, len(e))
	for i, text := range e {
		list[i] = errors.New(text)
	}
	return list
}

// checkEncoding finds what makes the whole file something else than PEM.
func checkEncoding(data []byte) error {
	switch {
	case len(data) == 0:
		return BundleError{"the bundle is empty; it needs one PEM certificate at least"}
	case len(data) > MaxBundleBytes:
		return BundleError{fmt.Sprintf("the bundle has %d bytes; at most %d are allowed", len(data), MaxBundleBytes)}
	case data[0] == 0x30 && !bytes.Contains(data, []byte(pemBegin)):
		return BundleError{"the bundle is DER, not PEM; convert it with `openssl x509 -inform DER -in FILE -out FILE.pem`"}
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return BundleError{"line 1: the file begins with a byte order mark; save it as plain ASCII"}
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return BundleError{fmt.Sprintf("line %d: a NUL byte; the bundle must be PEM text in ASCII, not binary or UTF-16",
			1+bytes.Count(data[:at], []byte("\n")))}
	}
	return nil
}

// digest is the same for equal sets of certificates.
func digest(certs []*x509.Certificate) [sha256.Size]byte {
	ders := make([][]byte, len(certs))
	for i, c := range certs {
		ders[i] = c.Raw
	}
	slices.SortFunc(ders, bytes.Compare)
	h := sha256.New()
	var length [4]byte
	for _, der := range slices.CompactFunc(ders, bytes.Equal) {
		binary.BigEndian.PutUint32(length[:], uint32(len(der)))
		h.Write(length[:])
		h.Write(der)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
