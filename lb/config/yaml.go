package config

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a config file. They bound what the YAML parser, which recurses,
// is ever given.
const (
	// MaxFileSize is the largest config file, in bytes.
	MaxFileSize = 8 << 20
	// MaxDepth is how deep lists and mappings may be nested. The deepest key
	// of the schema stands at 10.
	MaxDepth = 32
	// MaxKeys is how many keys one block mapping may have: the parser's time
	// grows with their square. The widest mapping of the schema has 30.
	MaxKeys = 1000
)

// readYAML returns the root of the one document in data, or what is wrong with
// the file as YAML. Duplicate keys are left to the decoder.
func readYAML(data []byte) (ast.Node, []placed) {
	if len(data) > MaxFileSize {
		return nil, oneFault(place{1, 1}, "the file is larger than %d bytes", MaxFileSize)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if fault := checkText(data); fault != nil {
		return nil, fault
	}
	tokens := lexer.Tokenize(string(data))
	if bad := tokens.InvalidToken(); bad != nil {
		return nil, oneFault(tokenPlace(bad), "%s", syntaxProblem(bad.Error))
	}
	if faults := checkTokens(tokens); len(faults) > 0 {
		return nil, faults
	}
	file, err := parseTokens(tokens)
	if err != nil {
		return nil, syntaxFault(err)
	}
	return onlyDocument(file)
}

func oneFault(at place, format string, args ...any) []placed {
	return []placed{{place: at, problem: fmt.Sprintf(format, args...)}}
}

// checkText refuses what is not text: the parser would replace it silently.
func checkText(data []byte) []placed {
	at := place{1, 1}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return oneFault(at, "the file is not UTF-8 text: found byte 0x%02x", data[i])
		case r == '\n':
			at = place{at.line, 0}
			at.line++
		case r == '\r' && i+1 < len(data) && data[i+1] == '\n', r == '\t':
		case r < ' ', r == 0x7f, r == 0xfeff:
			return oneFault(at, "the file holds the control character U+%04X", r)
		}
		at.column++
		i += size
	}
	return nil
}

// refused are the parts of YAML that a config file may not use. They would let
// a few bytes stand for many, or change a type out of sight.
var refused = map[token.Type]string{
	token.AnchorType:     `anchors are not supported: write the value out, or quote a value that begins with "&"`,
	token.AliasType:      `aliases are not supported: write the value out, or quote a value that begins with "*"`,
	token.MergeKeyType:   `merge keys are not supported: write the keys out`,
	token.TagType:        `tags are not supported: leave the tag out, or quote a value that begins with "!"`,
	token.MappingKeyType: `complex keys are not supported: write "key: value", or quote a value that begins with "?"`,
	token.DirectiveType:  `directives are not supported: leave the line out, or quote a value that begins with "%"`,
}

// checkTokens finds refused parts of YAML and collections that are too deep or
// too wide, before the parser sees the tokens.
func checkTokens(tokens token.Tokens) []placed {
	var faults []placed
	var shape shape
	for _, t := range tokens {
		if problem, ok := refused[t.Type]; ok {
			faults = append(faults, placed{place: tokenPlace(t), problem: problem})
		}
		if problem := shape.add(t); problem != "" {
			return append(faults, placed{place: tokenPlace(t), problem: problem})
		}
	}
	return faults
}

// parseTokens runs the parser. A panic in it becomes an error: it is other
// people's code, and a reload must not end the process.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the YAML parser cannot read this file")
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// syntaxFault keeps position and message of a parser error, and leaves out the
// quoted lines, which may hold a private key.
func syntaxFault(err error) []placed {
	if e, ok := errors.AsType[yaml.Error](err); ok {
		return oneFault(tokenPlace(e.GetToken()), "%s", syntaxProblem(e.GetMessage()))
	}
	return oneFault(place{1, 1}, "invalid YAML: %v", err)
}

// syntaxProblem words a message of the lexer or the parser.
func syntaxProblem(message string) string {
	if message == "found character '\t' that cannot start any token" {
		return "invalid YAML: a tab cannot indent; use spaces"
	}
	return "invalid YAML: " + message
}

func onlyDocument(file *ast.File) (ast.Node, []placed) {
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			at := nodePlace(doc.Body)
			if doc.Start != nil {
				at = tokenPlace(doc.Start)
			}
			return nil, oneFault(at, "the file holds more than one YAML document: keep one")
		}
		root = doc.Body
	}
	if root == nil {
		return nil, oneFault(place{1, 1}, "the file is empty: it needs at least the key %q", "listeners")
	}
	return root, nil
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

// nodePlace returns where a value begins: the first key of a block mapping,
// not the colon that the parser gives it.
func nodePlace(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return tokenPlace(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return tokenPlace(n.Key.GetToken())
	}
	return tokenPlace(n.GetToken())
}

// isBlock reports whether a value stands below its key rather than beside it.
func isBlock(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.MappingNode:
		return !n.IsFlowStyle
	case *ast.MappingValueNode:
		return true
	case *ast.SequenceNode:
		return !n.IsFlowStyle
	case *ast.NullNode:
		return n.Token.Type == token.ImplicitNullType
	}
	return false
}
