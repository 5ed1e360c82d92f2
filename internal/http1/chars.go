package http1

import "encoding/binary"

// A class is a set of kinds that a byte belongs to.
type class uint8

const (
	classToken  class = 1 << iota // tchar (RFC 9110, section 5.6.2)
	classLower                    // a to z
	classUpper                    // A to Z
	classPath                     // needs no percent-encoding in a path, and never gets one
	classTarget                   // may stand in a request target: visible ASCII
	classHost                     // may stand in a Host (RFC 3986, section 3.2.2)
)

// classes is computed before main and never changes.
var classes = makeClasses()

func makeClasses() (t [256]class) {
	mark := func(chars string, c class) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	for c := byte(0x21); c < 0x7f; c++ {
		t[c] |= classTarget
	}
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(lower, classLower|classToken|classPath|classHost)
	mark(upper, classUpper|classToken|classPath|classHost)
	mark(digits, classToken|classPath|classHost)
	mark("!#$%&'*+-.^_`|~", classToken)
	mark("-_.~$&+,/:;=@", classPath)
	mark("!$%&'()*+,-.:;=[]_~", classHost)
	return t
}

func is(c byte, want class) bool { return classes[c]&want != 0 }

func all(s string, want class) bool {
	for i := range len(s) {
		if classes[s[i]]&want == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool { return s != "" && all(s, classToken) }

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainText reports whether b holds no control character but the tab: what a
// field value may consist of (RFC 9110, section 5.5).
func plainText(b []byte) bool {
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ ones*0x7f
		if ((x-ones*0x20)&^x|(del-ones)&^del)&highs != 0 && !plainBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return plainBytes(b)
}

func plainBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// plainString is plainText for strings.
func plainString(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// trimOWS cuts spaces and tabs off both ends of s[from:to].
func trimOWS(s []byte, from, to int) (int, int) {
	for from < to && (s[from] == ' ' || s[from] == '\t') {
		from++
	}
	for to > from && (s[to-1] == ' ' || s[to-1] == '\t') {
		to--
	}
	return from, to
}

// equalFold compares s, folded to lower case, with lower, which is in lower case
// and holds ASCII letters, digits and hyphens only.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if is(c, classUpper) {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
