package lb

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/trust"
)

// A BundleReport is what can be said of a CA bundle. Its JSON form is a contract: fields
// are added, never renamed.
type BundleReport struct {
	File         string              `json:"file"`
	Bytes        int                 `json:"bytes"`
	SHA256       string              `json:"sha256"` // over the certificates, whatever their order
	At           time.Time           `json:"at"`     // of the warnings
	Count        int                 `json:"count"`
	Keys         map[string]int      `json:"keys"` // certificates by kind of key
	SubjectBytes int                 `json:"subject_bytes"`
	FirstExpiry  time.Time           `json:"first_expiry"`
	Certificates []BundleCertificate `json:"certificates"`
	Warnings     []string            `json:"warnings"`

	parsed *trust.Bundle
}

// A BundleCertificate is one certificate of a bundle.
type BundleCertificate struct {
	trust.CertFacts
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	SelfIssued bool      `json:"self_issued"`
	CA         bool      `json:"ca"`
}

// InspectBundle reads a CA bundle as a trust store would. The error says why it
// cannot be used.
func InspectBundle(file string, at time.Time) (*BundleReport, error) {
	if at.IsZero() {
		at = time.Now()
	}
	data, err := readFile(file, maxBundleFile)
	if err != nil {
		return nil, err
	}
	bundle, err := trust.ParseBundle(data, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &BundleReport{
		File: file, Bytes: len(data), SHA256: hex.EncodeToString(bundle.Digest[:]), At: at.UTC(), Count: len(bundle.Certificates),
		Keys: make(map[string]int), Certificates: []BundleCertificate{}, Warnings: []string{}, parsed: bundle,
	}
	for _, c := range bundle.Certificates {
		r.add(c)
	}
	for _, w := range bundle.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	return r, nil
}

func (r *BundleReport) add(c *x509.Certificate) {
	facts := newBundleCertificate(c)
	r.Certificates = append(r.Certificates, facts)
	r.Keys[facts.Key]++
	r.SubjectBytes += len(c.RawSubject)
	if r.FirstExpiry.IsZero() || c.NotAfter.Before(r.FirstExpiry) {
		r.FirstExpiry = c.NotAfter.UTC()
	}
}

func newBundleCertificate(c *x509.Certificate) BundleCertificate {
	return BundleCertificate{
		CertFacts: trust.NewCertFacts(c), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		SelfIssued: bytes.Equal(c.RawIssuer, c.RawSubject), CA: c.BasicConstraintsValid && c.IsCA,
	}
}

// Text returns the report for a person.
func (r *BundleReport) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d certificates, %d bytes, sha256 %s\n", r.File, r.Count, r.Bytes, r.SHA256)
	fmt.Fprintf(&b, "  keys          %s\n  subjects      %d bytes\n  first expiry  %s\n",
		countsText(r.Keys), r.SubjectBytes, r.FirstExpiry.Format(time.RFC3339))
	for i, c := range r.Certificates {
		kind := "not a CA: admits exactly this certificate"
		switch {
		case c.CA && c.SelfIssued:
			kind = "root CA"
		case c.CA:
			kind = "intermediate CA, issuer " + c.Issuer
		}
		fmt.Fprintf(&b, "  %d  %s\n     %s\n     serial %s, %s, %s\n     %s to %s\n     sha256 %s\n", i, c.Subject, kind,
			c.SerialNumber, c.Key, c.Signature, c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339), c.SHA256)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", w)
	}
	return b.String()
}

// A BundleDiff is how a bundle differs from an older one.
type BundleDiff struct {
	Same    bool                `json:"same"` // the same certificates, in whatever order
	Older   string              `json:"older"`
	Newer   string              `json:"newer"`
	Kept    int                 `json:"kept"`
	Added   []BundleCertificate `json:"added"`
	Removed []BundleCertificate `json:"removed"`
	// Renewed are CAs with another certificate for the same name and key, and Rekeyed
	// those that have the name and another key. They are in Added and Removed too.
	Renewed []string `json:"renewed"`
	Rekeyed []string `json:"rekeyed"`
	// Warnings are those of the newer one that the older one had not.
	Warnings []string `json:"new_warnings"`
}

// DiffBundles compares two bundles.
func DiffBundles(older, newer *BundleReport) *BundleDiff {
	d := &BundleDiff{
		Same: older.parsed.Digest == newer.parsed.Digest, Older: older.File, Newer: newer.File,
		Added: []BundleCertificate{}, Removed: []BundleCertificate{}, Renewed: []string{}, Rekeyed: []string{}, Warnings: []string{},
	}
	added, removed := without(newer.parsed.Certificates, older.parsed.Certificates), without(older.parsed.Certificates, newer.parsed.Certificates)
	d.Kept = newer.Count - len(added)
	for _, c := range added {
		d.Added = append(d.Added, newBundleCertificate(c))
	}
	for _, c := range removed {
		d.Removed = append(d.Removed, newBundleCertificate(c))
		d.successor(c, added)
	}
	for _, w := range newer.Warnings {
		if !slices.Contains(older.Warnings, w) {
			d.Warnings = append(d.Warnings, w)
		}
	}
	return d
}

// successor notes what has come in the place of a certificate.
func (d *BundleDiff) successor(gone *x509.Certificate, added []*x509.Certificate) {
	for _, c := range added {
		if !bytes.Equal(c.RawSubject, gone.RawSubject) {
			continue
		}
		if bytes.Equal(c.RawSubjectPublicKeyInfo, gone.RawSubjectPublicKeyInfo) {
			d.Renewed = append(d.Renewed, trust.NewCertFacts(c).Subject)
			return
		}
		d.Rekeyed = append(d.Rekeyed, trust.NewCertFacts(c).Subject)
		return
	}
}

// without returns the certificates that other has not.
func without(certs, other []*x509.Certificate) (out []*x509.Certificate) {
	have := make(map[string]bool, len(other))
	for _, c := range other {
		have[string(c.Raw)] = true
	}
	for _, c := range certs {
		if !have[string(c.Raw)] {
			out = append(out, c)
		}
	}
	return out
}

// Text returns the difference for a person.
func (d *BundleDiff) Text() string {
	var b strings.Builder
	if d.Same {
		fmt.Fprintf(&b, "%s and %s hold the same %d certificates\n", d.Older, d.Newer, d.Kept)
		return b.String()
	}
	fmt.Fprintf(&b, "%s -> %s: %d added, %d removed, %d kept\n", d.Older, d.Newer, len(d.Added), len(d.Removed), d.Kept)
	for _, side := range []struct {
		mark  string
		certs []BundleCertificate
	}{{"-", d.Removed}, {"+", d.Added}} {
		for _, c := range side.certs {
			fmt.Fprintf(&b, "%s %s\n    serial %s, %s, until %s\n    sha256 %s\n", side.mark, c.Subject, c.SerialNumber, c.Key, c.NotAfter.Format(time.RFC3339), c.SHA256)
		}
	}
	for _, s := range d.Renewed {
		fmt.Fprintf(&b, "renewed with the same key: %s\n", s)
	}
	for _, s := range d.Rekeyed {
		fmt.Fprintf(&b, "has another key now: %s\n", s)
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(&b, "new warning: %s\n", w)
	}
	return b.String()
}
