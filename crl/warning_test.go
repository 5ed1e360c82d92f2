package crl_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

func TestWarnings(t *testing.T) {
	root := pki.NewRoot("root")
	date := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	number := ext(numberOID, "020101")
	good := draft{entries: anEntry("01"), extensions: number} // from 2025 to 2035
	with := func(change func(*draft)) draft { d := good; change(&d); return d }
	for _, tt := range []struct {
		name  string
		draft draft
		now   time.Time
		want  []crl.WarningKind
	}{
		{"good", good, date(2030), nil},
		{"at thisUpdate", good, date(2025), nil},
		{"more than a tenth is left", good, date(2033), nil},
		{"less than a tenth is left", good, date(2034).AddDate(0, 0, 2), []crl.WarningKind{crl.Due}},
		{"at nextUpdate", good, date(2035), []crl.WarningKind{crl.Due}},
		{"expired", good, date(2035).Add(time.Second), []crl.WarningKind{crl.Expired}},
		{"in the future", good, date(2025).Add(-time.Second), []crl.WarningKind{crl.NotYetValid}},
		{"no nextUpdate", with(func(d *draft) { d.times = unhex(someTime) }), date(2060), []crl.WarningKind{crl.NoNextUpdate}},
		{"no number", with(func(d *draft) { d.extensions = nil }), date(2030), []crl.WarningKind{crl.NoNumber}},
		{"empty", with(func(d *draft) { d.entries = nil }), date(2030), []crl.WarningKind{crl.Empty}},
		{"empty sequence", with(func(d *draft) { d.entries = []byte{} }), date(2030), []crl.WarningKind{crl.Empty}},
		{"partition", with(func(d *draft) { d.extensions = join(number, point(uri)) }), date(2030), []crl.WarningKind{crl.Partitioned}},
		{"negative", with(func(d *draft) { d.entries = anEntry("ff") }), date(2030), []crl.WarningKind{crl.Negative}},
		{"all at once", draft{times: unhex(someTime)}, date(2000), []crl.WarningKind{crl.NotYetValid, crl.NoNextUpdate, crl.NoNumber, crl.Empty}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.draft.ca = root
			set := newSet(t, certs(root), tt.draft.der())
			warnings := set.Warnings(tt.now)
			if got := kinds(warnings); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			for _, w := range warnings {
				if w.Source != "0" || !strings.HasPrefix(w.String(), "0: the list ") && !strings.HasPrefix(w.String(), "0: 1 entries") {
					t.Errorf("warning reads %q", w)
				}
			}
		})
	}
}

// TestExpiredListsApply is ALB's rule: nextUpdate is not enforced.
func TestExpiredListsApply(t *testing.T) {
	root := pki.NewRoot("root")
	client := root.Client("c")
	past := "170d 3230303130313030303030305a 170d 3230303230313030303030305a" // 2020
	set := newSet(t, certs(root), draft{ca: root, times: unhex(past), entries: entryOf(client)}.der())
	if got := set.Status(client.Cert, root.Cert).Status; got != crl.Revoked {
		t.Errorf("%v, want revoked", got)
	}
}

func TestQuotaWarnings(t *testing.T) {
	root := pki.NewRoot("root")
	tiny := draft{ca: root, entries: anEntry("01"), extensions: ext(numberOID, "020101")}.der()
	big := draft{ca: root, entries: bigEntries(crl.QuotaEntries - crl.QuotaLists), extensions: ext(numberOID, "020101")}.der()
	large := join(bytes.Repeat([]byte("#\n"), crl.QuotaSize/2), pki.CRLPEM(tiny))
	repeat := func(n int, first []byte) [][]byte {
		return append([][]byte{first}, slices.Repeat([][]byte{tiny}, n-1)...)
	}
	for _, tt := range []struct {
		name  string
		lists [][]byte
		want  []string
	}{
		{"lists at the quota", repeat(crl.QuotaLists, tiny), nil},
		{"lists over the quota", repeat(crl.QuotaLists+1, tiny), []string{"31 revocation lists, over ALB's quota of 30 for a trust store"}},
		{"entries below the quota", repeat(crl.QuotaLists, big), nil},
		{"entries over the quota", [][]byte{big, bigList(root, 31)}, []string{"500001 revoked entries, over ALB's quota of 500000 for a trust store"}},
		{"file over the quota", [][]byte{large}, []string{"0: file of 5000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			warnings := newSet(t, certs(root), tt.lists...).Warnings(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
			if len(warnings) != len(tt.want) {
				t.Fatalf("got %v, want %v", warnings, tt.want)
			}
			for i, w := range warnings {
				if w.Kind != crl.OverQuota || !strings.HasPrefix(w.String(), tt.want[i]) {
					t.Errorf("got %v %q, want %q", w.Kind, w, tt.want[i])
				}
			}
		})
	}
}

func kinds(warnings []crl.Warning) []crl.WarningKind {
	var all []crl.WarningKind
	for _, w := range warnings {
		all = append(all, w.Kind)
	}
	return all
}
