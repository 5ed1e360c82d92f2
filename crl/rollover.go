package crl

import (
	"bytes"
	"crypto/x509"
)

// maxRolloverTries is how many CAs of one name are tried as the issuer of a
// certificate by which a CA vouches for another key of its own.
const maxRolloverTries = 32

// linkKeys finds the CAs that changed their key and said so: cas holds a certificate
// of one key that another key of the same name signed (RFC 4210, 4.4: "old with
// new" or "new with old"). What either key issued may be revoked by the other's
// lists. It is not vouched for by them: many CAs keep a list for each key, and
// a list that does not speak of a certificate must not pass for one that does.
//
// The same name alone links nothing, since strangers may have it.
func (s *Set) linkKeys(cas []*x509.Certificate) {
	byName := make(map[string][]*x509.Certificate)
	for _, ca := range cas {
		if ca.BasicConstraintsValid && ca.IsCA {
			byName[string(ca.RawSubject)] = append(byName[string(ca.RawSubject)], ca)
		}
	}
	for _, namesakes := range byName {
		for _, ca := range namesakes {
			if !bytes.Equal(ca.RawIssuer, ca.RawSubject) {
				continue
			}
			if issuer := otherKey(ca, namesakes); issuer != nil {
				one, other := s.signerFor(ca), s.signerFor(issuer)
				one.renewed, other.renewed = append(one.renewed, other), append(other.renewed, one)
			}
		}
	}
}

// otherKey returns the CA that signed ca, if it has another key.
func otherKey(ca *x509.Certificate, namesakes []*x509.Certificate) *x509.Certificate {
	tried := make(map[string]bool)
	for _, issuer := range namesakes {
		key := string(issuer.RawSubjectPublicKeyInfo)
		if key == string(ca.RawSubjectPublicKeyInfo) || tried[key] || len(tried) == maxRolloverTries {
			continue
		}
		tried[key] = true
		if ca.CheckSignatureFrom(issuer) == nil {
			return issuer
		}
	}
	return nil
}

// maxRollovers bounds how many keys of one CA are asked for one certificate.
const maxRollovers = 16

// revokedElsewhere asks the lists of the other keys of a CA. It does not allocate.
func (f *signer) revokedElsewhere(cert *x509.Certificate, serial []byte) (Result, bool) {
	var queue [maxRollovers]*signer
	queue[0] = f
	for at, end := 0, 1; at < end; at++ {
		if at > 0 {
			for i := range queue[at].lists {
				list := &queue[at].lists[i]
				if reason, by, ok := list.find(serial); ok && list.scope.covers(cert) {
					return Result{Status: Revoked, Reason: reason, List: by}, true
				}
			}
		}
		for _, next := range queue[at].renewed {
			if end < maxRollovers && !contains(queue[:end], next) {
				queue[end] = next
				end++
			}
		}
	}
	return Result{}, false
}

func contains(queue []*signer, s *signer) bool {
	for _, q := range queue {
		if q == s {
			return true
		}
	}
	return false
}
