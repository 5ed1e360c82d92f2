package listener

import (
	"time"

	"github.com/postern-lb/postern/trust"
)

// This file is about clients that verify mode lets in without believing them.

// tolerates reports whether a client that was not accepted is served all the same.
// One about which nothing could be found out is not: that is for its next attempt.
func (m *MutualAuthentication) tolerates(v *trust.Verdict, presented bool) bool {
	return m.Mode == ModeVerify && !v.Busy && (m.AllowInvalid || m.Optional && !presented)
}

// judged returns the verdict that is in force for c, nil outside verify mode. It may
// become a refusal while the connection is open, never an acceptance.
func (c *conn) judged() *trust.Verdict {
	if v := c.revised.Load(); v != nil {
		return v
	}
	return c.verdict
}

// hasCertificate reports whether the client presented one, believed or not.
func (c *conn) hasCertificate() bool { return len(c.presented) > 0 }

// tolerated reports whether the handshake let in a client that was not accepted.
func (c *conn) tolerated() bool {
	return c.verdict != nil && !c.verdict.Accepted && c.policy.mtls.tolerates(c.verdict, c.hasCertificate())
}

// believed reports whether the handshake left nothing to wish for.
func (c *conn) believed() bool { return c.verdict == nil || c.verdict.Accepted }

// recheckRefused decides about an open connection whose client was not accepted.
// It stays as long as p serves it, with pages or with 403.
func (p *Policy) recheckRefused(c *conn, v *trust.Verdict) *trust.Verdict {
	if p.mtls.tolerates(v, c.hasCertificate()) || p.mtls.OnRefusal == RefuseForbidden {
		return nil
	}
	return v
}

// revise gives c a refusal in place of its acceptance, and reports whether it may stay
// open: what is in flight, a WebSocket perhaps, has the identity that was lost. A
// request that begins meanwhile calls itself active before it looks at the verdict.
func (c *conn) revise(v *trust.Verdict) bool {
	c.expires.Store(0)
	c.revised.Store(v)
	if c.active.Load() {
		return false
	}
	if ok, missed := c.listener.lines.take(time.Now()); ok {
		c.listener.logger.Warn("the client certificate of an open connection is no longer accepted; its requests go on without it",
			"listener", c.listener.name, "conn_trace_id", c.traceID, "client", c.client.String(),
			"reason", string(v.Reason), "detail", v.Detail, "not_shown_before", missed)
	}
	return true
}
