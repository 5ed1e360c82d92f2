package listener

import (
	"net/netip"
	"strconv"
	"time"
)

// The helpers of this file write one value each onto the end of a log line.
// They allocate nothing but the growth of the line.
//
// One rule keeps a line a line: whatever a client sent is written in printable
// ASCII only, and any other byte, the double quote and the backslash become
// \xHH. A line therefore has no line break but its last, a quoted field ends at
// its next double quote, and an unquoted one at its next space, so that no value
// can pretend to be another field. ALB itself was seen to write \x22 for a double
// quote, and the expressions that AWS publishes for Athena end a field at the
// first one, whatever stands before it.

// absent is what ALB writes in place of a value that does not exist.
const absent = '-'

const upperHex = "0123456789ABCDEF"

// logPlain says that a byte stands for itself in a quoted field.
func logPlain(c byte) bool {
	return ' ' <= c && c <= '~' && c != '"' && c != '\\'
}

// cutLog returns at most limit bytes of s.
func cutLog(s string, limit int) string { return s[:min(len(s), limit)] }

// appendLogText writes s for the inside of a quoted field; spaces stay.
func appendLogText(b []byte, s string) []byte {
	return appendLogEscaped(b, s, ' ')
}

// appendLogEscaped writes s and escapes what is not plain or below first. What
// stands for itself, nearly always all, is copied in runs.
func appendLogEscaped(b []byte, s string, first byte) []byte {
	done := 0
	for i := range len(s) {
		c := s[i]
		if logPlain(c) && c >= first {
			continue
		}
		b = append(b, s[done:i]...)
		b = append(b, '\\', 'x', upperHex[c>>4], upperHex[c&15])
		done = i + 1
	}
	return append(b, s[done:]...)
}

// appendLogWord writes at most limit bytes of s for a field that holds no space,
// or "-" if s is empty.
func appendLogWord(b []byte, s string, limit int) []byte {
	if s == "" {
		return append(b, absent)
	}
	return appendLogEscaped(b, cutLog(s, limit), ' '+1)
}

// appendLogQuoted writes at most limit bytes of s in double quotes, or "-" in
// double quotes if s is empty.
func appendLogQuoted(b []byte, s string, limit int) []byte {
	b = append(b, '"')
	if s == "" {
		b = append(b, absent)
	} else {
		b = appendLogText(b, cutLog(s, limit))
	}
	return append(b, '"')
}

// appendLogQuotedWord is appendLogQuoted for the quoted fields in which AWS's
// expressions allow no space.
func appendLogQuotedWord(b []byte, s string, limit int) []byte {
	b = append(b, '"')
	b = appendLogWord(b, s, limit)
	return append(b, '"')
}

// appendLogDN writes a name that is already in RFC 2253 form in double quotes,
// so that its backslashes stay. The one pair that has a double quote in it is
// written in the other form which RFC 2253 section 2.4 gives it, \22, and so is
// any byte that a correct name does not have. No more than MaxLogSubject bytes
// are written, and never half an escape.
func appendLogDN(b []byte, dn string) []byte {
	b = append(b, '"')
	start := len(b)
	i := 0
	for i < len(dn) && i < MaxLogSubject && logPlain(dn[i]) {
		i++
	}
	b = append(b, dn[:i]...) // the names of most certificates need no more
	for i < len(dn) {
		n := len(b)
		b, i = appendLogDNUnit(b, dn, i)
		if len(b)-start > MaxLogSubject {
			b = b[:n]
			break
		}
	}
	if len(b) == start {
		b = append(b, absent)
	}
	return append(b, '"')
}

// appendLogDNUnit writes the character or the escape at dn[i] and returns the
// index after it.
func appendLogDNUnit(b []byte, dn string, i int) ([]byte, int) {
	c := dn[i]
	if c == '\\' && i+1 < len(dn) {
		if n := dnEscape(dn[i:]); n > 0 {
			return append(b, dn[i:i+n]...), i + n
		}
		i++
		c = dn[i]
	}
	if logPlain(c) {
		return append(b, c), i + 1
	}
	return append(b, '\\', upperHex[c>>4], upperHex[c&15]), i + 1
}

// dnEscape returns the length of the escape that s, which has at least two
// bytes, begins with; 0 if it cannot stay as it is.
func dnEscape(s string) int {
	switch {
	case len(s) > 2 && logHex(s[1]) && logHex(s[2]):
		return 3
	case s[1] == '\\' || logPlain(s[1]):
		return 2
	}
	return 0
}

func logHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

// appendLogTime writes t in UTC with microseconds, 2006-01-02T15:04:05.000000Z,
// or "-" for the zero time. It is several times as fast as AppendFormat, which
// has no short way for this layout.
func appendLogTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, absent)
	}
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(appendLogDigits(b, year, 4), '-')
	b = append(appendLogDigits(b, int(month), 2), '-')
	b = append(appendLogDigits(b, day, 2), 'T')
	b = append(appendLogDigits(b, hour, 2), ':')
	b = append(appendLogDigits(b, minute, 2), ':')
	b = append(appendLogDigits(b, second, 2), '.')
	return append(appendLogDigits(b, t.Nanosecond()/1000, 6), 'Z')
}

// appendLogDigits writes the last width decimal digits of n, which is not
// negative.
func appendLogDigits(b []byte, n, width int) []byte {
	var digits [8]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, digits[:width]...)
}

// appendLogSeconds writes d in seconds, rounded to three decimals.
func appendLogSeconds(b []byte, d time.Duration) []byte {
	ms := (d + time.Millisecond/2) / time.Millisecond
	b = strconv.AppendInt(b, int64(ms/1000), 10)
	return appendLogDigits(append(b, '.'), int(ms%1000), 3)
}

// appendLogProcessing writes a processing time, -1 if there is none.
func appendLogProcessing(b []byte, d time.Duration) []byte {
	if d < 0 {
		return append(b, "-1"...)
	}
	return appendLogSeconds(b, d)
}

// appendLogAddr writes an address without a zone, an IPv4-mapped one as IPv4,
// or "-" if there is none.
func appendLogAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, absent)
	}
	return a.Unmap().WithZone("").AppendTo(b)
}

// appendLogName writes name, or an id that has no name as UNKNOWN-XXXX: capitals
// only, because AWS's expression for ssl_cipher allows nothing else.
func appendLogName(b []byte, name string, id uint16) []byte {
	if id == 0 {
		return append(b, absent)
	}
	if name != "" {
		return append(b, name...)
	}
	b = append(b, "UNKNOWN-"...)
	return append(b, upperHex[id>>12], upperHex[id>>8&15], upperHex[id>>4&15], upperHex[id&15])
}
