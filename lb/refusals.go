package lb

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/trust"
)

// defaultRefusalsShown is how many refusals a list has unless it is asked for another
// number.
const defaultRefusalsShown = 100

// A refusalReport is all that is known of one refusal. Its JSON form is a contract:
// fields are added, never renamed.
type refusalReport struct {
	*listener.RefusalRecord
	// Explained is "then" if the explanation was made with the refusal, "later" if it
	// was made now, by what is in force now, and comes to the same reason; empty if there is
	// none.
	Explained       string          `json:"explained"`
	Explanation     json.RawMessage `json:"explanation"`
	CertificatesPEM string          `json:"certificates_pem"` // as presented; for postern explain
}

// serveRefusals lists the refusals that are kept, newest first.
func (b *LoadBalancer) serveRefusals(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := defaultRefusalsShown
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > listener.MaxRefusals {
			http.Error(w, fmt.Sprintf("limit must be a number from 1 to %d", listener.MaxRefusals), http.StatusBadRequest)
			return
		}
		limit = n
	}
	name, reason := query.Get("listener"), trust.Reason(query.Get("reason"))
	list := b.refusals.List(limit, func(r *listener.RefusalRecord) bool {
		return (name == "" || r.Listener == name) && (reason == "" || r.Reason == reason)
	})
	answerJSON(w, map[string]any{"kept": b.refusals.Len(), "refusals": list})
}

// serveRefusal shows one refusal under the id that the client or a log has.
func (b *LoadBalancer) serveRefusal(w http.ResponseWriter, r *http.Request) {
	record := b.refusals.Find(r.PathValue("id"))
	if record == nil {
		http.Error(w, "no refusal is kept under this id: it may be too old (admin.refusals says how many are kept), or of another process; "+
			"the connection log has it by conn_trace_id", http.StatusNotFound)
		return
	}
	report := refusalReport{RefusalRecord: record, Explanation: record.Explanation, CertificatesPEM: record.ChainPEM()}
	switch {
	case report.Explanation != nil:
		report.Explained = "then"
	default:
		if report.Explanation = b.explainLater(record); report.Explanation != nil {
			report.Explained = "later"
		}
	}
	answerJSON(w, report)
}

// explainLater explains a refusal by what is in force now; nil if that would decide
// otherwise.
func (b *LoadBalancer) explainLater(r *listener.RefusalRecord) json.RawMessage {
	policy := b.runtime.policyNamed(r.Listener)
	if policy == nil || len(r.Chain) == 0 {
		return nil
	}
	v, e := policy.Explain(r.Chain, r.Time)
	if v == nil || v.Reason != r.Reason || v.Index != r.Certificate {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return text
}

// policyNamed returns the running policy of the listener of that name, or nil.
func (rt *runtime) policyNamed(name string) *listener.Policy {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, l := range rt.listeners {
		if l.policy.Name() == name {
			return l.policy
		}
	}
	return nil
}

func answerJSON(w http.ResponseWriter, value any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	json.NewEncoder(w).Encode(value) // an error means that the client is gone
}

// byAddress serves only requests that name this machine by an address, as localhost, or as the
// config does. A web page in the operator's browser could otherwise read what the admin
// side tells of clients, by having its own name resolve to 127.0.0.1 (DNS rebinding).
func byAddress(cfg config.Admin, serve http.HandlerFunc) http.Handler {
	configured, _, _ := net.SplitHostPort(cfg.Address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		if _, err := netip.ParseAddr(host); err != nil && !strings.EqualFold(host, "localhost") &&
			(configured == "" || !strings.EqualFold(host, configured)) {
			http.Error(w, "ask for this by address: http://127.0.0.1:PORT"+r.URL.EscapedPath(), http.StatusForbidden)
			return
		}
		serve(w, r)
	})
}
