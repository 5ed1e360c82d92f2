package crl_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// TestRevocationDates has the edges of UTCTime's century, and both forms of times.
func TestRevocationDates(t *testing.T) {
	root := pki.NewRoot("root")
	at := func(tag asn1.Tag, time string) []byte {
		return tlv(asn1.SEQUENCE, tlv(asn1.INTEGER, []byte{1}), tlv(tag, []byte(time)))
	}
	const utc, general, form = asn1.UTCTime, asn1.GeneralizedTime, "20060102150405"
	for _, tt := range []struct {
		name        string
		entries     [][]byte
		first, last string
	}{
		{"one", [][]byte{at(utc, "250102030405Z")}, "20250102030405", "20250102030405"},
		{"seconds", [][]byte{at(utc, "250102030405Z"), at(utc, "250102030404Z"), at(utc, "250102030406Z")}, "20250102030404", "20250102030406"},
		{"centuries", [][]byte{at(utc, "491231235959Z"), at(utc, "500101000000Z"), at(utc, "991231235959Z"), at(utc, "000101000000Z")}, "19500101000000", "20491231235959"},
		{"general only", [][]byte{at(general, "20500101000000Z"), at(general, "19491231235959Z")}, "19491231235959", "20500101000000"},
		{"both forms", [][]byte{at(utc, "250102030405Z"), at(general, "20240101000000Z"), at(utc, "260101000000Z")}, "20240101000000", "20260101000000"},
		{"after the 28th", [][]byte{at(utc, "251231000000Z"), at(utc, "250131000000Z")}, "20250131000000", "20251231000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, last := parse(t, draft{ca: root, entries: bytes.Join(tt.entries, nil)}.der()).RevocationDates()
			if first.Format(form) != tt.first || last.Format(form) != tt.last {
				t.Errorf("%v to %v, want %s to %s", first, last, tt.first, tt.last)
			}
		})
	}
	if first, last := parse(t, draft{ca: root}.der()).RevocationDates(); !first.IsZero() || !last.IsZero() {
		t.Errorf("no entries: %v to %v", first, last)
	}
}

// TestDescription is what a list tells of itself to people.
func TestDescription(t *testing.T) {
	root := pki.NewRoot("root")
	extensions := slices.Concat(ext(authorityKeyID, "30048002abcd"), point(full(nameY)+userOnly+someReasons))
	list := parse(t, draft{ca: root, extensions: extensions, entries: anEntry("01", ext(reasonOID, "0a0101"))}.der())
	for what, tt := range map[string]struct{ got, want string }{
		"algorithm":     {list.SignatureAlgorithm(), "SHA256 with ECDSA"},
		"authority key": {hex.EncodeToString(list.AuthorityKeyID()), "abcd"},
		"scope":         {list.Scope(), `user certificates; partition "x/y"; reasons keyCompromise`},
		"no scope":      {parse(t, draft{ca: root}.der()).Scope(), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", what, tt.got, tt.want)
		}
	}
	if list.Version() != 2 || list.ReasonCount(crl.KeyCompromise) != 1 || list.ReasonCount(crl.Superseded) != 0 || list.ReasonCount(200) != 0 {
		t.Error("wrong version or reasons")
	}
}
