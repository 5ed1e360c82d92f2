package crl

import (
	"bytes"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// FuzzQuickEntry asserts that where quickEntry answers, readEntry answers the same
// and reads as much.
func FuzzQuickEntry(f *testing.F) {
	const date = "170d3235303130313030303030305a"
	for _, s := range []string{
		"3012020101" + date,
		"301f02020080" + date + "300c300a0603551d1504030a0101",
		"301e020101" + date + "300c300a0603551d1504030a0108",
		"3012020101" + "170d3235303232393030303030305a",
		"3026021500ff00000000000000000000000000000000000000" + date,
		"3013020101" + date + "05",
		"30130202ff80" + date,
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, 2)
		f.Add(b, 1)
	}
	f.Fuzz(func(t *testing.T, data []byte, version int) {
		quick, n := quickEntry(data, version)
		if n == 0 {
			return
		}
		rest := cryptobyte.String(data)
		slow, err := readEntry(&rest, version)
		if err != nil {
			t.Fatalf("quickEntry takes what readEntry refuses: %v", err)
		}
		if !bytes.Equal(quick.serial, slow.serial) || quick.reason != slow.reason || !bytes.Equal(quick.date, slow.date) || n != len(data)-len(rest) {
			t.Fatalf("quickEntry reads %x, %v in %d bytes, readEntry %x, %v in %d",
				quick.serial, quick.reason, n, slow.serial, slow.reason, len(data)-len(rest))
		}
	})
}

// TestQuickEntryIsUsed holds that the entries which most lists consist of are read
// the quick way.
func TestQuickEntryIsUsed(t *testing.T) {
	for _, s := range []string{
		"3012020101170d3235303130313030303030305a",
		"3020020101170d3235303130313030303030305a300c300a0603551d1504030a0101",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, n := quickEntry(b, 2); n != len(b) {
			t.Errorf("%s: %d bytes read, want %d", s, n, len(b))
		}
	}
}
