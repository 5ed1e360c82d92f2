package crl

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512" // for crypto.Hash
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A scheme is a way to sign a hash.
type scheme int

const (
	schemePKCS1 scheme = iota
	schemePSS
	schemeECDSA
)

// An algorithm is how a list is signed.
type algorithm struct {
	scheme scheme
	hash   crypto.Hash
}

// DER contents of object identifiers (RFC 4055, RFC 5758, RFC 8017).
const (
	oidSHA256      = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidSHA384      = "\x60\x86\x48\x01\x65\x03\x04\x02\x02"
	oidSHA512      = "\x60\x86\x48\x01\x65\x03\x04\x02\x03"
	oidMGF1        = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"
	oidRSAPSS      = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
	oidRSASHA256   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
	oidRSASHA384   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"
	oidRSASHA512   = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"
	oidECDSASHA256 = "\x2a\x86\x48\xce\x3d\x04\x03\x02"
	oidECDSASHA384 = "\x2a\x86\x48\xce\x3d\x04\x03\x03"
	oidECDSASHA512 = "\x2a\x86\x48\xce\x3d\x04\x03\x04"
)

var (
	errAlgorithm = errors.New("malformed signature algorithm")
	errPSS       = errors.New("RSASSA-PSS parameters must be SHA-256, SHA-384 or SHA-512, MGF1 with the same, " +
		"and a salt as long as the hash: have the CA sign the list so")
	errKeyKind = errors.New("the CA's key is of another kind than the signature")
)

// parseAlgorithm reads a signature AlgorithmIdentifier. The algorithms are those
// that ALB takes (ALB, Mutual authentication with TLS).
func parseAlgorithm(s cryptobyte.String) (algorithm, error) {
	oid, parameters, ok := readAlgorithmID(&s)
	if !ok || !s.Empty() {
		return algorithm{}, errAlgorithm
	}
	var a algorithm
	switch string(oid) {
	case oidRSAPSS:
		return parsePSS(parameters)
	case oidRSASHA256:
		a = algorithm{schemePKCS1, crypto.SHA256}
	case oidRSASHA384:
		a = algorithm{schemePKCS1, crypto.SHA384}
	case oidRSASHA512:
		a = algorithm{schemePKCS1, crypto.SHA512}
	case oidECDSASHA256:
		a = algorithm{schemeECDSA, crypto.SHA256}
	case oidECDSASHA384:
		a = algorithm{schemeECDSA, crypto.SHA384}
	case oidECDSASHA512:
		a = algorithm{schemeECDSA, crypto.SHA512}
	default:
		name, ok := extension{oid: oid}.identifier()
		if !ok {
			return a, errAlgorithm
		}
		return a, fmt.Errorf("signature algorithm %v is not accepted: "+
			"have the CA sign the list with SHA-256, SHA-384 or SHA-512 and RSA, RSASSA-PSS or ECDSA", name)
	}
	if len(parameters) > 0 && (a.scheme == schemeECDSA || !isNull(parameters)) {
		return algorithm{}, errAlgorithm
	}
	return a, nil
}

// readAlgorithmID takes one AlgorithmIdentifier: object identifier content and
// the element of the parameters, if any.
func readAlgorithmID(s *cryptobyte.String) (oid, parameters cryptobyte.String, ok bool) {
	var tag asn1.Tag
	if !s.ReadASN1(&parameters, asn1.SEQUENCE) || !parameters.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return nil, nil, false
	}
	rest := parameters
	if !rest.Empty() && (!rest.ReadAnyASN1Element(new(cryptobyte.String), &tag) || !rest.Empty()) {
		return nil, nil, false
	}
	return oid, parameters, true
}

func isNull(element []byte) bool { return bytes.Equal(element, encodingasn1.NullBytes) }

// parsePSS reads RSASSA-PSS-params (RFC 4055, 3.1). The defaults are SHA-1, so all
// but the trailer must be there.
func parsePSS(s cryptobyte.String) (algorithm, error) {
	var params, hashField, mgfField, saltField cryptobyte.String
	if !s.ReadASN1(&params, asn1.SEQUENCE) ||
		!params.ReadASN1(&hashField, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!params.ReadASN1(&mgfField, asn1.Tag(1).ContextSpecific().Constructed()) ||
		!params.ReadASN1(&saltField, asn1.Tag(2).ContextSpecific().Constructed()) ||
		!params.Empty() {
		return algorithm{}, errPSS
	}
	hash, ok := readHash(&hashField)
	mgf, mgfHashID, mgfOK := readAlgorithmID(&mgfField)
	if !ok || !mgfOK || string(mgf) != oidMGF1 || !hashField.Empty() || !mgfField.Empty() {
		return algorithm{}, errPSS
	}
	mgfHash, ok := readHash(&mgfHashID)
	var salt int
	if !ok || mgfHash != hash || !saltField.ReadASN1Integer(&salt) || !saltField.Empty() || salt != hash.Size() {
		return algorithm{}, errPSS
	}
	return algorithm{schemePSS, hash}, nil
}

// readHash reads the AlgorithmIdentifier of a hash, with parameters NULL or absent
// (RFC 4055, 2.1).
func readHash(s *cryptobyte.String) (crypto.Hash, bool) {
	oid, parameters, ok := readAlgorithmID(s)
	if !ok || len(parameters) > 0 && !isNull(parameters) {
		return 0, false
	}
	switch string(oid) {
	case oidSHA256:
		return crypto.SHA256, true
	case oidSHA384:
		return crypto.SHA384, true
	case oidSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

// verify checks a signature over a digest of the signed part.
func (a algorithm) verify(key crypto.PublicKey, digest, signature []byte) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch a.scheme {
		case schemePKCS1:
			return rsa.VerifyPKCS1v15(key, a.hash, digest, signature)
		case schemePSS:
			return rsa.VerifyPSS(key, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PublicKey:
		if a.scheme != schemeECDSA {
			break
		}
		if !ecdsa.VerifyASN1(key, digest, signature) {
			return errors.New("ecdsa: verification error")
		}
		return nil
	}
	return errKeyKind
}
