package crl

import "strconv"

// A ReasonCode says why a certificate was revoked (RFC 5280, 5.3.1). The zero
// value also stands for an entry that does not say.
type ReasonCode uint8

// The reason codes. There is no 7, and 8 (removeFromCRL) belongs in delta lists only.
const (
	Unspecified          ReasonCode = 0
	KeyCompromise        ReasonCode = 1
	CACompromise         ReasonCode = 2
	AffiliationChanged   ReasonCode = 3
	Superseded           ReasonCode = 4
	CessationOfOperation ReasonCode = 5
	CertificateHold      ReasonCode = 6
	PrivilegeWithdrawn   ReasonCode = 9
	AACompromise         ReasonCode = 10

	removeFromCRL ReasonCode = 8
	maxReason                = AACompromise
)

// String returns the name that RFC 5280 gives the code.
func (r ReasonCode) String() string {
	switch r {
	case Unspecified:
		return "unspecified"
	case KeyCompromise:
		return "keyCompromise"
	case CACompromise:
		return "cACompromise"
	case AffiliationChanged:
		return "affiliationChanged"
	case Superseded:
		return "superseded"
	case CessationOfOperation:
		return "cessationOfOperation"
	case CertificateHold:
		return "certificateHold"
	case removeFromCRL:
		return "removeFromCRL"
	case PrivilegeWithdrawn:
		return "privilegeWithdrawn"
	case AACompromise:
		return "aACompromise"
	}
	return "reason " + strconv.Itoa(int(r))
}
