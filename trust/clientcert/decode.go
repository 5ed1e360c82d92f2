package clientcert

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-lb/postern/trust"
)

// decode reads certificates from text in any encoding that the package comment names.
func decode(text string) ([]*x509.Certificate, error) {
	text, err := unescape(text)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	add := func(body string) error {
		if len(chain) == MaxCertificates {
			return fmt.Errorf("holds more than %d certificates", MaxCertificates)
		}
		cert, err := certificate(body)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", len(chain), err)
		}
		chain = append(chain, cert)
		return nil
	}
	if strings.Contains(text, dashes) {
		err = eachBlock(text, add)
	} else {
		err = eachItem(text, add)
	}
	switch {
	case err != nil:
		return nil, err
	case len(chain) == 0:
		return nil, errors.New("holds no certificate")
	}
	return chain, nil
}

// unescape undoes layers of percent encoding, and the escapes of JSON and shells. Base64
// has neither a percent sign nor a backslash, so that whichever is there is one of those.
func unescape(text string) (string, error) {
	for range MaxDecodings {
		if !strings.Contains(text, "%") {
			break
		}
		text = unescapeOnce(text)
	}
	if strings.Contains(text, "%") {
		return "", errors.New("is percent-encoded too often, or not well")
	}
	return escapes.Replace(text), nil
}

var escapes = strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t", `\/`, "/", `\"`, `"`)

// unescapeOnce undoes one layer; what is no escape stays.
func unescapeOnce(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			high, low := unhex(text[i+1]), unhex(text[i+2])
			if high < 16 && low < 16 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// dashes are around PEM's boundaries (RFC 7468).
const dashes = "-----"

// eachBlock calls visit with the body of every PEM certificate.
func eachBlock(text string, visit func(string) error) error {
	for {
		before, rest, found := strings.Cut(text, dashes)
		if !separator(before) {
			return errors.New("holds something beside its certificates")
		}
		if !found {
			return nil
		}
		label, rest, found := strings.Cut(rest, dashes)
		if !found || !boundary(label, "BEGIN") {
			return errors.New("holds a PEM block that is no certificate, or a broken one")
		}
		body, rest, found := strings.Cut(rest, dashes)
		label, rest, ended := strings.Cut(rest, dashes)
		if !found || !ended || !boundary(label, "END") {
			return errors.New("ends within a certificate: the header was cut, or its limit is too low")
		}
		if err := visit(body); err != nil {
			return err
		}
		text = rest
	}
}

// boundary reports whether a label is that of a certificate's first or last line. The
// blank between the words may have become a plus that nobody decoded, or a tab.
func boundary(label, word string) bool {
	if len(label) != len(word)+1+len("CERTIFICATE") || !strings.HasPrefix(label, word) || !strings.HasSuffix(label, "CERTIFICATE") {
		return false
	}
	return strings.IndexByte(" +\t\n\r", label[len(word)]) >= 0
}

// separator reports whether text between certificates is none of what must not be there.
func separator(text string) bool { return strings.Trim(text, " \t\r\n+,;\"'") == "" }

// eachItem calls visit with every item of a list of base64: Traefik's, or RFC 8941's byte
// sequences between colons.
func eachItem(text string, visit func(string) error) error {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.Trim(item, " \t\r\n\"':;"); item == "" {
			continue
		}
		if err := visit(item); err != nil {
			return err
		}
	}
	return nil
}

// maxBody is the longest base64 of a certificate, with a line break of two characters
// behind each, which nobody has.
const maxBody = trust.MaxCertificateBytes * 4

// certificate reads base64 of one certificate in DER. There are three readings of a blank
// in it: a line break, a plus, or either by its place. The one that gives a
// certificate is right: DER states its length, so that a plus left out is missed.
func certificate(body string) (*x509.Certificate, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("has %d characters; a certificate has at most %d bytes", len(body), trust.MaxCertificateBytes)
	}
	whole := urlSafe.Replace(strings.Trim(body, "\t\r\n"))
	body = strings.Trim(whole, blanks)
	cert, first := parse(withoutBlanks(body))
	if first == nil {
		return cert, nil
	}
	// The last characters may be pluses that have become blanks.
	for tail := range min(len(whole)-len(strings.TrimRight(whole, blanks)), maxTail) + 1 {
		for _, reading := range []func(string) string{blanksArePluses, blanksByPlace} {
			if cert, err := parse(reading(body + "  "[:tail])); err == nil {
				return cert, nil
			}
		}
	}
	return nil, first
}

// blanks are what base64 may be broken by, and maxTail is how many of those behind it are
// tried as pluses: base64 has more than two at its end once in a quarter of a million.
const (
	blanks  = " \t\r\n"
	maxTail = 2
)

// urlSafe maps the other alphabet of RFC 4648, section 5.
var urlSafe = strings.NewReplacer("-", "+", "_", "/")

var noBlanks = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")

func withoutBlanks(s string) string { return noBlanks.Replace(s) }

// blanksArePluses is for values that a form decoder had, with their line breaks intact.
func blanksArePluses(s string) string { return noBlanks.Replace(strings.ReplaceAll(s, " ", "+")) }

// blanksByPlace is for values whose line breaks and pluses have both become blanks: lines
// have 64 characters, so that a blank behind them is a line break.
func blanksByPlace(s string) string {
	const line = 64
	var out strings.Builder
	column := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '\r' || c == '\n' || c == '\t':
			column = 0
			continue
		case c == ' ' && column == line:
			column = 0
			continue
		case c == ' ':
			c = '+'
		}
		out.WriteByte(c)
		column++
	}
	return out.String()
}

// parse decodes base64, padded or not, and the certificate in it.
func parse(body string) (*x509.Certificate, error) {
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	switch {
	case err != nil:
		return nil, errors.New("is not base64")
	case len(der) > trust.MaxCertificateBytes:
		return nil, fmt.Errorf("has %d bytes; at most %d are allowed", len(der), trust.MaxCertificateBytes)
	}
	return parseDER(der)
}

// parseDER fails closed should the parser panic.
func parseDER(der []byte) (cert *x509.Certificate, err error) {
	defer func() {
		if recover() != nil {
			cert, err = nil, errors.New("makes the X.509 library panic")
		}
	}()
	cert, err = x509.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, errors.New("is not a certificate, or one that is cut or changed")
	case !bytes.Equal(cert.Raw, der):
		return nil, errors.New("has bytes behind it")
	}
	return cert, nil
}
