package http1

import (
	"encoding/binary"

	"github.com/postern-lb/postern/internal/engine"
)

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
		if engine.Is(c, engine.Upper) {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
