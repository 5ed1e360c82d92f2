package clientcert

import (
	"crypto/x509"
	"errors"
	"strings"
)

var errSeveral = errors.New("has several elements: several proxies have added to it, and nobody vouches for the first ones")

// decodeXFCC reads the one element of an X-Forwarded-Client-Cert header (Envoy, "HTTP
// header manipulation", x-forwarded-client-cert): pairs KEY=VALUE with semicolons between,
// elements with commas between, and quoted what holds either.
func decodeXFCC(text string) ([]*x509.Certificate, error) {
	found := make(map[string]string)
	for text != "" {
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			return nil, errors.New("is not a list of pairs KEY=VALUE")
		}
		if strings.Contains(key, ",") { // an element that ends in a word without a value
			return nil, errSeveral
		}
		value, rest, err := xfccValue(rest)
		if err != nil {
			return nil, err
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if _, twice := found[key]; twice && (key == "cert" || key == "chain") {
			return nil, errors.New("says twice which certificate it is")
		}
		found[key] = value
		if text, err = behind(rest); err != nil {
			return nil, err
		}
	}
	if found["chain"] != "" { // the certificate itself is its first
		return decode(found["chain"])
	}
	if found["cert"] != "" {
		return decode(found["cert"])
	}
	return nil, errors.New("has neither Cert nor Chain: have the proxy send one (Envoy: set_current_client_cert_details)")
}

// xfccValue takes a value, quoted or not, from the front of text.
func xfccValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ";,")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		case text[i] == '"':
			return b.String(), text[i+1:], nil
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("has a quotation that does not end")
}

// behind takes what may stand behind a value: the end, or a semicolon and another pair.
func behind(rest string) (string, error) {
	switch {
	case rest == "":
		return "", nil
	case rest[0] == ';':
		return rest[1:], nil
	case rest[0] == ',':
		return "", errSeveral
	}
	return "", errors.New("has something behind a quotation")
}
