package engine

// A Class is a set of kinds that a byte belongs to.
type Class uint8

// The kinds of bytes.
const (
	Token  Class = 1 << iota // tchar (RFC 9110, section 5.6.2)
	Lower                    // a to z
	Upper                    // A to Z
	Value                    // may stand in a field value (RFC 9110, section 5.5): no control character but the tab
	Path                     // needs no percent-encoding in a path, and never gets one
	Target                   // may stand in a request target: visible ASCII
	Host                     // may stand in a Host (RFC 3986, section 3.2.2)
)

// classes is computed before main and never changes.
var classes = makeClasses()

func makeClasses() (t [256]Class) {
	mark := func(chars string, c Class) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	for c := range t {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= Value
		}
		if c > 0x20 && c < 0x7f {
			t[c] |= Target
		}
	}
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(lower, Lower|Token|Path|Host)
	mark(upper, Upper|Token|Path|Host)
	mark(digits, Token|Path|Host)
	mark("!#$%&'*+-.^_`|~", Token)
	mark("-_.~$&+,/:;=@", Path)
	mark("!$%&'()*+,-.:;=[]_~", Host)
	return t
}

// ClassOf returns all kinds that c belongs to.
func ClassOf(c byte) Class { return classes[c] }

// Is reports whether c belongs to one of the kinds of want.
func Is(c byte, want Class) bool { return classes[c]&want != 0 }

// All reports whether each byte of s belongs to one of the kinds of want.
func All[T string | []byte](s T, want Class) bool {
	for i := range len(s) {
		if classes[s[i]]&want == 0 {
			return false
		}
	}
	return true
}

// IsToken reports whether s is a token (RFC 9110, section 5.6.2).
func IsToken(s string) bool { return s != "" && All(s, Token) }
