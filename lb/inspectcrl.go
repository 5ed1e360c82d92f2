package lb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/postern-lb/postern/crl"
)

// MaxShownSerials is the most serials of each kind that a difference may show.
const MaxShownSerials = 10_000

// The results of checking a signature.
const (
	signatureGood      = "good"
	signatureBad       = "bad"
	signatureUnchecked = "not checked"
)

// A CRLReport is what can be said of a revocation list. Its JSON form is a contract: fields
// are added, never renamed.
type CRLReport struct {
	File       string    `json:"file"`
	Bytes      int       `json:"bytes"`
	SHA256     string    `json:"sha256"` // of the file
	Issuer     string    `json:"issuer"`
	Number     string    `json:"number,omitempty"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	At         time.Time `json:"at"`
	AgeSeconds int64     `json:"age_seconds"`
	// Expired says that nextUpdate has passed.
	Expired    bool `json:"expired"`
	Entries    int  `json:"entries"`
	IndexBytes int  `json:"index_bytes"` // memory that the entries take
	Version    int  `json:"version"`
	// BaseNumber is the number of the list that a delta list builds on.
	BaseNumber     string         `json:"base_number,omitempty"`
	Scope          string         `json:"scope,omitempty"` // what it is about, if not about all that its CA issued
	AuthorityKeyID string         `json:"authority_key_id,omitempty"`
	Reasons        map[string]int `json:"reasons"` // entries by reason
	FirstRevoked   time.Time      `json:"first_revoked,omitzero"`
	LastRevoked    time.Time      `json:"last_revoked,omitzero"`
	// SignatureAlgorithm is how it is signed.
	SignatureAlgorithm string `json:"signature_algorithm"`
	// Signature is good, bad or not checked, for want of a bundle.
	Signature       string   `json:"signature"`
	SignatureDetail string   `json:"signature_detail,omitempty"`
	Signer          string   `json:"signer,omitempty"` // sha256 of the CA's certificate
	Warnings        []string `json:"warnings"`

	list *crl.List
}

// CRLOptions says how a list is to be looked at.
type CRLOptions struct {
	Bundle string    // CA certificates for the signature; empty: it is not checked
	At     time.Time // zero: now
}

// InspectCRL reads a revocation list as a trust store would, as a stream. The error says
// why it cannot be used. A bad signature is no error, but in the report.
func InspectCRL(file string, o CRLOptions) (*CRLReport, error) {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	f, _, err := openFile(file, maxRevocationFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha256.New()
	list, err := crl.Read(io.TeeReader(f, hash))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &CRLReport{
		File: file, Bytes: list.Size(), SHA256: hex.EncodeToString(hash.Sum(nil)), Issuer: list.Issuer(),
		ThisUpdate: list.ThisUpdate(), NextUpdate: list.NextUpdate(), At: o.At.UTC(),
		AgeSeconds: int64(o.At.Sub(list.ThisUpdate()) / time.Second),
		Expired:    !list.NextUpdate().IsZero() && o.At.After(list.NextUpdate()),
		Entries:    list.Len(), IndexBytes: list.IndexBytes(), Signature: signatureUnchecked, Warnings: []string{}, list: list,
	}
	if n := list.Number(); n != nil {
		r.Number = n.String()
	}
	r.describe(list)
	for _, w := range list.Warnings(o.At) {
		r.Warnings = append(r.Warnings, w.Detail)
	}
	if o.Bundle == "" {
		return r, nil
	}
	return r, r.checkSignature(o)
}

// describe adds what an operator asks less often.
func (r *CRLReport) describe(list *crl.List) {
	r.Version, r.Scope, r.SignatureAlgorithm = list.Version(), list.Scope(), list.SignatureAlgorithm()
	r.AuthorityKeyID = strings.ToUpper(hex.EncodeToString(list.AuthorityKeyID()))
	r.FirstRevoked, r.LastRevoked = list.RevocationDates()
	if n := list.BaseNumber(); n != nil {
		r.BaseNumber = n.String()
	}
	r.Reasons = make(map[string]int)
	for code := range crl.ReasonCode(reasonCodes) {
		if n := list.ReasonCount(code); n > 0 {
			r.Reasons[code.String()] = n
		}
	}
}

// reasonCodes is how many codes there may be (RFC 5280, section 5.3.1).
const reasonCodes = 11

// checkSignature looks for the CA that signed the list. The error is about the bundle.
func (r *CRLReport) checkSignature(o CRLOptions) error {
	bundle, err := InspectBundle(o.Bundle, o.At)
	if err != nil {
		return err
	}
	r.Signature, r.SignatureDetail = signatureBad, fmt.Sprintf("no certificate of %s has the issuer's name", o.Bundle)
	for i, c := range bundle.parsed.Certificates {
		if !bytes.Equal(c.RawSubject, r.list.RawIssuer()) {
			continue
		}
		if err := r.list.CheckSignature(c); err != nil {
			r.SignatureDetail = err.Error()
			continue
		}
		r.Signature, r.SignatureDetail, r.Signer = signatureGood, "", bundle.Certificates[i].SHA256
		return nil
	}
	return nil
}

// Good reports whether nothing speaks against the list: its signature is not bad.
func (r *CRLReport) Good() bool { return r.Signature != signatureBad }

// Text returns the report for a person.
func (r *CRLReport) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d entries, %d bytes, sha256 %s\n", r.File, r.Entries, r.Bytes, r.SHA256)
	number, next := "none", "none"
	if r.Number != "" {
		number = r.Number
	}
	if !r.NextUpdate.IsZero() {
		next = r.NextUpdate.Format(time.RFC3339)
		if r.Expired {
			next += " (expired)"
		}
	}
	signature := r.Signature
	switch {
	case r.Signature == signatureUnchecked:
		signature += "; give --trust-store"
	case r.Signature == signatureGood:
		signature += ", by the CA with sha256 " + r.Signer
	default:
		signature += ": " + r.SignatureDetail
	}
	if r.BaseNumber != "" {
		number += ", a delta list to number " + r.BaseNumber
	}
	signature += ", " + r.SignatureAlgorithm
	fmt.Fprintf(&b, "  issuer       %s\n  number       %s\n  thisUpdate   %s (%v ago)\n  nextUpdate   %s\n  signature    %s\n  memory       %d bytes\n",
		r.Issuer, number, r.ThisUpdate.Format(time.RFC3339), time.Duration(r.AgeSeconds)*time.Second, next, signature, r.IndexBytes)
	if r.Scope != "" {
		fmt.Fprintf(&b, "  scope        %s\n", r.Scope)
	}
	if r.Entries > 0 {
		fmt.Fprintf(&b, "  reasons      %s\n  revoked      from %s to %s\n", countsText(r.Reasons),
			r.FirstRevoked.Format(time.RFC3339), r.LastRevoked.Format(time.RFC3339))
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", w)
	}
	return b.String()
}

// A CRLDiff is how a revocation list differs from an older one.
type CRLDiff struct {
	Same        bool `json:"same"` // the same serials for the same reasons, from the same issuer
	OtherIssuer bool `json:"other_issuer"`
	// GoesBack says that the newer file holds the older list, by number or else by
	// thisUpdate: revoked clients could get in again.
	GoesBack bool       `json:"goes_back"`
	Older    *CRLReport `json:"older"`
	Newer    *CRLReport `json:"newer"`
	Growth   int        `json:"growth"` // of the entries
	Added    int        `json:"added"`
	Removed  int        `json:"removed"`
	Reasons  int        `json:"other_reasons"`
	// The first of them in the order of the serials.
	AddedSerials   []RevokedSerial `json:"added_serials"`
	RemovedSerials []RevokedSerial `json:"removed_serials"`
}

// A RevokedSerial is one entry of a list.
type RevokedSerial struct {
	SerialNumber string `json:"serial_number"` // upper-case hexadecimal
	Reason       string `json:"reason"`
}

// DiffCRLs compares two lists and shows at most limit serials of each kind.
func DiffCRLs(older, newer *CRLReport, limit int) *CRLDiff {
	c := older.list.Changes(newer.list, min(limit, MaxShownSerials))
	d := &CRLDiff{
		OtherIssuer: !bytes.Equal(older.list.RawIssuer(), newer.list.RawIssuer()), GoesBack: goesBack(older.list, newer.list),
		Older: older, Newer: newer, Growth: newer.Entries - older.Entries, Added: c.Added, Removed: c.Removed, Reasons: c.Reasons,
		AddedSerials: serials(c.AddedEntries), RemovedSerials: serials(c.RemovedEntries),
	}
	d.Same = !d.OtherIssuer && c.Added == 0 && c.Removed == 0 && c.Reasons == 0
	return d
}

func goesBack(older, newer *crl.List) bool {
	if a, b := older.Number(), newer.Number(); a != nil && b != nil {
		return b.Cmp(a) < 0
	}
	return newer.ThisUpdate().Before(older.ThisUpdate())
}

func serials(entries []crl.Entry) []RevokedSerial {
	out := []RevokedSerial{}
	for _, e := range entries {
		out = append(out, RevokedSerial{serialText(e.Serial), e.Reason.String()})
	}
	return out
}

// serialText is a serial number in whole bytes, as the logs have it.
func serialText(n *big.Int) string {
	switch n.Sign() {
	case 0:
		return "0"
	case -1:
		return fmt.Sprintf("-%X", n.Bytes())
	}
	return fmt.Sprintf("%X", n.Bytes())
}

// Text returns the difference for a person.
func (d *CRLDiff) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s: %d added, %d removed, %d with another reason; %d -> %d entries (%+d)\n",
		d.Older.File, d.Newer.File, d.Added, d.Removed, d.Reasons, d.Older.Entries, d.Newer.Entries, d.Growth)
	for _, row := range []struct{ name, older, newer string }{
		{"issuer", d.Older.Issuer, d.Newer.Issuer}, {"number", d.Older.Number, d.Newer.Number},
		{"thisUpdate", d.Older.ThisUpdate.Format(time.RFC3339), d.Newer.ThisUpdate.Format(time.RFC3339)},
		{"nextUpdate", d.Older.NextUpdate.Format(time.RFC3339), d.Newer.NextUpdate.Format(time.RFC3339)},
		{"bytes", fmt.Sprint(d.Older.Bytes), fmt.Sprint(d.Newer.Bytes)},
	} {
		if row.older != row.newer {
			fmt.Fprintf(&b, "  %-11s  %s -> %s\n", row.name, row.older, row.newer)
		}
	}
	if d.OtherIssuer {
		b.WriteString("warning: the lists are of two issuers, so the serials mean nothing to one another\n")
	}
	if d.GoesBack {
		b.WriteString("warning: the second list is older than the first: clients revoked since would get in again\n")
	}
	writeSerials(&b, "-", d.RemovedSerials, d.Removed)
	writeSerials(&b, "+", d.AddedSerials, d.Added)
	return b.String()
}

func writeSerials(b *strings.Builder, mark string, shown []RevokedSerial, all int) {
	for _, s := range shown {
		fmt.Fprintf(b, "%s %s %s\n", mark, s.SerialNumber, s.Reason)
	}
	if more := all - len(shown); more > 0 {
		fmt.Fprintf(b, "%s %d more\n", mark, more)
	}
}

// countsText returns "2 ECDSA P-256, 1 RSA 4096".
func countsText(counts map[string]int) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[key], key))
	}
	return strings.Join(parts, ", ")
}
