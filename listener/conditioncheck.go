package listener

import (
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/postern-lb/postern/internal/fault"
)

// patternRules says how the values of a PatternConfig are read.
type patternRules struct {
	fold  bool                // case does not matter
	lower bool                // and the text comes in lower case already
	check func(string) string // problem with a wildcard value, or ""
}

// patterns compiles the values or regexes of one condition.
func (c *conditionCompiler) patterns(path string, cfg *PatternConfig, rules patternRules) *matcher {
	m := &matcher{}
	if len(cfg.Values) > 0 && len(cfg.RegexValues) > 0 {
		c.faults.Add(path, "has both values and regex_values: give one of them")
		return m
	}
	if len(cfg.RegexValues) > 0 {
		path = fault.Join(path, "regex_values")
		c.count(path, len(cfg.RegexValues), MaxConditionValues)
		for i, value := range cfg.RegexValues {
			re, problem := compileRegex(value, rules.fold)
			if problem != "" {
				c.faults.Add(fault.Index(path, i), "%q %s", value, problem)
			}
			m.regexes = append(m.regexes, re)
		}
		return m
	}
	path = fault.Join(path, "values")
	c.count(path, len(cfg.Values), MaxConditionValues)
	for i, value := range cfg.Values {
		if problem := checkLength(value, MaxConditionLength); problem != "" {
			c.faults.Add(fault.Index(path, i), "%q %s", value, problem)
		} else if problem := rules.check(value); problem != "" {
			c.faults.Add(fault.Index(path, i), "%q %s", value, problem)
		}
		g := newGlob(value, globOptions{fold: rules.fold})
		g.fold = rules.fold && !rules.lower
		c.wildcards += g.wildcards
		m.globs = append(m.globs, g)
	}
	return m
}

func (c *conditionCompiler) addQuery(path string, cfg *QueryStringConfig) {
	path = fault.Join(path, "values")
	c.count(path, len(cfg.Values), MaxConditionValues)
	var q queryCondition
	for i, value := range cfg.Values {
		at := fault.Index(path, i)
		pair := queryPattern{value: c.queryGlob(fault.Join(at, "value"), value.Value)}
		if value.Key != "" {
			pair.hasKey = true
			pair.key = c.queryGlob(fault.Join(at, "key"), value.Key)
		}
		q.pairs = append(q.pairs, pair)
	}
	c.set.queries = append(c.set.queries, q)
}

func (c *conditionCompiler) queryGlob(path, value string) glob {
	problem := checkLength(value, MaxConditionLength)
	if problem == "" {
		problem = checkAlphabet(value, queryAlphabet)
	}
	if problem != "" {
		c.faults.Add(path, "%q %s", value, problem)
	}
	g := newGlob(value, globOptions{fold: true, escapes: true})
	c.wildcards += g.wildcards
	return g
}

// The characters that values may hold besides letters, digits and the two
// wildcards (ALB, "Condition types for listener rules"). The backslash in a
// query takes a wildcard's meaning away.
const (
	hostAlphabet  = "-._*?"
	pathAlphabet  = "_-.$/~\"'@:+&*?"
	queryAlphabet = "_-.$/~\"'@:+&()!,;=*?\\"
)

func checkLength(value string, limit int) string {
	if value == "" {
		return "is not allowed: give a value that is not empty"
	}
	if len(value) > limit {
		return "is too long: at most " + strconv.Itoa(limit) + " characters"
	}
	return ""
}

func checkAlphabet(value, others string) string {
	for i := range len(value) {
		if b := value[i]; !isAlphanumeric(b) && strings.IndexByte(others, b) < 0 {
			return "holds a character that is not allowed: use letters, digits and any of " + others
		}
	}
	return ""
}

