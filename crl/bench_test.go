package crl_test

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

const million = 1_000_000

// serialAt is where in an entry of bigEntries the serial starts.
const serialAt = 4

// bigEntries is n entries of 39 bytes with serials of 20: 0x40, 15 random bytes, and
// the number of the entry.
func bigEntries(n int) []byte {
	entry := anEntry("40" + "00000000000000000000000000000000000000")
	random := mathrand.NewChaCha8([32]byte{})
	all := make([]byte, 0, n*len(entry))
	for i := range n {
		random.Read(entry[serialAt+1 : serialAt+16])
		binary.BigEndian.PutUint32(entry[serialAt+16:], uint32(i))
		all = append(all, entry...)
	}
	return all
}

// bigSerials is the serials of bigEntries, a few of them.
func bigSerials(entries []byte) []*big.Int {
	const size, step = 39, 997
	var all []*big.Int
	for at := 0; at < len(entries); at += step * size {
		all = append(all, new(big.Int).SetBytes(entries[at+serialAt:at+serialAt+20]))
	}
	return all
}

// benchSizes are the lists that are measured, in entries.
var benchSizes = []int{10_000, 100_000, million}

// BenchmarkStatus is one look-up, with serials all over the index so that a big one is
// not in the processor's caches. It leaves out what a handshake does around it.
func BenchmarkStatus(b *testing.B) {
	for _, size := range benchSizes {
		root := pki.NewRoot("root")
		entries := bigEntries(size)
		set := newSet(b, certs(root), draft{ca: root, entries: entries}.der())
		hits := bigSerials(entries)
		var misses []*big.Int
		for _, n := range hits {
			misses = append(misses, new(big.Int).Xor(n, big.NewInt(1<<40)))
		}
		for _, bench := range []struct {
			name    string
			serials []*big.Int
			want    crl.Status
		}{{"hit", hits, crl.Revoked}, {"miss", misses, crl.Good}} {
			b.Run(fmt.Sprintf("entries=%d/answer=%s", size, bench.name), func(b *testing.B) {
				cert := &x509.Certificate{}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					cert.SerialNumber = bench.serials[i%len(bench.serials)]
					if set.Status(cert, root.Cert).Status != bench.want {
						b.Fatalf("serial %X", cert.SerialNumber)
					}
				}
			})
		}
	}
}

// BenchmarkStatusParts is one look-up of a certificate that a list does not have, where a
// partition or a delta list makes the answer.
func BenchmarkStatusParts(b *testing.B) {
	root := pki.NewRoot("root")
	base := slices.Concat(ext(numberOID, "020105"), point(full(nameY)))
	cert := dps(root.Client("client").Cert, full(nameZ), full(nameY))
	whole := bigList(root, 10_000) // number 1
	for _, bench := range []struct {
		name string
		set  *crl.Set
	}{
		{"partition", newSet(b, certs(root), draft{ca: root, entries: bigEntries(10_000), extensions: base}.der())},
		{"delta", newSet(b, certs(root), whole, deltaOf(root, "01", "02", bigEntries(100)))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bench.set.Status(cert, root.Cert).Status != crl.Good {
					b.Fatal("not good")
				}
			}
		})
	}
}

// BenchmarkParse reads a list, and reports what the index takes for each entry and
// how far the heap grew meanwhile at most, without the file.
func BenchmarkParse(b *testing.B) {
	for _, size := range benchSizes {
		der := bigList(pki.NewRoot("root"), size)
		for _, bench := range []struct {
			name string
			data []byte
		}{{"DER", der}, {"PEM", pki.CRLPEM(der)}} {
			b.Run(fmt.Sprintf("entries=%d/form=%s", size, bench.name), func(b *testing.B) {
				b.SetBytes(int64(len(bench.data)))
				b.ReportAllocs()
				var list *crl.List
				for b.Loop() {
					list = parse(b, bench.data)
				}
				b.ReportMetric(float64(list.IndexBytes())/float64(size), "index-bytes/entry")
				b.ReportMetric(float64(peak(func() { parse(b, bench.data) }))/1e6, "peak-MB")
			})
		}
	}
}

// peak is by how many bytes the heap grows at most while f runs.
func peak(f func()) uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	before, most := stats.HeapAlloc, stats.HeapAlloc
	done := make(chan struct{})
	go func() { f(); close(done) }()
	for {
		select {
		case <-done:
			return most - before
		case <-time.After(5 * time.Millisecond):
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
}

// TestMillion is the size that must work: a million entries in PEM, found and not
// found.
func TestMillion(t *testing.T) {
	root := pki.NewRoot("root")
	entries := bigEntries(million)
	list := parse(t, pki.CRLPEM(draft{ca: root, entries: entries}.der()))
	if list.Len() != million {
		t.Errorf("%d entries", list.Len())
	}
	if err := list.CheckSignature(root.Cert); err != nil {
		t.Error(err)
	}
	const most = 24
	if perEntry := float64(list.IndexBytes()) / million; perEntry > most {
		t.Errorf("%.1f bytes an entry, want at most %d", perEntry, most)
	}
	for _, n := range bigSerials(entries) {
		if _, ok := list.Contains(n); !ok {
			t.Errorf("serial %X is missing", n)
		}
		if _, ok := list.Contains(n.Xor(n, big.NewInt(1<<40))); ok {
			t.Errorf("serial %X is there", n)
		}
	}
}
