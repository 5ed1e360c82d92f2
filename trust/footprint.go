package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"time"
)

// A Footprint is what is kept of a client that was accepted, so that [Store.Foresee] can
// tell later whether it still would be. It holds no certificate of the client's own:
// its fingerprint, its names, its number and dates, and the certificates of the CAs on its
// path, which are the operator's or vouched for by the operator's.
type Footprint struct {
	SHA256    [sha256.Size]byte // of the client's certificate
	Subject   []byte            // DER
	Issuer    string            // RFC 2253
	Serial    *big.Int
	NotBefore time.Time
	NotAfter  time.Time
	Points    []byte            // value of its cRLDistributionPoints extension, if it has one
	Presented int               // how many certificates it sent
	Filters   [sha256.Size]byte // digest of the identity filters that admitted it
	Path      []FootprintCA     // the CAs on its path, its issuer first; none if it is itself in the bundle
}

// A FootprintCA is a CA on the path of a client.
type FootprintCA struct {
	Cert *x509.Certificate
	Sent bool // the client sent this certificate, so that it need not be in the bundle
}

// NewFootprint makes the footprint of a client that was accepted by v, under p, when it
// presented chain. It returns nil of a refusal.
func NewFootprint(v *Verdict, chain []*x509.Certificate, p *Policy) *Footprint {
	if !v.Accepted || len(chain) == 0 || len(v.Chain) == 0 {
		return nil
	}
	leaf := chain[0]
	f := &Footprint{
		SHA256: sha256.Sum256(leaf.Raw), Subject: leaf.RawSubject, Issuer: v.Identity.Issuer, Serial: leaf.SerialNumber,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Points: extension(leaf, oidDistributionPoints),
		Presented: len(chain), Filters: p.FilterDigest(),
	}
	// The fields must not hold on to the certificate that they were cut from.
	f.Subject, f.Points, f.Serial = bytes.Clone(f.Subject), bytes.Clone(f.Points), new(big.Int).Set(f.Serial)
	for _, ca := range v.Chain[1:] {
		f.Path = append(f.Path, FootprintCA{ca, position(ca, chain) >= 0})
	}
	return f
}

// SamePath reports whether f is of a client that was accepted by the path of v.
func (f *Footprint) SamePath(v *Verdict) bool {
	if len(f.Path) != len(v.Chain)-1 {
		return false
	}
	for i, ca := range f.Path {
		if other := v.Chain[i+1]; ca.Cert != other && !bytes.Equal(ca.Cert.Raw, other.Raw) {
			return false
		}
	}
	return true
}

// FilterDigest covers what a policy asks of a client's own certificate beyond the trust
// store. It depends on neither depth nor expiry.
func (p *Policy) FilterDigest() [sha256.Size]byte {
	if p == nil {
		p = new(Policy)
	}
	filters := *p
	filters.MaxDepth, filters.IgnoreExpiry = 0, false
	return filters.Digest("")
}

// Note reports whether the acceptance v is worth noting under a tag, because this
// acceptance was not noted under it in the minute of now. It costs one atomic read if
// it is not, and never waits.
func (v *Verdict) Note(tag uint16, now time.Time) bool {
	if !v.Accepted {
		return false
	}
	if v.presented == nil {
		return true
	}
	const tagBits = 16
	mark := uint64(now.Unix()/60)<<tagBits | uint64(tag)
	noted := v.presented.noted.Load()
	return noted != mark && v.presented.noted.CompareAndSwap(noted, mark)
}
