package trust

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseChain reads a PEM file as a client would send it: leaf first, then
// intermediates. Unlike in a bundle, text, blank lines and blocks of other
// kinds, such as the private key, are passed over.
//
// A certificate that does not parse gives the verdict of a client that
// presented it, [ClientCertInvalid]; then the certificates are nil. The error is
// for a file that holds no certificate, or that is larger than
// [MaxBundleBytes].
func ParseChain(data []byte) ([]*x509.Certificate, *Verdict, error) {
	if len(data) > MaxBundleBytes {
		return nil, nil, fmt.Errorf("the file has %d bytes; at most %d are allowed", len(data), MaxBundleBytes)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certType {
			continue
		}
		cert, problem := parseCertificate(block.Bytes)
		if problem != "" {
			return nil, refuse(ClientCertInvalid, len(chain), "certificate %d of the chain %s", len(chain), problem), nil
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, nil, errNoCertificate(data)
	}
	return chain, nil, nil
}

func errNoCertificate(data []byte) error {
	if len(data) > 0 && data[0] == 0x30 {
		return errors.New("the file is DER, not PEM; convert it with `openssl x509 -inform DER -in FILE -out FILE.pem`")
	}
	return errors.New("the file holds no PEM certificate")
}
