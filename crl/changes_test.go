package crl_test

import (
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// TestChanges compares lists of random serials with what their entries say.
func TestChanges(t *testing.T) {
	root, random := pki.NewRoot("root"), rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, 30, 3000} {
		older, newer := make(map[string]int), make(map[string]int)
		for range size {
			n, reason := randomSerial(random).String(), random.IntN(7)
			switch random.IntN(4) {
			case 0:
				older[n] = reason
			case 1:
				newer[n] = reason
			case 2:
				older[n], newer[n] = reason, reason
			default:
				older[n], newer[n] = 1, 4
			}
		}
		got := listOf(t, root, older).Changes(listOf(t, root, newer), 5)
		if want := missing(newer, older); got.Added != len(want) || !sameEntries(got.AddedEntries, want) {
			t.Errorf("added %d %v, want %d", got.Added, got.AddedEntries, len(want))
		}
		if want := missing(older, newer); got.Removed != len(want) || !sameEntries(got.RemovedEntries, want) {
			t.Errorf("removed %d %v, want %d", got.Removed, got.RemovedEntries, len(want))
		}
		reasons := 0
		for n, reason := range older {
			if other, both := newer[n]; both && other != reason {
				reasons++
			}
		}
		if got.Reasons != reasons {
			t.Errorf("%d other reasons, want %d", got.Reasons, reasons)
		}
	}
}

func listOf(t *testing.T, ca *pki.Entity, entries map[string]int) *crl.List {
	var revoked []x509.RevocationListEntry
	for text, reason := range entries {
		n, _ := new(big.Int).SetString(text, 10)
		e := revocations(n)[0]
		e.ReasonCode = reason
		revoked = append(revoked, e)
	}
	return parse(t, ca.SignCRL(template(revoked...)))
}

// missing returns what has has and other has not, in the order of the serials.
func missing(has, other map[string]int) (out []*big.Int) {
	for text := range has {
		if _, ok := other[text]; !ok {
			n, _ := new(big.Int).SetString(text, 10)
			out = append(out, n)
		}
	}
	slices.SortFunc(out, (*big.Int).Cmp)
	return out
}

func sameEntries(got []crl.Entry, want []*big.Int) bool {
	if len(got) != min(len(want), 5) {
		return false
	}
	for i := range got {
		if got[i].Serial.Cmp(want[i]) != 0 {
			return false
		}
	}
	return true
}

// TestChangesOfOddSerials: serials of every length and sign come back as they were.
func TestChangesOfOddSerials(t *testing.T) {
	root := pki.NewRoot("root")
	var entries [][]byte
	var want []*big.Int
	for _, text := range []string{"-1", "-80", "-81", "0", "1", "7f", "80", "ff", "7fffffffffffffffffffffffffffffffffffffff", "ffffffffffffffffffffffffffffffffffffffff",
		"-ffffffffffffffffffffffffffffffffffffffff"} {
		n, _ := new(big.Int).SetString(text, 16)
		want, entries = append(want, n), append(entries, anEntryOf(n))
	}
	slices.SortFunc(want, (*big.Int).Cmp)
	empty, full := parse(t, draft{ca: root}.der()), parse(t, draft{ca: root, entries: join(entries...)}.der())
	got := empty.Changes(full, 100)
	if got.Added != len(want) || got.Removed != 0 || len(got.AddedEntries) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, e := range got.AddedEntries {
		if e.Serial.Cmp(want[i]) != 0 {
			t.Errorf("entry %d is %x, want %x", i, e.Serial, want[i])
		}
	}
}
