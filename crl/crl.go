// Package crl answers one question: has this certificate been revoked?
//
// [Read] turns a file into a [List]; [NewSet] checks each list's signature
// against the CAs of a trust store and makes a [Set] of them. A Set never
// changes: to replace a list, build another Set. Lookups therefore take no lock,
// and a reload cannot be seen half done.
//
// A list answers for the certificates that its signer issued: same name and same
// key. Lists of one signer are united, so that a certificate is revoked if any
// of them says so. It is good only if lists vouch for it: a partition (RFC
// 5280, 5.2.5) does so for certificates whose cRLDistributionPoints name it, and
// a list for some reasons needs others for the rest. A delta list lies over its base.
//
// The package fetches nothing, walks no chains, and does not decide what a
// missing or stale list means. It reports a [Status] and [Warning]s; policy is
// package trust's. Indirect lists are refused.
package crl

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// A Status is what the lists of a Set say about one certificate. The zero value
// is Unknown.
type Status uint8

const (
	Unknown Status = iota // no list covers the certificate
	Good                  // a list covers the certificate, and none has its serial
	Revoked               // a list that covers the certificate has its serial
)

// String returns the status in lower case.
func (s Status) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	}
	return "status " + strconv.Itoa(int(s))
}

// A Result is the answer of [Set.Status].
type Result struct {
	Status Status
	Reason ReasonCode // if Revoked: why; Unspecified if the list does not say
	List   *List      // the list that decided; nil if Unknown
	// FreshUntil is when the answer is due to be asked of newer lists: of a Good one,
	// the latest nextUpdate among the lists that gave it. It is zero if they do
	// not say, or if the answer is not Good.
	FreshUntil time.Time
}

// A Source is one list and where it came from.
type Source struct {
	Name string // file name or URL, for messages
	List *List
}

// A Set is the lists of one trust store, by signer. It is immutable and safe for
// concurrent use. A nil Set has no lists.
type Set struct {
	sources []Source
	entries int
	// byKey finds signers by their subject public key info, so that a lookup
	// costs the same whatever the number of lists. Two CAs may share a key.
	byKey map[string][]*signer
	// signers are all of them; up to fewSigners are compared faster than a key is hashed.
	signers []*signer
}

const fewSigners = 4

// A signer is a CA, by name and key, with the lists that it signed.
type signer struct {
	name    []byte // DER
	key     []byte // subject public key info
	lists   []held
	limited bool      // some list has a limited scope, see vouched
	renewed []*signer // other keys of the same CA, see linkKeys
}

// NewSet checks that every list was signed by a CA of cas, and returns them as a
// Set. On error it returns no Set, and the error joins what is wrong with each
// source, each with its name. cas are the certificates of the trust store; a
// list whose signer is not among them is refused, since nothing would vouch
// for what it says.
func NewSet(sources []Source, cas []*x509.Certificate) (*Set, error) {
	set := &Set{byKey: make(map[string][]*signer)}
	var faults []error
	var deltas []delta
	for _, source := range sources {
		signer, err := set.add(source, cas)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %w", source.Name, err))
		case source.List.base != nil:
			deltas = append(deltas, delta{source, signer})
		default:
			signer.hold(source.List)
		}
	}
	faults = append(faults, set.applyDeltas(deltas)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	set.linkKeys(cas)
	return set, nil
}

// add finds the signer of a source, and counts the list.
func (s *Set) add(source Source, cas []*x509.Certificate) (*signer, error) {
	if source.List == nil {
		return nil, errors.New("no list: parse the file first")
	}
	ca, err := source.List.signedBy(cas)
	if err != nil {
		return nil, err
	}
	s.sources = append(s.sources, source)
	s.entries += source.List.Len()
	return s.signerFor(ca), nil
}

// hold files a full list under its signer.
func (f *signer) hold(list *List) {
	f.lists = append(f.lists, held{List: list})
	f.limited = f.limited || list.scope.limited()
}

// signerFor returns the signer with the name and the key of a CA, if need be a new one.
func (s *Set) signerFor(ca *x509.Certificate) *signer {
	found := s.signer(ca)
	if found == nil {
		found = &signer{name: ca.RawSubject, key: ca.RawSubjectPublicKeyInfo}
		key := string(ca.RawSubjectPublicKeyInfo)
		s.byKey[key] = append(s.byKey[key], found)
		s.signers = append(s.signers, found)
	}
	return found
}

