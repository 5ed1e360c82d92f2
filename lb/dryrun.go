package lb

import (
	"encoding/hex"
	"time"

	"github.com/postern-lb/postern/internal/dn"
	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/seen"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/trust"
)

// A DryRun is the forecast of what becomes of the clients that were let in lately. Its
// JSON form is a contract: fields may be added, none is renamed or removed.
type DryRun struct {
	File    string    `json:"file"`
	At      time.Time `json:"at"`
	Problem string    `json:"problem,omitempty"` // why nothing is known of any client
	DryRunCount
	Listeners []DryRunListener `json:"listeners"`
	// Clients are those that are not simply admitted.
	Clients []DryRunClient `json:"clients"`
	// NotKnown says what a forecast takes for granted.
	NotKnown []string `json:"not_known"`
}

// A DryRunCount counts clients. One that was seen at two listeners counts twice.
type DryRunCount struct {
	Known     int `json:"known"`
	Admitted  int `json:"admitted"`
	LockedOut int `json:"locked_out"`
	Undecided int `json:"undecided"`
	NotJudged int `json:"not_judged"` // their listener is not there, or verifies no more
}

// A DryRunListener is the forecast for the clients of one listener.
type DryRunListener struct {
	Listener   string `json:"listener"`
	TrustStore string `json:"trust_store"` // of the listener now; empty if it does not verify
	DryRunCount
	Reasons map[trust.Reason]int `json:"reasons,omitempty"` // of those locked out
}

// The outcomes of a DryRunClient.
const (
	OutcomeLockedOut = "locked_out"
	OutcomeUndecided = "undecided"
)

// A DryRunClient is a client that would not be let in, or may not be.
type DryRunClient struct {
	Listener     string       `json:"listener"`
	TrustStore   string       `json:"trust_store"`
	SHA256       string       `json:"sha256"`
	Subject      string       `json:"subject"`
	Issuer       string       `json:"issuer"`
	SerialNumber string       `json:"serial_number"`
	NotAfter     time.Time    `json:"not_after"`
	FirstSeen    time.Time    `json:"first_seen"`
	LastSeen     time.Time    `json:"last_seen"`
	Outcome      string       `json:"outcome"`
	Reason       trust.Reason `json:"reason,omitempty"`
	Detail       string       `json:"detail"`
	Unsure       string       `json:"unsure,omitempty"` // why it is undecided
}

// Bounds on what a dry run takes from a file: the largest that a config may set.
const (
	maxDryRunClients = 1_000_000
	maxDryRunAge     = 8760 * time.Hour
)

// notKnown is what footprints do not tell.
var notKnown = []string{
	"clients are judged by what is kept of them, not by their certificates: key, signature, purpose and alternative names are taken to be as they were",
	"a certificate that a client sends without need today is not kept; a new bundle may lead to it",
	"clients that were not seen within the retention, or were pushed out by others, are not there",
}

// dryRun judges the clients that are kept, by the files that p was made of.
func (p *plan) dryRun(o *CheckOptions) *DryRun {
	path := o.SeenClients
	if path == "" {
		path = seenPath(p.desired)
	}
	if path == "" {
		return nil
	}
	d := &DryRun{File: path, At: o.At.UTC(), NotKnown: notKnown, Listeners: []DryRunListener{}, Clients: []DryRunClient{}}
	if p.desired.SeenClients.Limit == 0 && o.SeenClients == "" {
		d.Problem = "seen_clients.limit is 0, so nobody is remembered"
		return d
	}
	// Whoever wrote the file has kept to the bounds of then.
	clients := seen.New(maxDryRunClients, maxDryRunAge)
	if err := clients.Load(path, time.Now()); err != nil {
		d.Problem = "what is kept of them cannot be read: " + err.Error()
		return d
	}
	d.judge(p, clients.Clients(), o.At)
	return d
}

// A judge is what decides at one listener.
type judge struct {
	store  *trust.Store
	policy *trust.Policy
}

func (p *plan) judges() map[string]judge {
	out := make(map[string]judge)
	for _, l := range p.desired.Listeners {
		s := p.stores[l.MutualAuthentication.TrustStore]
		if s == nil {
			continue
		}
		var faults fault.List // there are none, or there would be no plan
		m := mutualAuthentication(l.MutualAuthentication, trust.NewStore(l.MutualAuthentication.TrustStore, trust.Options{}), &faults)
		if m.Mode == listener.ModeVerify {
			s.publishTo(m.Store)
			out[l.Name] = judge{m.Store, m.Trust}
		}
	}
	return out
}

// judge goes through clients that stand in the order of their listeners.
func (d *DryRun) judge(p *plan, clients []seen.Client, at time.Time) {
	judges := p.judges()
	for i := range clients {
		c := &clients[i]
		j, there := judges[c.Listener]
		if n := len(d.Listeners); n == 0 || d.Listeners[n-1].Listener != c.Listener {
			l := DryRunListener{Listener: c.Listener, Reasons: make(map[trust.Reason]int)}
			if there {
				l.TrustStore = j.store.Name()
			}
			d.Listeners = append(d.Listeners, l)
		}
		of := &d.Listeners[len(d.Listeners)-1]
		before := of.DryRunCount
		if there {
			d.judgeOne(j, c, of, at)
		} else {
			of.NotJudged++
		}
		of.Known++
		d.Known++
		d.Admitted += of.Admitted - before.Admitted
		d.LockedOut += of.LockedOut - before.LockedOut
		d.Undecided += of.Undecided - before.Undecided
		d.NotJudged += of.NotJudged - before.NotJudged
	}
}

func (d *DryRun) judgeOne(j judge, c *seen.Client, of *DryRunListener, at time.Time) {
	f := j.store.Foresee(&c.Footprint, j.policy, at)
	outcome := OutcomeUndecided
	switch {
	case f.Unsure != "":
		of.Undecided++
	case f.Accepted:
		of.Admitted++
		return
	default:
		of.LockedOut++
		of.Reasons[f.Reason]++
		outcome = OutcomeLockedOut
	}
	d.Clients = append(d.Clients, DryRunClient{
		Listener: c.Listener, TrustStore: of.TrustStore, SHA256: hex.EncodeToString(c.SHA256[:]),
		Subject: dn.RFC2253(c.Subject), Issuer: c.Issuer, SerialNumber: f.Identity.Serial, NotAfter: c.NotAfter.UTC(),
		FirstSeen: c.FirstSeen.UTC(), LastSeen: c.LastSeen.UTC(), Outcome: outcome, Reason: f.Reason, Detail: f.Detail, Unsure: f.Unsure,
	})
}
