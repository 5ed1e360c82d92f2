package trust

import (
	"strings"

	"github.com/postern-lb/postern/internal/fault"
)

// FilterConfig says which clients an identity filter admits. Every field that
// is not empty must match (AND). A pattern may hold "*" for any run of
// characters, dots and slashes included, and "?" for one character. At most
// [MaxPatternBytes] bytes each.
type FilterConfig struct {
	// SubjectCN matches the subject's common name, with regard to case. Of
	// several common names all must match, so that adding one opens nothing.
	SubjectCN string
	// SubjectOU matches one of the subject's organizational units, with regard
	// to case.
	SubjectOU string
	// SANDNS matches one of the DNS subject alternative names, without regard
	// to case.
	SANDNS string
	// SANURI matches one of the URI subject alternative names as they are
	// written in the certificate, with regard to case.
	SANURI string
}

// A Filter admits clients by what their certificate says. It is immutable and
// safe for concurrent use. The zero Filter admits nobody.
type Filter struct {
	config           FilterConfig
	cn, ou, dns, uri *pattern // nil if the config has none
}

// NewFilter compiles a filter. The error is a [fault.List] whose paths are the
// config keys subject_cn, subject_ou, san_dns and san_uri.
func NewFilter(c FilterConfig) (Filter, error) {
	var faults fault.List
	f := Filter{config: c}
	set := 0
	for _, field := range []struct {
		key, text string
		to        **pattern
	}{
		{"subject_cn", c.SubjectCN, &f.cn},
		{"subject_ou", c.SubjectOU, &f.ou},
		{"san_dns", strings.ToLower(c.SANDNS), &f.dns},
		{"san_uri", c.SANURI, &f.uri},
	} {
		if field.text == "" {
			continue
		}
		set++
		checkPattern(&faults, field.key, field.text)
		if len(field.text) <= MaxPatternBytes {
			*field.to = compile(field.text)
		}
	}
	if set == 0 {
		faults.Add("", "an identity filter needs at least one of subject_cn, subject_ou, san_dns, san_uri")
	}
	if err := faults.Err(); err != nil {
		return Filter{}, err
	}
	return f, nil
}

func checkPattern(faults *fault.List, key, text string) {
	if len(text) > MaxPatternBytes {
		faults.Add(key, "pattern of %d bytes is longer than %d", len(text), MaxPatternBytes)
		return
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == 0xFFFD {
			faults.Add(key, "pattern %s holds a control character or is not UTF-8", quote(text))
			return
		}
	}
	if key == "san_dns" && strings.IndexFunc(text, func(r rune) bool { return r > 0x7e || r == ' ' }) >= 0 {
		faults.Add(key, "DNS pattern %s must be ASCII without spaces; write an international name in its xn-- form", quote(text))
	}
}

// Config returns what the filter was made from.
func (f Filter) Config() FilterConfig { return f.config }

// admits reports whether every rule of the filter matches.
func (f *Filter) admits(who *facts) bool {
	if f.cn == nil && f.ou == nil && f.dns == nil && f.uri == nil {
		return false
	}
	return (f.cn == nil || all(f.cn, who.commonNames)) &&
		(f.ou == nil || anyOf(f.ou, who.units)) &&
		(f.dns == nil || anyOf(f.dns, who.dnsNames)) &&
		(f.uri == nil || anyOf(f.uri, who.uris))
}

func all(p *pattern, values []string) bool {
	for _, v := range values {
		if !p.match(v) {
			return false
		}
	}
	return len(values) > 0
}

func anyOf(p *pattern, values []string) bool {
	for _, v := range values {
		if p.match(v) {
			return true
		}
	}
	return false
}
