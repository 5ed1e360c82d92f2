package listener

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-lb/postern/trust"
)

// Limits of a [Refusals].
const (
	// MaxRefusals is the largest number that may be kept.
	MaxRefusals = 10_000
	// MaxRefusalBytes is how much memory all of them together may take, as far as
	// clients choose it: certificates and explanations.
	MaxRefusalBytes = 16 << 20
	// maxExplained is how many refusals are explained each second when they happen. One
	// costs about as much as the refusal itself; the others are explained when
	// somebody asks.
	maxExplained = 20

	refusalBytes  = 1 << 10 // of a record without certificates and explanation
	parsedFactor  = 4       // what a certificate takes in memory, over its DER
	maxRefusalKey = 64      // bytes of an id that somebody asks for
)

// A RefusalRecord is what is kept of a client whose certificate was refused. It is
// immutable, and refers to nothing of the trust store that refused it.
type RefusalRecord struct {
	// ID is the conn_trace_id of the logs without TID_. What a client is told in mode
	// forbidden is this and the number of its request: ID-1 and so on.
	ID            string     `json:"id"`
	ConnTraceID   string     `json:"conn_trace_id"`
	Time          time.Time  `json:"time"`
	Listener      string     `json:"listener"`
	TrustStore    string     `json:"trust_store"`
	Client        netip.Addr `json:"client_ip"`
	ClientPort    uint16     `json:"client_port"`
	ServerName    string     `json:"sni,omitempty"`
	VPCEndpointID string     `json:"vpce_id,omitempty"`
	OnRefusal     Refusal    `json:"on_refusal"`
	Resumed       bool       `json:"resumed"`
	// Closed says that the client had been let in, and that its connection was closed when
	// it was not acceptable any more.
	Closed       bool         `json:"closed"`
	Reason       trust.Reason `json:"reason"`
	Detail       string       `json:"detail"`
	Certificate  int          `json:"certificate"` // at fault, from 0 in the chain; -1: none of them
	Subject      string       `json:"subject,omitempty"`
	Issuer       string       `json:"issuer,omitempty"`
	SerialNumber string       `json:"serial_number,omitempty"`
	Validity     string       `json:"validity,omitempty"`

	// Explanation is a trust.Explanation made when it happened; nil if too many
	// happened in that second, or if no certificate could be asked about.
	Explanation json.RawMessage `json:"-"`
	// Chain is what the client presented, within the limits of a trust store.
	Chain []*x509.Certificate `json:"-"`
}

// ChainPEM returns the certificates that the client presented.
func (r *RefusalRecord) ChainPEM() string {
	var b bytes.Buffer
	for _, c := range r.Chain {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // never fails: a Buffer takes all
	}
	return b.String()
}

// cost is how many bytes the record takes.
func (r *RefusalRecord) cost() int {
	n := refusalBytes + len(r.Explanation) + len(r.Detail) + len(r.Subject) + len(r.Issuer)
	for _, c := range r.Chain {
		n += parsedFactor * len(c.Raw)
	}
	return n
}

// Refusals keeps the last clients that were refused. It is safe for concurrent use; a
// nil one keeps none.
type Refusals struct {
	explain quota

	mu    sync.Mutex
	limit int
	ring  []*RefusalRecord // oldest first
	byID  map[string]*RefusalRecord
	bytes int
}

// NewRefusals returns a Refusals for so many clients.
func NewRefusals(limit int) *Refusals {
	return &Refusals{explain: quota{limit: maxExplained}, limit: limit, byID: make(map[string]*RefusalRecord)}
}

// Resize changes how many are kept, up to [MaxRefusals]; 0 keeps none.
func (rs *Refusals) Resize(limit int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.limit = min(max(limit, 0), MaxRefusals)
	rs.shrink(0)
}

// Len returns how many are kept.
func (rs *Refusals) Len() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.ring)
}

// add keeps r in place of the oldest.
func (rs *Refusals) add(r *RefusalRecord) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.limit == 0 {
		return
	}
	rs.shrink(r.cost())
	rs.ring = append(rs.ring, r)
	rs.byID[r.ID] = r
	rs.bytes += r.cost()
}

// shrink makes room for one of so many bytes, or for none.
func (rs *Refusals) shrink(room int) {
	drop := 0
	most := rs.limit
	if room > 0 {
		most--
	}
	for ; drop < len(rs.ring); drop++ {
		if len(rs.ring)-drop <= most && rs.bytes+room <= MaxRefusalBytes {
			break
		}
		delete(rs.byID, rs.ring[drop].ID)
		rs.bytes -= rs.ring[drop].cost()
		rs.ring[drop] = nil
	}
	rs.ring = rs.ring[drop:]
}

