package crl_test

import (
	"encoding/hex"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// A point is issuingDistributionPoint with the given fields, in hex.
func point(fields string) []byte {
	return critical(pointOID, "30"+hexLength(fields)+fields)
}

// hexLength is the DER length of what s encodes, which is short.
func hexLength(s string) string {
	return hex.EncodeToString([]byte{byte(len(unhex(s)))})
}

const (
	userOnly, caOnly, someReasons   = "8101ff", "8201ff", "83020640"
	indirect, attributeOnly, uri    = "8401ff", "8501ff", "a007a0058603782f79" // x/y
	notUserOnly, oddFlag, emptyFlag = "810100", "810101", "8100"
)

func TestScope(t *testing.T) {
	root := pki.NewRoot("root")
	client, sub := root.Client("client"), root.Intermediate("sub")
	for _, tt := range []struct {
		name       string
		extensions []byte
		client, ca crl.Status
	}{
		{"whole", []byte{}, crl.Revoked, crl.Revoked},
		{"no limits", point(""), crl.Revoked, crl.Revoked},
		{"user certificates", point(userOnly), crl.Revoked, crl.Unknown},
		{"CA certificates", point(caOnly), crl.Unknown, crl.Revoked},
		{"false, spelt out", point(notUserOnly), crl.Revoked, crl.Revoked},
		{"partition", point(uri), crl.Revoked, crl.Revoked},
		{"some reasons", point(someReasons), crl.Revoked, crl.Revoked},
		{"partition of user certificates", point(uri + userOnly), crl.Revoked, crl.Unknown},
		{"not critical", ext(pointOID, "3003"+userOnly), crl.Revoked, crl.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entries := append(entryOf(client), entryOf(sub)...)
			set := newSet(t, certs(root), draft{ca: root, entries: entries, extensions: tt.extensions}.der())
			if got := set.Status(client.Cert, root.Cert).Status; got != tt.client {
				t.Errorf("client: %v, want %v", got, tt.client)
			}
			if got := set.Status(sub.Cert, root.Cert).Status; got != tt.ca {
				t.Errorf("CA: %v, want %v", got, tt.ca)
			}
		})
	}
}

// TestScopesAreUnited has a list for users and one for CAs of one CA.
func TestScopesAreUnited(t *testing.T) {
	root := pki.NewRoot("root")
	client, sub, goodSub := root.Client("client"), root.Intermediate("sub"), root.Intermediate("good")
	set := newSet(t, certs(root),
		draft{ca: root, entries: entryOf(client), extensions: point(userOnly)}.der(),
		draft{ca: root, entries: entryOf(sub), extensions: point(caOnly)}.der())
	for name, tt := range map[string]struct {
		cert *pki.Entity
		want crl.Status
	}{"client": {client, crl.Revoked}, "sub": {sub, crl.Revoked}, "good sub": {goodSub, crl.Good}} {
		if got := set.Status(tt.cert.Cert, root.Cert).Status; got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestPartitionsAreUnited has two partitions with a certificate each. The certificates name
// no distribution point, so that the partitions revoke them but do not vouch for them.
func TestPartitionsAreUnited(t *testing.T) {
	root := pki.NewRoot("root")
	a, b, c := root.Client("a"), root.Client("b"), root.Client("c")
	set := newSet(t, certs(root),
		draft{ca: root, entries: entryOf(a), extensions: point(uri)}.der(),
		draft{ca: root, entries: entryOf(b), extensions: point("a007a0058603782f7a")}.der())
	for _, tt := range []struct {
		cert *pki.Entity
		want crl.Status
	}{{a, crl.Revoked}, {b, crl.Revoked}, {c, crl.Unknown}} {
		if got := set.Status(tt.cert.Cert, root.Cert).Status; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.cert.Cert.Subject.CommonName, got, tt.want)
		}
	}
}

func TestScopeRefusals(t *testing.T) {
	root := pki.NewRoot("root")
	for _, tt := range []struct {
		name       string
		extensions []byte
		want       string
	}{
		{"indirect", point(indirect), "indirect list"},
		{"indirect partition", point(uri + indirect), "indirect list"},
		{"no reasons", point("830100"), "malformed issuingDistributionPoint"},
		{"unknown reasons", point("8303040010"), "malformed issuingDistributionPoint"},
		{"no names", point("a002a000"), "malformed issuingDistributionPoint"},
		{"empty point", point("a000"), "malformed issuingDistributionPoint"},
		{"names of no known form", point("a003a20101"), "malformed issuingDistributionPoint"},
		{"attribute certificates", point(attributeOnly), "attribute certificates"},
		{"users and CAs", point(userOnly + caOnly), "about none"},
		{"wrong order", point(caOnly + userOnly), "malformed issuingDistributionPoint"},
		{"unknown field", point("8901ff"), "malformed issuingDistributionPoint"},
		{"odd boolean", point(oddFlag), "malformed issuingDistributionPoint"},
		{"empty boolean", point(emptyFlag), "malformed issuingDistributionPoint"},
		{"no sequence", critical(pointOID, "0500"), "malformed issuingDistributionPoint"},
		{"tail", critical(pointOID, "300000"), "malformed issuingDistributionPoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := crl.Parse(draft{ca: root, extensions: tt.extensions}.der())
			refused(t, list, err, tt.want)
		})
	}
}

// entryOf revokes a certificate.
func entryOf(e *pki.Entity) []byte { return anEntryOf(e.Cert.SerialNumber) }
