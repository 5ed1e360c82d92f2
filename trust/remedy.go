package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/postern-lb/postern/internal/dn"
)

// remedy says in a sentence what would let the client in; empty when it is in.
func remedy(q *question, v *Verdict, e *Explanation) string {
	switch v.Reason {
	case "":
		return ""
	case UnmappedConnectionError:
		if v.Busy {
			return "let the client try again; if this goes on, see the limit of concurrent verifications"
		}
		return "have the client send its certificate; check that it has a key and certificate configured for this host"
	case ClientCertMaxChainDepthExceeded:
		return fmt.Sprintf("have the client send fewer certificates (its own and the intermediates, not the root), or raise max_chain_depth to %d", len(q.chain))
	case ClientCertMaxSizeExceeded:
		return "have the client's certificate issued with fewer names and extensions, or have it send fewer certificates"
	case ClientCertInvalid:
		return "have the certificate issued anew, as X.509 version 3 in strict DER"
	case ClientCertTypeUnsupported:
		return "have the certificate issued anew for an RSA key (2048 bits or more) or an ECDSA key on P-256, P-384 or P-521"
	case ClientCertIncompatible:
		return "have the certificate issued anew, for a key and with a signature algorithm of the lists above"
	case ClientCertUntrusted:
		return remedyUntrusted(q, v, e.Nearest)
	case ClientCertRejected:
		return "if this client is to be let in, change identity_filters of the listener so that they admit it; else there is nothing to do"
	case ClientCertPurposeInvalid:
		return "have the certificate issued anew for TLS clients: key usage digitalSignature, extended key usage clientAuth"
	}
	return remedyOnPath(v)
}

// remedyOnPath is remedy for what may be the fault of the trust store.
func remedyOnPath(v *Verdict) string {
	ours := v.Index < 0
	switch v.Reason {
	case ClientCertCrlHit:
		if ours {
			return "a CA of the trust store is revoked: replace it in the bundle, and have its clients' certificates issued anew"
		}
		return "have a new certificate issued for the client; if the revocation was a mistake, have the CA publish a list without it and load that"
	case ClientCertCrlProcessingError:
		return "get the issuer's current revocation list and name it under revocations of the trust store"
	case ClientCertExpired:
		if ours {
			return "put the renewed CA certificate into the bundle in place of the one that has expired"
		}
		return "renew the certificate; if the client cannot wait, ignore_client_certificate_expiry of the listener lets expired client certificates in"
	case ClientCertNotYetValid:
		return "wait until the certificate is valid; if it should be already, compare the clock of this machine with that of the CA"
	}
	return "see the program's log"
}

func remedyUntrusted(q *question, v *Verdict, near *Nearest) string {
	if near != nil {
		switch near.Relation {
		case RelationConstrained:
			return "have the certificate issued within the constraints of its CA (names, path length), or have the CA certificate issued with wider ones"
		case RelationNotCA:
			return "put the CA's certificate into the bundle in place of the one that cannot issue"
		case RelationOtherKey:
			return "if the CA has a new key, add its new certificate to the bundle beside the old one; else the client's certificate is from somebody who uses the CA's name"
		case RelationOtherName, RelationSameKey:
			return "add the CA's certificate with the name that the client's certificate states to the bundle"
		}
	}
	if v.Index < 0 || v.Index >= len(q.chain) {
		return "add the certificate of the client's CA to the bundle"
	}
	c := q.chain[v.Index]
	if len(c.UnhandledCriticalExtensions) > 0 {
		return "have the certificate issued anew without the critical extension"
	}
	return remedyIssuer(c, v.Index, near)
}

// remedyIssuer is about a certificate whose issuer is not known.
func remedyIssuer(c *x509.Certificate, index int, near *Nearest) string {
	issuer := quote(dn.RFC2253(c.RawIssuer))
	text := "add the certificate of " + issuer + " to the bundle, if clients of this CA are to be let in"
	if !bytes.Equal(c.RawIssuer, c.RawSubject) {
		text += fmt.Sprintf("; if it is an intermediate, the client may send it after certificate %d instead", index)
	}
	if near != nil {
		text += "; " + quote(near.Subject) + " is in the bundle: has the client the certificate of the right environment?"
	}
	return text
}