func checkHostPattern(value string) string {
	if problem := checkAlphabet(value, hostAlphabet); problem != "" {
		return problem
	}
	dot := strings.LastIndexByte(value, '.')
	if dot < 0 {
		return "has no dot: write a host name such as *.example.com"
	}
	last := value[dot+1:]
	for i := range len(last) {
		if b := lowerByte(last[i]); b < 'a' || b > 'z' {
			return "may have only letters after the last dot: write a host name such as *.example.com"
		}
	}
	if last == "" {
		return "ends with a dot: leave the dot out"
	}
	return ""
}

func checkPathPattern(value string) string { return checkAlphabet(value, pathAlphabet) }

func checkHeaderPattern(value string) string {
	for i := range len(value) {
		if b := value[i]; b < ' ' || b > '~' {
			return "holds a character that is not visible ASCII: no header value with it can match"
		}
	}
	return ""
}

func checkConditionHeaderName(faults *fault.List, path, name string) {
	switch {
	case name == "":
		faults.Add(path, "is empty: name the header to look at")
	case len(name) > MaxConditionNameLen:
		faults.Add(path, "is %d characters long: at most %d", len(name), MaxConditionNameLen)
	case !isToken(name):
		faults.Add(path, "%q is no header name: use letters, digits and hyphens; wildcards are not allowed", name)
	case strings.EqualFold(name, "Host"):
		faults.Add(path, "is Host: use a host_header condition")
	}
}

func checkMethod(value string) string {
	if problem := checkLength(value, MaxConditionNameLen); problem != "" {
		return problem
	}
	for i := range len(value) {
		if b := value[i]; (b < 'A' || b > 'Z') && b != '-' && b != '_' {
			return "is no method to match: use capital letters, - and _ only; wildcards are not allowed"
		}
	}
	return ""
}

// parseSource reads one range of a source_ip condition.
func parseSource(value string) (netip.Prefix, string) {
	prefix, err := netip.ParsePrefix(value)
	switch {
	case err != nil:
		return prefix, "is no address range: write one such as 10.0.0.0/8 or 2001:db8::/32"
	case prefix != prefix.Masked():
		return prefix, "has address bits beyond its length: write " + prefix.Masked().String() +
			", or " + netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()).String() + " for the one address"
	case prefix.Addr().Is4In6():
		return prefix, "is an IPv4 range in IPv6 form, which no client has: write it as IPv4"
	case prefix == netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 32):
		return prefix, "is the broadcast address, which is not allowed: give the clients' own range"
	}
	return prefix, ""
}

// compileRegex compiles a regex of a condition. What ALB refuses and RE2 knows,
// Unicode classes, is refused here; the rest (look-around, back-references,
// atomic groups, possessive quantifiers, recursion) RE2 does not know either.
func compileRegex(value string, fold bool) (*regexp.Regexp, string) {
	if problem := checkLength(value, MaxConditionLength); problem != "" {
		return nil, problem
	}
	if hasUnicodeClass(value) {
		return nil, `uses a Unicode class (\p or \P), which is not supported: list the characters, as in [A-Za-z]`
	}
	flags := syntax.Perl
	prefix := ""
	if fold {
		flags |= syntax.FoldCase
		prefix = "(?i)"
	}
	tree, err := syntax.Parse(value, flags)
	if err != nil {
		return nil, "is no regular expression of the supported kind (RE2): " + err.Error()
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil || len(program.Inst) > maxRegexInstructions {
		return nil, "compiles to a program that is too big: use smaller repeat counts"
	}
	re, err := regexp.Compile(prefix + value)
	if err != nil {
		return nil, "is no regular expression of the supported kind (RE2): " + err.Error()
	}
	return re, ""
}

// hasUnicodeClass reports whether a regex has \p or \P outside \Q…\E.
func hasUnicodeClass(value string) bool {
	for i := 0; i+1 < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		i++
		switch value[i] {
		case 'p', 'P':
			return true
		case 'Q':
			end := strings.Index(value[i:], `\E`)
			if end < 0 {
				return false
			}
			i += end + 1
		}
	}
	return false
}
