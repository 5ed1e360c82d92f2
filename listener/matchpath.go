package listener

import "strings"

// NormalizePath brings a path to the form that path_pattern conditions are
// compared with: the syntax-based normalisation of RFC 3986, 6.2.2. Unreserved
// characters that were percent-encoded are decoded, the hexadecimal digits of
// other encodings become capitals, and dot segments are taken out. So neither
// "/x/../admin" nor "/%61dmin" gets round a rule for "/admin*".
//
// Nothing else changes: "/caf%C3%A9" stays encoded, "%2F" is no slash, "//"
// stays two slashes. ALB says that conditions run after "URI normalization" and
// not what that is; this choice agrees with what is known of it.
//
// Only rules see the result: the target gets the path as the client sent it.
// Segments that climb above the root are dropped; [PathClimbs] reports them.
// A path that is normal already is returned as it is, without allocating.
func NormalizePath(path string) string {
	if strings.IndexByte(path, '%') >= 0 {
		path = normalizeEscapes(path)
	}
	if !hasDotSegment(path) {
		return path
	}
	path, _ = removeDotSegments(path)
	return path
}

// PathClimbs reports whether the dot segments of path, encoded ones included,
// lead above the root, as in "/a/../../etc". ALB answers such a request with 400.
func PathClimbs(path string) bool {
	if strings.IndexByte(path, '%') >= 0 {
		path = normalizeEscapes(path)
	}
	if !hasDotSegment(path) {
		return false
	}
	_, climbs := removeDotSegments(path)
	return climbs
}

// normalizeEscapes decodes unreserved characters and capitalises the digits of
// the other percent-encodings. A percent sign that starts none stays.
func normalizeEscapes(path string) string {
	var out []byte // nil until something differs
	for i := 0; i < len(path); i++ {
		b := path[i]
		if b != '%' || i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			if out != nil {
				out = append(out, b)
			}
			continue
		}
		decoded := unhex(path[i+1])<<4 | unhex(path[i+2])
		plain := isAlphanumeric(decoded) || strings.IndexByte("-._~", decoded) >= 0
		if out == nil && (plain || isLowerHex(path[i+1]) || isLowerHex(path[i+2])) {
			out = append(make([]byte, 0, len(path)), path[:i]...)
		}
		switch {
		case plain:
			out = append(out, decoded)
		case out != nil:
			out = append(out, '%', upperHexDigit(path[i+1]), upperHexDigit(path[i+2]))
		}
		i += 2
	}
	if out == nil {
		return path
	}
	return string(out)
}

// hasDotSegment reports whether a segment of path is "." or "..".
func hasDotSegment(path string) bool {
	for rest := path; ; {
		at := strings.Index(rest, "/.")
		if at < 0 {
			return false
		}
		rest = rest[at+2:]
		if rest == "" || rest[0] == '/' || rest[0] == '.' && (len(rest) == 1 || rest[1] == '/') {
			return true
		}
	}
}

// removeDotSegments is RFC 3986, 5.2.4 for a path that begins with a slash. It
// also reports whether a ".." had no segment to remove.
func removeDotSegments(path string) (out string, climbs bool) {
	buf := make([]byte, 0, len(path))
	for path != "" {
		end := strings.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		segment := path[:end] // with its leading slash
		path = path[end:]
		switch segment {
		case "/.", "/..":
			if segment == "/.." {
				climbs = climbs || len(buf) == 0
				buf = dropSegment(buf)
			}
			if path == "" { // "/a/." and "/a/b/.." name the directory: "/a/"
				buf = append(buf, '/')
			}
		default:
			buf = append(buf, segment...)
		}
	}
	return string(buf), climbs
}

// dropSegment takes the last segment and its slash off.
func dropSegment(buf []byte) []byte {
	for i := len(buf) - 1; i >= 0; i-- {
		if buf[i] == '/' {
			return buf[:i]
		}
	}
	return buf[:0]
}

func isHex(b byte) bool {
	l := lowerByte(b)
	return '0' <= b && b <= '9' || 'a' <= l && l <= 'f'
}

func isLowerHex(b byte) bool { return 'a' <= b && b <= 'f' }

func upperHexDigit(b byte) byte {
	if isLowerHex(b) {
		return b - ('a' - 'A')
	}
	return b
}

func unhex(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return lowerByte(b) - 'a' + 10
}
