package listener

import (
	"fmt"
	"maps"
	"slices"

	"github.com/postern-lb/postern/internal/fault"
)

// A PolicyID stands for one client-authentication policy of a listener. Ids are
// ordered: of two, the greater is the stricter. What makes a policy stricter is
// for the caller to say.
type PolicyID int

// A PolicySet says which policy a host has. A TLS handshake is done under the
// policy of the SNI name, a request is served under that of its Host; where they
// differ, the client authenticated for another host than the one it now asks
// for, and the request is answered with 421 (RFC 9110, section 15.5.20).
//
// Exact names come before wildcards, as for certificates. Every other host, an
// empty or malformed one included, has the default policy, which is never weaker
// than any other of the set: no spelling of a name, and no missing one, leads to
// less than the name itself. A PolicySet is immutable and safe for concurrent
// use.
type PolicySet struct {
	fallback        PolicyID
	exact, wildcard map[string]PolicyID
}

// NewPolicySet builds a set from host names or wildcards ("*.example.com") to
// ids. The error is a [fault.List] with the host as path: a host that
// [NormalizeHostPattern] refuses, two spellings of one host with different ids,
// an id stricter than fallback.
func NewPolicySet(fallback PolicyID, hosts map[string]PolicyID) (*PolicySet, error) {
	var faults fault.List
	s := &PolicySet{fallback: fallback, exact: map[string]PolicyID{}, wildcard: map[string]PolicyID{}}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		if err := s.add(host, hosts[host]); err != nil {
			faults.AddUnder(host, err)
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *PolicySet) add(pattern string, id PolicyID) error {
	host, wildcard, err := NormalizeHostPattern(pattern)
	if err != nil {
		return err
	}
	if id > s.fallback {
		return fmt.Errorf("its policy is stricter than the default; " +
			"a client that sends no name would get a weaker one: make the strictest policy the default")
	}
	names := s.exact
	if wildcard {
		names = s.wildcard
	}
	if other, ok := names[host]; ok && other != id {
		return fmt.Errorf("another spelling of %q has another policy", host)
	}
	names[host] = id
	return nil
}

// Lookup returns the policy of a host in any spelling, from SNI, Host or
// :authority. It allocates nothing for a host in normal form.
func (s *PolicySet) Lookup(host string) PolicyID {
	if len(s.exact) == 0 && len(s.wildcard) == 0 {
		return s.fallback
	}
	name, err := NormalizeHost(host)
	if err != nil {
		return s.fallback
	}
	if id, ok := s.exact[name]; ok {
		return id
	}
	if parent, ok := parentHost(name); ok {
		if id, ok := s.wildcard[parent]; ok {
			return id
		}
	}
	return s.fallback
}

// Misdirected reports whether a request for host must be answered with 421 on a
// connection whose handshake asked for serverName. serverName is as the client
// sent it, empty if it sent none.
func (s *PolicySet) Misdirected(serverName, host string) bool {
	return s.Lookup(serverName) != s.Lookup(host)
}
