package trust

// Reason says why a client certificate was refused. Its text is what follows
// "Failed:" in ALB's connection log ("Connection logs for your Application Load
// Balancer"), so a Reason is never renamed. An accepted client has the empty
// Reason.
type Reason string

// The reasons, in ALB's spelling.
const (
	ClientCertMaxChainDepthExceeded Reason = "ClientCertMaxChainDepthExceeded"
	ClientCertMaxSizeExceeded       Reason = "ClientCertMaxSizeExceeded"
	ClientCertCrlHit                Reason = "ClientCertCrlHit"
	ClientCertCrlProcessingError    Reason = "ClientCertCrlProcessingError"
	ClientCertUntrusted             Reason = "ClientCertUntrusted"
	ClientCertNotYetValid           Reason = "ClientCertNotYetValid"
	ClientCertExpired               Reason = "ClientCertExpired"
	ClientCertTypeUnsupported       Reason = "ClientCertTypeUnsupported"
	ClientCertInvalid               Reason = "ClientCertInvalid"
	ClientCertPurposeInvalid        Reason = "ClientCertPurposeInvalid"
	ClientCertRejected              Reason = "ClientCertRejected"
	ClientCertIncompatible          Reason = "ClientCertIncompatible"
	UnmappedConnectionError         Reason = "UnmappedConnectionError"
)

// Reasons returns every reason, in a fixed order, for metrics that want a
// series for each.
func Reasons() []Reason {
	return []Reason{
		ClientCertMaxChainDepthExceeded, ClientCertMaxSizeExceeded, ClientCertInvalid,
		ClientCertTypeUnsupported, ClientCertIncompatible, ClientCertUntrusted,
		ClientCertRejected, ClientCertCrlHit, ClientCertCrlProcessingError,
		ClientCertNotYetValid, ClientCertExpired, ClientCertPurposeInvalid,
		UnmappedConnectionError,
	}
}

// Text describes the reason in a few words, for people. It is empty for the
// empty Reason and for text that is no Reason.
func (r Reason) Text() string {
	switch r {
	case ClientCertMaxChainDepthExceeded:
		return "the client sent more certificates than the chain depth allows"
	case ClientCertMaxSizeExceeded:
		return "a client certificate, or all of them together, is too large"
	case ClientCertCrlHit:
		return "a certificate is revoked"
	case ClientCertCrlProcessingError:
		return "the revocation lists could not be consulted"
	case ClientCertUntrusted:
		return "no path leads from the certificate to the trust store"
	case ClientCertNotYetValid:
		return "a certificate is not valid yet"
	case ClientCertExpired:
		return "a certificate has expired"
	case ClientCertTypeUnsupported:
		return "the type of a certificate's key is not supported"
	case ClientCertInvalid:
		return "a certificate cannot be parsed"
	case ClientCertPurposeInvalid:
		return "a certificate is not meant for TLS clients"
	case ClientCertRejected:
		return "the identity filters do not admit the certificate"
	case ClientCertIncompatible:
		return "a key or signature algorithm is not allowed"
	case UnmappedConnectionError:
		return "no certificate was presented, or it could not be judged"
	}
	return ""
}
