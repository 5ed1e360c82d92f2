package listener

import (
	"crypto/x509"
	"time"

	"github.com/postern-lb/postern/trust"
)

// Explain says what a listener with this policy decides about a chain, and how. Both
// are nil unless the mode is [ModeVerify].
func (p *Policy) Explain(chain []*x509.Certificate, now time.Time) (*trust.Verdict, *trust.Explanation) {
	if p.mtls.Mode != ModeVerify {
		return nil, nil
	}
	return p.mtls.Store.Explain(chain, p.mtls.Trust, now)
}
