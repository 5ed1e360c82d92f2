package clientcert

import (
	"crypto/x509"
	"errors"
	"strings"
)

// decodeXFCC reads the one element of an X-Forwarded-Client-Cert header (Envoy, "HTTP
// header manipulation", x-forwarded-client-cert): pairs KEY=VALUE with semicolons between,
// elements with commas between, and quoted what holds either.
func decodeXFCC(text string) ([]*x509.Certificate, error) {
	var cert, chain string
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found {
			return nil, errors.New("is not a list of pairs KEY=VALUE")
		}
		value, rest, err := xfccValue(rest)
		if err != nil {
			return nil, err
		}
		for name, to := range map[string]*string{"cert": &cert, "chain": &chain} {
			if !strings.EqualFold(strings.TrimSpace(key), name) {
				continue
			}
			if *to != "" {
				return nil, errors.New("says twice which certificate it is")
			}
			*to = value
		}
		text = rest
	}
	if chain != "" { // the certificate itself is its first
		return decode(chain)
	}
	if cert != "" {
		return decode(cert)
	}
	return nil, errors.New("has neither Cert nor Chain: configure set_current_client_cert_details")
}

// xfccValue takes a value from the front of text, and the semicolon behind it.
func xfccValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ";,")
		if end < 0 {
			return text, "", nil
		}
		return text[:end], text[end:], behind(text[end:], &rest)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		case text[i] == '"':
			return b.String(), rest, behind(text[i+1:], &rest)
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("has a quotation that does not end")
}
