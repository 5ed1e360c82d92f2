package lb

import (
	"crypto/x509"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-lb/postern/lb/versions"
)

// A StoreReport says what a trust store has in force. Its JSON form is a contract:
// fields are added, never renamed.
type StoreReport struct {
	Name string `json:"name"`
	// Version is the number of the version in force.
	Version int `json:"version"`
	// Pin holds the version in force; nil if the trust store follows its sources.
	Pin *versions.Pin `json:"pin,omitempty"`
	// Waiting says what the sources have instead of the pinned version.
	Waiting string `json:"waiting,omitempty"`
	// Source says where the version came from.
	Source       string `json:"source_version"`
	Digest       string `json:"digest"`
	Certificates int    `json:"certificates"`
	Revoked      int    `json:"revoked"`
	// Warnings are what is questionable about the version now.
	Warnings []versions.Warning `json:"warnings"`
	// Versions are those that are kept, the newest last; of one trust store only.
	Versions []versions.Record `json:"versions,omitempty"`
}

// storeStates returns the trust stores in force by name, as they are now.
func (rt *runtime) storeStates() map[string]runningStore {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make(map[string]runningStore, len(rt.stores))
	for name, s := range rt.stores {
		out[name] = *s
	}
	return out
}

// servedCertificates returns the certificates that each listener presents.
func (rt *runtime) servedCertificates() map[string][]*x509.Certificate {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	out := make(map[string][]*x509.Certificate, len(rt.served))
	for name, certificates := range rt.served {
		for i := range certificates {
			if leaf := certificates[i].Leaf; leaf != nil {
				out[name] = append(out[name], leaf)
			}
		}
	}
	return out
}

func (b *LoadBalancer) storeReport(name string, s runningStore) StoreReport {
	version, _ := s.history.Find(s.version)
	return StoreReport{
		Name: name, Version: s.version, Pin: s.pin, Waiting: s.waiting, Source: s.material.version, Digest: version.Digest,
		Certificates: len(s.material.bundle.Certificates), Revoked: s.material.set.Entries(),
		Warnings: materialWarnings(s.material, version.Files, b.now()),
	}
}

// serveTrustStores answers with every trust store.
func (b *LoadBalancer) serveTrustStores(w http.ResponseWriter, _ *http.Request) {
	states := b.runtime.storeStates()
	out := []StoreReport{}
	for _, name := range slices.SortedFunc(maps.Keys(states), strings.Compare) {
		out = append(out, b.storeReport(name, states[name]))
	}
	answerJSON(w, out)
}

// serveTrustStore answers with one trust store and its versions.
func (b *LoadBalancer) serveTrustStore(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s, ok := b.runtime.storeStates()[name]
	if !ok {
		http.Error(w, "there is no trust store of that name", http.StatusNotFound)
		return
	}
	out := b.storeReport(name, s)
	out.Versions = s.history.Records()
	answerJSON(w, out)
}
