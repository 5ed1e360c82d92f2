package trust

// A pattern is text with the wildcards "*" (any run of characters, also none)
// and "?" (one character).
//
// It runs as an automaton whose states are the bits of a few words: state i
// means that the first i elements have matched. One input byte moves all
// states at once, so that matching takes time linear in the input whatever the
// pattern is; the usual backtracking matcher can be made quadratic.
type pattern struct {
	text  string
	words int
	last  int // the accepting state

	step [256][patternWords]uint64 // states that a byte moves into
	loop [patternWords]uint64      // states before a "*": any byte stays
	one  [patternWords]uint64      // states after a "?": a continuation byte stays
}

// patternWords holds one state more than a pattern has elements.
const patternWords = (MaxPatternBytes + 1 + 63) / 64

// compile builds the automaton. The caller has checked the length.
func compile(text string) *pattern {
	p := &pattern{text: text}
	state := 0
	for i := range len(text) {
		switch c := text[i]; c {
		case '*':
			set(&p.loop, state)
		case '?':
			state++
			p.acceptAny(state)
		default:
			state++
			set(&p.step[c], state)
		}
	}
	p.last = state
	p.words = state/64 + 1
	return p
}

// acceptAny lets every byte that begins a UTF-8 character move into state, and
// the bytes that continue it stay there.
func (p *pattern) acceptAny(state int) {
	for b := range 256 {
		if !continuation(byte(b)) {
			set(&p.step[b], state)
		}
	}
	set(&p.one, state)
}

// match reports whether the whole of s fits. It does not allocate.
func (p *pattern) match(s string) bool {
	var now [patternWords]uint64
	now[0] = 1
	for i := range len(s) {
		stay := &p.loop
		var both [patternWords]uint64
		if continuation(s[i]) {
			for w := range p.words {
				both[w] = p.loop[w] | p.one[w]
			}
			stay = &both
		}
		step, carry := &p.step[s[i]], uint64(0)
		for w := range p.words {
			shifted := now[w]<<1 | carry
			carry = now[w] >> 63
			now[w] = shifted&step[w] | now[w]&stay[w]
		}
	}
	return now[p.last/64]>>(p.last%64)&1 == 1
}

func continuation(b byte) bool { return b&0xC0 == 0x80 }

func set(words *[patternWords]uint64, bit int) { words[bit/64] |= 1 << (bit % 64) }
