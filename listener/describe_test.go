package listener

import (
	"testing"

	"github.com/postern-lb/postern/trust"
)

func TestHandshakeOutcomeOfARefusal(t *testing.T) {
	missing := trust.RefuseMissing()
	for _, tt := range []struct {
		verdict      *trust.Verdict
		reason       trust.Reason
		outcome, why string
	}{
		{&trust.Verdict{Accepted: true}, "", HandshakeAccepted, ""},
		{missing, missing.Reason, HandshakeRefused, "ClientCertMissing"},
		{&trust.Verdict{Reason: trust.ClientCertExpired}, trust.ClientCertExpired, HandshakeRefused, "ClientCertExpired"},
	} {
		c := &conn{verdict: tt.verdict, policy: &Policy{}}
		if outcome, why := c.handshakeOutcome(tt.reason, nil); outcome != tt.outcome || why != tt.why {
			t.Errorf("reason %q: counted as %s, %s, want %s, %s", tt.reason, outcome, why, tt.outcome, tt.why)
		}
	}
}
