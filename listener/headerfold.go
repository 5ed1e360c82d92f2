package listener

import "strings"

// The folded form of a header name: letters in lower case, each run of bytes
// that are neither letters nor digits as one hyphen, none at either end.

// foldHeaderName returns the folded form of name.
func foldHeaderName(name string) string {
	out := make([]byte, 0, len(name))
	f := folder{rest: name}
	for b, ok := f.next(); ok; b, ok = f.next() {
		out = append(out, b)
	}
	return string(out)
}

// foldedEqual reports whether the folded form of name is folded. It does not
// allocate.
func foldedEqual(name, folded string) bool {
	rest, ok := cutFolded(name, folded)
	return ok && rest == ""
}

// foldedPrefix reports whether the folded form of name is folded, or begins with
// it and a hyphen. It does not allocate.
func foldedPrefix(name, folded string) bool {
	rest, ok := cutFolded(name, folded)
	return ok && (rest == "" || !isAlphanumeric(rest[0]))
}

// cutFolded returns what is left of name after the part that folds to folded.
// Separators at the end are left out of it.
func cutFolded(name, folded string) (rest string, ok bool) {
	f := folder{rest: name}
	for i := range len(folded) {
		if b, more := f.next(); !more || b != folded[i] {
			return "", false
		}
	}
	for i := range len(f.rest) {
		if isAlphanumeric(f.rest[i]) {
			return f.rest, true
		}
	}
	return "", true
}

// isIdentityName reports whether a folded name is one that a client may never
// send, whatever the renames are.
func isIdentityName(folded string) bool {
	return foldedPrefix(folded, identityPrefixMTLS) || foldedPrefix(folded, identityPrefixTLS)
}

// A folder yields the bytes of a name's folded form.
type folder struct {
	rest  string
	begun bool
}

func (f *folder) next() (b byte, ok bool) {
	skipped := false
	for f.rest != "" && !isAlphanumeric(f.rest[0]) {
		f.rest = f.rest[1:]
		skipped = true
	}
	if f.rest == "" {
		return 0, false
	}
	if skipped && f.begun {
		return '-', true
	}
	b = lowerByte(f.rest[0])
	f.rest = f.rest[1:]
	f.begun = true
	return b, true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// equalFoldASCII is strings.EqualFold for ASCII: the library's takes the Kelvin
// sign for a k.
func equalFoldASCII(a, b string) bool {
	return len(a) == len(b) && isASCII(a) && strings.EqualFold(a, b)
}
