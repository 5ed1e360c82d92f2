package trust

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/postern-lb/postern/internal/fault"
)

// FilterConfig says which clients an identity filter is about. Of each kind that
// is not empty one value must match (OR), and all kinds must (AND). Only the
// client's own certificate is looked at.
//
// Text may hold "*" for any run of characters, dots and slashes included, and "?"
// for one character, in at most [MaxPatternBytes] bytes. Serials, digests and
// addresses have no wildcards. A value of a certificate that holds a control
// character, such as NUL, or is not UTF-8 matches no filter that admits; one that
// denies is compared with it as it is.
type FilterConfig struct {
	// Deny turns the clients of the filter away, whatever another one says.
	Deny bool

	// SubjectCN, SubjectOU and SubjectO match the subject's common name, an
	// organizational unit and an organization, with regard to case. Of several
	// common names all must match, so that adding one opens nothing; to be denied
	// one is enough.
	SubjectCN, SubjectOU, SubjectO []string
	// SANDNS matches a DNS subject alternative name, without regard to case or to a
	// dot at the end. International names have their xn-- form.
	SANDNS []string
	// SANURI matches a URI subject alternative name as it is written in the
	// certificate, with regard to case.
	SANURI []string
	// SANEmail matches an email address among the alternative names, what is behind
	// the "@" without regard to case.
	SANEmail []string
	// SANIP matches an IP address among the alternative names: an address or a range
	// in CIDR notation.
	SANIP []string
	// SPIFFEID matches the SPIFFE ID (see [SPIFFEID]); wildcards are for its path.
	SPIFFEID []string
	// SPIFFETrustDomain matches the trust domain of the SPIFFE ID.
	SPIFFETrustDomain []string
	// Issuer matches the name of the issuer as [Identity] prints it.
	Issuer []string
	// Serial matches the serial number, in hexadecimal; case, colons and zeros in
	// front do not matter. A filter that admits needs Issuer beside it.
	Serial []string
	// SHA256 matches the SHA-256 of the certificate, and SPKISHA256 that of its public
	// key (SubjectPublicKeyInfo), in hexadecimal, with or without colons, or base64.
	SHA256, SPKISHA256 []string
}

// A Filter admits or denies clients by what their certificate says. It is
// immutable and safe for concurrent use. The zero Filter admits and denies nobody.
type Filter struct{ is *compiledFilter }

type compiledFilter struct {
	config   FilterConfig
	tests    []kindTest
	values   int // without wildcards
	patterns int // with wildcards, and address ranges
	digest   [sha256.Size]byte
}

// A kindTest is the values of one kind.
type kindTest struct {
	kind kind
	set  valueSet
}

// NewFilter compiles a filter. The error is a [fault.List] whose paths are the
// config keys: subject_cn, or subject_cn[1] for the second of several values.
func NewFilter(c FilterConfig) (Filter, error) {
	var faults fault.List
	f := &compiledFilter{config: c}
	for k := range kindCount {
		values := c.values(k)
		if len(values) == 0 {
			continue
		}
		test := kindTest{kind: k}
		for i, text := range values {
			path := k.key()
			if len(values) > 1 {
				path = fault.Index(path, i)
			}
			if problem := test.set.add(k, text); problem != "" {
				faults.Add(path, "%s", problem)
			}
		}
		f.values += test.set.values()
		f.patterns += test.set.scans()
		f.tests = append(f.tests, test)
	}
	f.check(&faults)
	if err := faults.Err(); err != nil {
		return Filter{}, err
	}
	f.digest = c.digest()
	return Filter{f}, nil
}

func (f *compiledFilter) check(faults *fault.List) {
	c := &f.config
	if len(f.tests) == 0 {
		faults.Add("", "an identity filter needs at least one of %s", kindKeys())
	}
	if len(c.Serial) > 0 && len(c.Issuer) == 0 && !c.Deny {
		faults.Add(kindSerial.key(), "needs issuer beside it, since each CA numbers its certificates by itself: name the issuer, or write \"*\" for any")
	}
	if f.values > MaxFilterValues {
		faults.Add("", "%d values are more than %d", f.values, MaxFilterValues)
	}
	if f.patterns > MaxFilterPatterns {
		faults.Add("", "%d patterns with wildcards and address ranges are more than %d", f.patterns, MaxFilterPatterns)
	}
}

// Kinds returns how many kinds have values.
func (c *FilterConfig) Kinds() int {
	n := 0
	for k := range kindCount {
		if len(c.values(k)) > 0 {
			n++
		}
	}
	return n
}

// digest covers every value and its kind.
func (c *FilterConfig) digest() [sha256.Size]byte {
	b := []byte{flag(c.Deny)}
	for k := range kindCount {
		values := c.values(k)
		b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
		for _, text := range values {
			b = appendText(b, text)
		}
	}
	return sha256.Sum256(b)
}

// Config returns what the filter was made from.
func (f Filter) Config() FilterConfig {
	if f.is == nil {
		return FilterConfig{}
	}
	return f.is.config
}

// Patterns returns how many values of the filter are compared one by one: those
// with wildcards and the address ranges. The others cost the same however many
// they are.
func (f Filter) Patterns() int {
	if f.is == nil {
		return 0
	}
	return f.is.patterns
}

// Matches reports whether v is about a client of the filter, whether that admits or
// denies. A client that was not accepted is nobody's. It does not allocate.
func (f Filter) Matches(v *Verdict) bool {
	return v != nil && v.Accepted && v.facts != nil && f.matches(v.facts)
}

func (f Filter) denies() bool { return f.is != nil && f.is.config.Deny }

func (f Filter) matches(who *facts) bool {
	if f.is == nil {
		return false
	}
	for i := range f.is.tests {
		if !f.is.tests[i].match(who, f.is.config.Deny) {
			return false
		}
	}
	return true
}

// match reports whether the test is met. What a certificate says oddly counts
// against its client: it opens nothing, and hides nothing from a denial.
func (t *kindTest) match(who *facts, deny bool) bool {
	if t.kind == kindSANIP {
		return t.set.hasAddress(who.addresses)
	}
	plain, odd := who.of(t.kind)
	switch {
	case deny:
		return t.set.hasAny(plain) || t.set.hasAny(odd)
	case t.kind == kindSubjectCN:
		return len(odd) == 0 && t.set.hasAll(plain)
	}
	return t.set.hasAny(plain)
}