// Find returns the refusal that goes by an id, as the client or a log has it; nil if
// it is not kept.
func (rs *Refusals) Find(id string) *RefusalRecord {
	if len(id) > maxRefusalKey {
		return nil
	}
	id, _, _ = strings.Cut(strings.TrimPrefix(id, connTracePrefix), "-") // the number of the request
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byID[id]
}

// List returns at most limit refusals for which keep says yes, newest first.
func (rs *Refusals) List(limit int, keep func(*RefusalRecord) bool) []*RefusalRecord {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	out := []*RefusalRecord{}
	for i := len(rs.ring) - 1; i >= 0 && len(out) < limit; i-- {
		if keep(rs.ring[i]) {
			out = append(out, rs.ring[i])
		}
	}
	return out
}

// off reports whether nothing is kept, so that nothing need be collected.
func (rs *Refusals) off() bool {
	if rs == nil {
		return true
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.limit == 0
}

// refusalID names the record of a refused client.
func (c *conn) refusalID() string { return c.traceID[len(connTracePrefix):] }

// newRefusalID is what a refused client may quote when it asks why. It holds the id of
// the record, and no two answers have the same.
func (c *conn) newRefusalID() string {
	return c.refusalID() + "-" + strconv.FormatUint(uint64(c.forbidden.Add(1)), 10)
}

// keepRefusal records that the client of c was refused.
func (c *conn) keepRefusal(reason trust.Reason, detail string) {
	if !c.policy.refusals.off() {
		c.policy.keep(c, c.verdict, c.newRecord(reason, detail))
	}
}

// keepClosed records that the client of c, which had been let in, is not accepted any
// more.
func (p *Policy) keepClosed(c *conn, v *trust.Verdict) {
	if p.refusals.off() {
		return
	}
	r := c.newRecord(v.Reason, v.Detail)
	r.Closed = true
	p.keep(c, v, r)
}

// newRecord is what is known of the connection and of why it is refused.
func (c *conn) newRecord(reason trust.Reason, detail string) *RefusalRecord {
	return &RefusalRecord{
		ID: c.refusalID(), ConnTraceID: c.traceID, Listener: c.policy.name, OnRefusal: c.policy.mtls.OnRefusal,
		Client: c.client.Addr(), ClientPort: c.client.Port(), ServerName: cutText(c.sni, MaxLogServerName),
		VPCEndpointID: cutText(c.proxy.VPCEndpointID, MaxLogToken), Resumed: c.state.DidResume,
		Reason: reason, Detail: cutText(detail, MaxLogDetail), Certificate: -1, Chain: keepable(c.presented),
	}
}

// keep adds a record of what p decided about the client of c; v is nil if it was not
// asked.
func (p *Policy) keep(c *conn, v *trust.Verdict, r *RefusalRecord) {
	r.Time = p.now().UTC()
	if p.mtls.Store != nil {
		r.TrustStore = p.mtls.Store.Name()
	}
	if v != nil {
		r.Certificate = v.Index
		if id := v.Identity; id != nil {
			r.Subject, r.Issuer = cutText(id.Subject, MaxLogDetail), cutText(id.Issuer, MaxLogDetail)
			r.SerialNumber, r.Validity = cutText(id.Serial, MaxLogToken), id.Validity
		}
		if !v.Busy {
			p.explainRefusal(c, r)
		}
	}
	p.refusals.add(r)
}

// explainRefusal adds how the decision went, if there is time. The trust store may have
// changed since the decision; then the record stays without.
func (p *Policy) explainRefusal(c *conn, r *RefusalRecord) {
	if p.mtls.Mode != ModeVerify {
		return
	}
	if ok, _ := p.refusals.explain.take(r.Time); !ok {
		return
	}
	v, e := p.Explain(c.presented, r.Time)
	if v.Reason != r.Reason || v.Index != r.Certificate {
		return
	}
	if text, err := json.Marshal(e); err == nil {
		r.Explanation = text
	}
}

// keepable returns the chain if it is within the limits of a trust store.
func keepable(chain []*x509.Certificate) []*x509.Certificate {
	size := 0
	for _, c := range chain {
		size += len(c.Raw)
	}
	if len(chain) > trust.LargestMaxDepth || size > trust.MaxChainBytes {
		return nil
	}
	return chain
}

// cutText cuts text to so many bytes, in a copy: what is kept must not hold on to what it
// was cut from.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
