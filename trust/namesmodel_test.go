package trust_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// TestNameConstraintsAgainstPlainReading compares decisions with RFC 5280,
// 4.2.1.10, read word by word, on names and constraints that chance picks
// from few labels, so that they meet.
func TestNameConstraintsAgainstPlainReading(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	root := pki.NewRoot("root")
	key := pki.Key(root.Key)
	trusted := store(t, root.Cert)
	refused := 0
	for range 3000 {
		permitted, excluded := someNames(random, true), someNames(random, true)
		if len(permitted)+len(excluded) == 0 {
			continue
		}
		held := someNames(random, false)
		ca := root.Intermediate("ca", key, limits(t, true, permitted, excluded))
		client := ca.Client("c", key, alternative(t, held...))
		want := plainlyAllowed(held, permitted, excluded)
		got := trusted.Verify(client.Chain(), nil, time.Now())
		if got.Accepted != want {
			t.Fatalf("names %s, permitted %s, excluded %s: accepted %v, want %v; %s", held, permitted, excluded, got.Accepted, want, got.Detail)
		}
		if !want {
			refused++
		}
	}
	if refused < 500 || refused > 2500 {
		t.Errorf("%d of 3000 refused: chance has no say", refused)
	}
}

// String is for messages.
func (g general) String() string { return fmt.Sprintf("%d:%q", g.tag, g.data) }

func someNames(random *rand.Rand, constraint bool) []general {
	var list []general
	for range random.IntN(4) {
		list = append(list, someName(random, constraint))
	}
	if len(list) == 0 && !constraint {
		return []general{dns("a")}
	}
	return list
}

func someName(random *rand.Rand, constraint bool) general {
	labels := []string{"a", "b", "a-a", "A"}
	var host []string
	for range 1 + random.IntN(3) {
		host = append(host, labels[random.IntN(len(labels))])
	}
	name := strings.Join(host, ".")
	leading := constraint && random.IntN(3) == 0
	switch random.IntN(4) {
	case 0:
		switch {
		case leading:
			name = "." + name
		case !constraint && random.IntN(4) == 0:
			name = "*." + name
		}
		return dns(name)
	case 1:
		switch {
		case leading:
			name = "." + name
		case !constraint || random.IntN(2) == 0:
			name = []string{"x", "X"}[random.IntN(2)] + "@" + name
		}
		return email(name)
	case 2:
		if !constraint {
			return uri("spiffe://" + name + "/x")
		}
		if leading {
			name = "." + name
		}
		return uri(name)
	}
	address := []byte{10, byte(random.IntN(3)), byte(random.IntN(3)), byte(random.IntN(3))}
	if constraint {
		address = append(address, net.CIDRMask(8*random.IntN(5), 32)...)
	}
	return general{7, address}
}

func plainlyAllowed(held, permitted, excluded []general) bool {
	for _, name := range held {
		same := func(c general) bool { return c.tag == name.tag }
		within := func(c general) bool { return same(c) && plainlyWithin(name, c, false) }
		without := func(c general) bool { return same(c) && plainlyWithin(name, c, true) }
		if slices.ContainsFunc(excluded, without) || slices.ContainsFunc(permitted, same) && !slices.ContainsFunc(permitted, within) {
			return false
		}
	}
	return true
}

// plainlyWithin is wide where exclusions go further than the RFC: a host of an
// email address or a URI stands for the hosts below it too, and a wildcard
// may stand for what is excluded.
func plainlyWithin(name, constraint general, wide bool) bool {
	c, n := strings.ToLower(string(constraint.data)), strings.ToLower(string(name.data))
	below := func(host, domain string) bool {
		return strings.HasSuffix(host, "."+strings.TrimPrefix(domain, "."))
	}
	switch name.tag {
	case 2:
		if rest, ok := strings.CutPrefix(n, "*."); ok && wide {
			if _, parent, ok := strings.Cut(c, "."); ok && c[0] != '.' && parent == rest {
				return true
			}
		}
		return n == c || below(n, c)
	case 1:
		local, host, _ := strings.Cut(string(name.data), "@")
		if l, h, ok := strings.Cut(string(constraint.data), "@"); ok {
			return l == local && strings.EqualFold(h, host)
		}
		host = strings.ToLower(host)
		return host == c || (wide || c[0] == '.') && below(host, c)
	case 6:
		host := strings.TrimSuffix(strings.TrimPrefix(n, "spiffe://"), "/x")
		return host == c || (wide || c[0] == '.') && below(host, c)
	}
	network := net.IPNet{IP: net.IP(constraint.data[:4]).Mask(constraint.data[4:]), Mask: constraint.data[4:]}
	return network.Contains(name.data)
}