// signer returns the signer with the name and the key of a CA, or nil.
func (s *Set) signer(ca *x509.Certificate) *signer {
	if len(s.signers) <= fewSigners {
		for _, candidate := range s.signers {
			if bytes.Equal(candidate.key, ca.RawSubjectPublicKeyInfo) && bytes.Equal(candidate.name, ca.RawSubject) {
				return candidate
			}
		}
		return nil
	}
	for _, candidate := range s.byKey[string(ca.RawSubjectPublicKeyInfo)] {
		if bytes.Equal(candidate.name, ca.RawSubject) {
			return candidate
		}
	}
	return nil
}

// Has reports whether the set has any list of the issuer, whatever it covers.
func (s *Set) Has(issuer *x509.Certificate) bool {
	if s == nil {
		return false
	}
	found := s.signer(issuer)
	return found != nil && len(found.lists) > 0
}

// Status says whether cert, issued by issuer, is revoked. The caller has verified
// that issuer signed cert. The issuer is matched by name and key. A list signed
// with a CA's new key vouches for nothing that its old key issued, but
// revokes it if the CAs given to NewSet show that both keys belong together.
// Lists whose scope leaves cert out (RFC 5280, 5.2.5: only CA certificates, or
// only others) do not count. Status takes no lock and allocates nothing; a nil
// Set answers Unknown.
func (s *Set) Status(cert, issuer *x509.Certificate) Result {
	if s == nil {
		return Result{}
	}
	found := s.signer(issuer)
	if found == nil {
		return Result{}
	}
	var buffer [maxSerial + 1]byte
	serial := serialContent(&buffer, cert.SerialNumber)
	var result Result
	for i := range found.lists {
		list := &found.lists[i]
		if !list.scope.covers(cert) {
			continue
		}
		if reason, by, ok := list.find(serial); ok {
			return Result{Status: Revoked, Reason: reason, List: by}
		}
		if until := list.freshUntil(); result.List == nil || fresher(until, result.FreshUntil) {
			result = Result{Status: Good, List: list.List, FreshUntil: until}
		}
	}
	if len(found.renewed) > 0 {
		if elsewhere, ok := found.revokedElsewhere(cert, serial); ok {
			return elsewhere
		}
	}
	if found.limited {
		return found.vouched(cert)
	}
	return result
}

// vouched says whether the lists together vouch for a certificate that none of them
// has, and some do not speak of.
func (f *signer) vouched(cert *x509.Certificate) Result {
	var named points
	named.read(cert)
	var v vouching
	for i := range f.lists {
		list := &f.lists[i]
		if list.scope.covers(cert) {
			v.add(list, named.vouches(&list.scope))
		}
	}
	return v.result()
}

// fresher reports whether a is later than b, of which zero is later than any other.
func fresher(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// Entries returns the number of entries of all lists. A serial that is on two
// lists counts twice, as it does in ALB's TotalRevokedEntries.
func (s *Set) Entries() int {
	if s == nil {
		return 0
	}
	return s.entries
}

// Info describes one list of a Set, for metrics and status pages.
type Info struct {
	Name       string    // of the Source
	Issuer     string    // as RFC 2253 has it
	Number     *big.Int  // nil if the list has none
	BaseNumber *big.Int  // of a delta list; nil for others
	Scope      string    // as List.Scope has it; empty if it is everything
	ThisUpdate time.Time // UTC
	NextUpdate time.Time // UTC; zero if the list has none
	Entries    int
	IndexBytes int // memory that the entries take
}

// Lists describes the lists, in the order that they were given to NewSet.
func (s *Set) Lists() []Info {
	if s == nil {
		return nil
	}
	infos := make([]Info, len(s.sources))
	for i, source := range s.sources {
		list := source.List
		infos[i] = Info{
			Name: source.Name, Issuer: list.Issuer(), Number: list.Number(),
			BaseNumber: list.BaseNumber(), Scope: list.Scope(),
			ThisUpdate: list.ThisUpdate(), NextUpdate: list.NextUpdate(),
			Entries: list.Len(), IndexBytes: list.IndexBytes(),
		}
	}
	return infos
}
