package listener

import (
	"regexp"
	"strings"
)

// A matcher is the values of one condition: the condition holds if one of them
// matches.
type matcher struct {
	globs   []glob
	regexes []*regexp.Regexp
}

func (m *matcher) match(text string) bool {
	for i := range m.globs {
		if m.globs[i].match(text) {
			return true
		}
	}
	for _, re := range m.regexes {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}

// A glob is a value with wildcards, cut at its stars. The first chunk must be
// at the start of the text, the last at its end, and those between follow one
// another somewhere in the middle.
//
// Taking the leftmost place for each chunk is always right, because a star has
// no minimum and no maximum: nothing is ever tried again, so the time is linear
// in the text (times the length of one chunk, which MaxConditionLength bounds),
// and no allocation is made. Text is compared byte by byte.
type glob struct {
	chunks    []chunk
	fold      bool // chunks are in lower case, and text is compared so
	wildcards int
}

// A chunk is the run of characters between two stars.
type chunk struct {
	text string
	any  []bool // any[i]: text[i] stands for any character; nil if none does
}

type globOptions struct {
	fold    bool // ASCII case does not matter
	escapes bool // \* and \? are ordinary characters
}

func newGlob(pattern string, options globOptions) glob {
	g := glob{fold: options.fold}
	var text []byte
	var any []bool
	flush := func() {
		c := chunk{text: string(text)}
		for _, set := range any {
			if set {
				c.any = append([]bool(nil), any...)
				break
			}
		}
		g.chunks = append(g.chunks, c)
		text, any = text[:0], any[:0]
	}
	for i := 0; i < len(pattern); i++ {
		b := pattern[i]
		if options.escapes && b == '\\' && i+1 < len(pattern) && (pattern[i+1] == '*' || pattern[i+1] == '?') {
			i++
			text, any = append(text, pattern[i]), append(any, false)
			continue
		}
		switch b {
		case '*':
			g.wildcards++
			flush()
		case '?':
			g.wildcards++
			text, any = append(text, b), append(any, true)
		default:
			if options.fold {
				b = lowerByte(b)
			}
			text, any = append(text, b), append(any, false)
		}
	}
	flush()
	return g
}

// match reports whether the whole of text matches.
func (g *glob) match(text string) bool {
	first := &g.chunks[0]
	if len(g.chunks) == 1 {
		return len(text) == len(first.text) && first.at(text, g.fold)
	}
	last := &g.chunks[len(g.chunks)-1]
	if len(text) < len(first.text)+len(last.text) || !first.at(text, g.fold) ||
		!last.at(text[len(text)-len(last.text):], g.fold) {
		return false
	}
	text = text[len(first.text) : len(text)-len(last.text)]
	for i := 1; i < len(g.chunks)-1; i++ {
		c := &g.chunks[i]
		at := c.find(text, g.fold)
		if at < 0 {
			return false
		}
		text = text[at+len(c.text):]
	}
	return true
}

// at reports whether text, which is long enough, begins with c.
func (c *chunk) at(text string, fold bool) bool {
	if !fold && c.any == nil {
		return text[:len(c.text)] == c.text
	}
	for i := range len(c.text) {
		b := text[i]
		if fold {
			b = lowerByte(b)
		}
		if b != c.text[i] && (c.any == nil || !c.any[i]) {
			return false
		}
	}
	return true
}

// find returns the leftmost place of c in text, or -1.
func (c *chunk) find(text string, fold bool) int {
	if !fold && c.any == nil {
		return strings.Index(text, c.text)
	}
	for i := 0; i+len(c.text) <= len(text); i++ {
		if c.at(text[i:], fold) {
			return i
		}
	}
	return -1
}

// literalPrefix returns the characters that every matching text begins with.
func (g *glob) literalPrefix() string {
	c := &g.chunks[0]
	for i, any := range c.any {
		if any {
			return c.text[:i]
		}
	}
	return c.text
}

// literalSuffix returns the characters that every matching text ends with, and
// whether they are the whole of it.
func (g *glob) literalSuffix() (suffix string, whole bool) {
	c := &g.chunks[len(g.chunks)-1]
	for i := len(c.any) - 1; i >= 0; i-- {
		if c.any[i] {
			return c.text[i+1:], false
		}
	}
	return c.text, len(g.chunks) == 1
}

// A queryCondition is the pairs of a query_string condition: it holds if one
// pair of the query matches one of them.
type queryCondition struct {
	pairs []queryPattern
}

type queryPattern struct {
	key    glob
	hasKey bool
	value  glob
}

// matchAny walks the pairs of query, which "&" separates. A pair without "=" is
// a key with an empty value.
func (c *queryCondition) matchAny(query string) bool {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair != "" && c.matchPair(pair) {
			return true
		}
	}
	return false
}

func (c *queryCondition) matchPair(pair string) bool {
	key, value, _ := strings.Cut(pair, "=")
	for i := range c.pairs {
		p := &c.pairs[i]
		if (!p.hasKey || p.key.match(key)) && p.value.match(value) {
			return true
		}
	}
	return false
}
