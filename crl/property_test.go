package crl_test

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// randomSerial has 0 to 159 bits, so 20 bytes at most with its sign.
func randomSerial(random *rand.Rand) *big.Int {
	n := new(big.Int)
	for range 3 {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(random.Uint64()))
	}
	return n.Rsh(n, uint(33+random.IntN(160)))
}

// TestAgreesWithTheStandardLibrary makes lists of random sizes with random
// serials and reasons, and compares every answer with what crypto/x509 reads
// from the same list.
func TestAgreesWithTheStandardLibrary(t *testing.T) {
	root := pki.NewRoot("root")
	random := rand.New(rand.NewPCG(1, 2))
	reasons := []int{0, 1, 2, 3, 4, 5, 6, 9, 10}
	for _, size := range []int{0, 1, 2, 15, 16, 17, 100, 1000, 20_000} {
		var entries []x509.RevocationListEntry
		for range size {
			entry := revocations(randomSerial(random))[0]
			entry.ReasonCode = reasons[random.IntN(len(reasons))]
			entries = append(entries, entry)
		}
		der := root.SignCRL(template(entries...))
		list := parse(t, der)
		standard, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, list, standard)
		for range 1000 {
			n := randomSerial(random)
			if _, got := list.Contains(n); got != lists(standard, n) {
				t.Errorf("%d entries: serial %X found: %v", size, n, got)
			}
		}
	}
}

// sameAnswers holds list to what the standard library read.
func sameAnswers(t *testing.T, list *crl.List, standard *x509.RevocationList) {
	t.Helper()
	entries := standard.RevokedCertificateEntries
	if list.Len() != len(entries) {
		t.Errorf("%d entries, want %d", list.Len(), len(entries))
	}
	reasons := make(map[string][]int) // a serial may be there more than once
	for _, e := range entries {
		key := e.SerialNumber.String()
		reasons[key] = append(reasons[key], e.ReasonCode)
	}
	for _, e := range entries {
		reason, ok := list.Contains(e.SerialNumber)
		if !ok {
			t.Errorf("serial %X is missing", e.SerialNumber)
			continue
		}
		if !slices.Contains(reasons[e.SerialNumber.String()], int(reason)) {
			t.Errorf("serial %X has reason %v, want one of %v", e.SerialNumber, reason, reasons[e.SerialNumber.String()])
		}
	}
	if !bytes.Equal(list.RawIssuer(), standard.RawIssuer) {
		t.Errorf("issuer %x, want %x", list.RawIssuer(), standard.RawIssuer)
	}
	if !list.ThisUpdate().Equal(standard.ThisUpdate) || !list.NextUpdate().Equal(standard.NextUpdate) {
		t.Errorf("from %v to %v, want %v to %v", list.ThisUpdate(), list.NextUpdate(), standard.ThisUpdate, standard.NextUpdate)
	}
	number := list.Number()
	if (number == nil) != (standard.Number == nil) || number != nil && number.Cmp(standard.Number) != 0 {
		t.Errorf("number %v, want %v", number, standard.Number)
	}
}

func lists(standard *x509.RevocationList, n *big.Int) bool {
	for _, e := range standard.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(n) == 0 {
			return true
		}
	}
	return false
}

// TestSerialEdges looks up serials whose encodings are close to one another, in
// lists that have all but one of them.
func TestSerialEdges(t *testing.T) {
	one := big.NewInt(1)
	power := func(bits uint) *big.Int { return new(big.Int).Lsh(one, bits) }
	edges := []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(-1)}
	for _, bits := range []uint{7, 8, 15, 16, 63, 64, 151, 152, 158, 159} {
		edges = append(edges, power(bits), new(big.Int).Sub(power(bits), one), new(big.Int).Add(power(bits), one),
			new(big.Int).Neg(power(bits)), new(big.Int).Neg(new(big.Int).Add(power(bits), one)), new(big.Int).Sub(one, power(bits)))
	}
	edges = append(edges, new(big.Int).Sub(power(160), one), new(big.Int).Neg(power(160))) // the longest there are
	root := pki.NewRoot("root")
	for leftOut := range edges {
		var entries []byte
		for i, n := range edges {
			if i != leftOut {
				entries = append(entries, anEntryOf(n)...)
			}
		}
		list := parse(t, draft{ca: root, entries: entries}.der())
		for i, n := range edges {
			if _, got := list.Contains(n); got != (i != leftOut) {
				t.Errorf("without %X: %X found: %v", edges[leftOut], n, got)
			}
		}
	}
	tooLong := parse(t, draft{ca: root, entries: anEntryOf(power(159))}.der())
	for _, bits := range []uint{160, 168, 176, 2048} {
		if _, ok := tooLong.Contains(power(bits)); ok {
			t.Errorf("2^%d found", bits)
		}
	}
}

// TestIndexSize holds the index to 24 bytes an entry, whatever the size of the
// list, once it is of a size that matters.
func TestIndexSize(t *testing.T) {
	const most = 24
	root := pki.NewRoot("root")
	for _, n := range []int{1000, 4096, 33_000, 65_535, 65_536, 65_537, 100_000} {
		list := parse(t, bigList(root, n))
		if perEntry := float64(list.IndexBytes()) / float64(n); perEntry > most {
			t.Errorf("%d entries: %.1f bytes each, want at most %d", n, perEntry, most)
		}
	}
}

// TestAgreesWithOpenSSL compares serials, reasons, issuer and number with what the
// openssl command prints. It needs the command.
func TestAgreesWithOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("this test compares with OpenSSL; install the openssl command: %v", err)
	}
	root := pki.NewRoot("OpenSSL, root")
	random := rand.New(rand.NewPCG(3, 4))
	var entries []x509.RevocationListEntry
	for range 500 {
		entries = append(entries, revocations(randomSerial(random))...)
	}
	der := root.SignCRL(template(entries...))
	list := parse(t, der)
	cmd := exec.Command(openssl, "crl", "-inform", "DER", "-noout", "-text", "-issuer", "-nameopt", "RFC2253")
	cmd.Stdin = bytes.NewReader(der)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Serial Number: ([0-9A-F]+)`).FindAllSubmatch(out, -1)
	if len(found) != list.Len() || list.Len() != len(entries) {
		t.Errorf("OpenSSL prints %d entries, Len is %d, made %d", len(found), list.Len(), len(entries))
	}
	for _, f := range found {
		n, _ := new(big.Int).SetString(string(f[1]), 16)
		if _, ok := list.Contains(n); !ok {
			t.Errorf("serial %s is missing", f[1])
		}
	}
	if want := "issuer=" + list.Issuer() + "\n"; !strings.Contains(string(out), want) {
		t.Errorf("OpenSSL does not print %q", want)
	}
}
