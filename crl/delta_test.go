package crl_test

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// deltaOf is a delta list with the given numbers, one byte each.
func deltaOf(ca *pki.Entity, base, number string, entries []byte, more ...[]byte) []byte {
	extensions := append([][]byte{ext(numberOID, "0201"+number), critical(deltaOID, "0201"+base)}, more...)
	return draft{ca: ca, entries: entries, extensions: bytes.Join(extensions, nil)}.der()
}

// baseOf is a full list with the given number.
func baseOf(ca *pki.Entity, number string, entries []byte, more ...[]byte) []byte {
	return draft{ca: ca, entries: entries, extensions: bytes.Join(append([][]byte{ext(numberOID, "0201"+number)}, more...), nil)}.der()
}

func TestDelta(t *testing.T) {
	root := pki.NewRoot("root")
	one := root.Client("one", pki.Serial(big.NewInt(1))).Cert // on the base list
	two := root.Client("two", pki.Serial(big.NewInt(2))).Cert // on no base list
	on := anEntry("01")
	held, other, back := anEntry("02"), anEntry("02", ext(reasonOID, "0a0106")), anEntry("01", ext(reasonOID, "0a0108"))
	for _, tt := range []struct {
		name     string
		lists    [][]byte
		one, two crl.Status
		fault    string
	}{
		{"adds", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "06", held)}, crl.Revoked, crl.Revoked, ""},
		{"before its base", [][]byte{deltaOf(root, "05", "06", other), baseOf(root, "05", on)}, crl.Revoked, crl.Revoked, ""},
		{"takes back", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "06", back)}, crl.Good, crl.Good, ""},
		{"a base newer than named", [][]byte{baseOf(root, "07", on), deltaOf(root, "05", "08", back)}, crl.Good, crl.Good, ""},
		{"empty", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "06", nil)}, crl.Revoked, crl.Good, ""},
		{"newest wins", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "07", nil), deltaOf(root, "05", "06", back)}, crl.Revoked, crl.Good, ""},
		{"newest wins, in order", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "06", back), deltaOf(root, "05", "07", nil)}, crl.Revoked, crl.Good, ""},
		{"superseded", [][]byte{baseOf(root, "06", on), deltaOf(root, "05", "06", back)}, crl.Revoked, crl.Good, ""},
		{"of one of two bases", [][]byte{baseOf(root, "05", on), baseOf(root, "07", on), deltaOf(root, "05", "06", back)}, crl.Revoked, crl.Good, ""},
		{"of both bases", [][]byte{baseOf(root, "05", on), baseOf(root, "06", on), deltaOf(root, "05", "07", back)}, crl.Good, crl.Good, ""},
		{"base too old", [][]byte{baseOf(root, "04", on), deltaOf(root, "05", "06", held)}, 0, 0, "fits no full list"},
		{"no base", [][]byte{deltaOf(root, "05", "06", held)}, 0, 0, "fits no full list"},
		{"base without number", [][]byte{draft{ca: root, entries: on}.der(), deltaOf(root, "05", "06", held)}, 0, 0, "fits no full list"},
		{"another scope", [][]byte{baseOf(root, "05", on), deltaOf(root, "05", "06", held, point(userOnly))}, 0, 0, "fits no full list"},
		{"another partition", [][]byte{baseOf(root, "05", on, point(full(nameY))), deltaOf(root, "05", "06", held, point(full(nameZ)))}, 0, 0, "fits no full list"},
		{"same partition", [][]byte{baseOf(root, "05", on, point(full(nameY))), deltaOf(root, "05", "06", back, point(full(nameY)))}, crl.Unknown, crl.Unknown, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := crl.NewSet(sources(t, tt.lists...), certs(root))
			if tt.fault != "" {
				refused(t, set, err, tt.fault)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range map[*x509.Certificate]crl.Status{one: tt.one, two: tt.two} {
				if got := set.Status(name, root.Cert).Status; got != c {
					t.Errorf("%s: %v, want %v", name.Subject.CommonName, got, c)
				}
			}
			if n := testing.AllocsPerRun(100, func() { set.Status(one, root.Cert) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// TestDeltaOfAnotherKey has a base and a delta of two CAs with one name.
func TestDeltaOfAnotherKey(t *testing.T) {
	root := pki.NewRoot("root")
	twin := sameName(root)
	set, err := crl.NewSet(sources(t, baseOf(root, "05", nil), deltaOf(twin, "05", "06", nil)), certs(root, twin))
	refused(t, set, err, "1: delta list 6 fits no full list")
}

// TestDeltaDescription is what a list says of itself, and until when base and delta hold.
func TestDeltaDescription(t *testing.T) {
	root := pki.NewRoot("root")
	data := deltaOf(root, "05", "06", slices.Concat(anEntry("01", ext(reasonOID, "0a0108")), anEntry("02")))
	list := parse(t, data)
	if list.BaseNumber().Int64() != 5 || list.Number().Int64() != 6 || list.ReasonCount(8) != 1 || list.ReasonCount(crl.Unspecified) != 1 {
		t.Errorf("base %v, number %v", list.BaseNumber(), list.Number())
	}
	early := "170d 3235303130313030303030305a 170d 3330303130313030303030305a" // to 2030
	base := draft{ca: root, times: unhex(early), extensions: ext(numberOID, "020105")}.der()
	if parse(t, base).BaseNumber() != nil {
		t.Error("a full list has a base number")
	}
	got := newSet(t, certs(root), base, data).Status(root.Client("c").Cert, root.Cert).FreshUntil
	if want := time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("fresh until %v, want %v", got, want)
	}
}

func TestDeltaRefusals(t *testing.T) {
	root := pki.NewRoot("root")
	for name, tt := range map[string]struct {
		extensions []byte
		want       string
	}{
		"no number":       {critical(deltaOID, "020105"), "BaseCRLNumber"},
		"older than base": {slices.Concat(ext(numberOID, "020104"), critical(deltaOID, "020105")), "BaseCRLNumber"},
		"not a number":    {slices.Concat(ext(numberOID, "020104"), critical(deltaOID, "0500")), "malformed deltaCRLIndicator"},
		"negative":        {slices.Concat(ext(numberOID, "020104"), critical(deltaOID, "0201ff")), "malformed deltaCRLIndicator"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := crl.Parse(draft{ca: root, extensions: tt.extensions}.der())
			refused(t, list, err, tt.want)
		})
	}
}
