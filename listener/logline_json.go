package listener

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

const lowerHex = "0123456789abcdef"

// appendJSONKey writes ,"key": ready for its value. The comma is left out after
// an opening brace.
func appendJSONKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

// appendJSONText writes "key":"s" with at most limit bytes of s, or null if s is
// empty. Bytes that are not UTF-8 become U+FFFD (RFC 8259 section 8.1), and a
// character that the limit would split is left out.
func appendJSONText(b []byte, key, s string, limit int) []byte {
	b = appendJSONKey(b, key)
	if s == "" {
		return append(b, "null"...)
	}
	return appendJSONString(b, cutUTF8(s, limit))
}

// cutUTF8 returns at most limit bytes of s, without half a character at the end.
func cutUTF8(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && limit-end < utf8.UTFMax-1 && !utf8.RuneStart(s[end]) {
		end--
	}
	if !utf8.RuneStart(s[end]) {
		end = limit
	}
	return s[:end]
}

// appendJSONString writes s as a JSON string.
func appendJSONString(b []byte, s string) []byte {
	return append(appendJSONBody(append(b, '"'), s), '"')
}

// appendJSONBody writes s for the inside of a JSON string. All but printable
// ASCII is written as \u escapes, so that the file is ASCII, and a terminal that
// shows it cannot be driven by it.
func appendJSONBody(b []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); {
		if logPlain(s[i]) {
			i++
			continue
		}
		b = append(b, s[done:i]...)
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		done = i
		b = appendJSONRune(b, r)
	}
	return append(b, s[done:]...)
}

func appendJSONRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r < 0x10000:
		return appendJSONUnit(b, uint16(r))
	}
	r -= 0x10000 // a surrogate pair, RFC 8259 section 7
	return appendJSONUnit(appendJSONUnit(b, 0xd800|uint16(r>>10)), 0xdc00|uint16(r&0x3ff))
}

func appendJSONUnit(b []byte, u uint16) []byte {
	return append(b, '\\', 'u', lowerHex[u>>12], lowerHex[u>>8&15], lowerHex[u>>4&15], lowerHex[u&15])
}

// appendJSONInt writes "key":n.
func appendJSONInt(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(appendJSONKey(b, key), n, 10)
}

// appendJSONBool writes "key":true or false.
func appendJSONBool(b []byte, key string, v bool) []byte {
	return strconv.AppendBool(appendJSONKey(b, key), v)
}

// appendJSONTime writes "key":"…Z", or null for the zero time.
func appendJSONTime(b []byte, key string, t time.Time) []byte {
	b = appendJSONKey(b, key)
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = appendLogTime(append(b, '"'), t)
	return append(b, '"')
}

// appendJSONSeconds writes "key":seconds with three decimals as in ALB's form,
// or null for a negative duration.
func appendJSONSeconds(b []byte, key string, d time.Duration) []byte {
	b = appendJSONKey(b, key)
	if d < 0 {
		return append(b, "null"...)
	}
	return appendLogSeconds(b, d)
}

// appendJSONAddr writes "key":"address", or null if there is none.
func appendJSONAddr(b []byte, key string, a netip.Addr) []byte {
	b = appendJSONKey(b, key)
	if !a.IsValid() {
		return append(b, "null"...)
	}
	b = appendLogAddr(append(b, '"'), a)
	return append(b, '"')
}

// appendJSONName writes "key":"name" of a cipher suite or TLS version, or null
// for 0.
func appendJSONName(b []byte, key, name string, id uint16) []byte {
	b = appendJSONKey(b, key)
	if id == 0 {
		return append(b, "null"...)
	}
	b = appendLogName(append(b, '"'), name, id)
	return append(b, '"')
}
