package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/postern-lb/postern/internal/fault"
)

// maxQuoted is the longest text, in characters, that a message repeats. A line
// of a PEM file has 64, so no line of a private key is ever printed whole.
const maxQuoted = 48

// describe names a value for a message: its kind and, if it is short, itself.
func describe(node ast.Node) string {
	switch n := node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "the boolean " + n.Token.Value
	case *ast.IntegerNode:
		return "the integer " + shorten(n.Token.Value)
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + shorten(n.GetToken().Value)
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	s, _ := text(node)
	if !printable(s) {
		return quoteText(s)
	}
	return "the string " + quoteText(s)
}

// quoteText repeats a string in quotes, or says how long it is.
func quoteText(s string) string {
	if !printable(s) {
		return fmt.Sprintf("a string of %d characters", utf8.RuneCountInString(s))
	}
	return fmt.Sprintf("%q", s)
}

func printable(s string) bool {
	return utf8.RuneCountInString(s) <= maxQuoted && !strings.Contains(s, "\n") && !strings.Contains(s, "-----")
}

func shorten(s string) string {
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "..."
	}
	return s
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,48}$`)

// longestKey is more than the longest key of the schema.
const longestKey = 80

// quoteKey returns a key as it stands in a path. Only what looks like a key is
// repeated: a private key pasted without indentation would be one too.
func quoteKey(key string) string {
	if plainKey.MatchString(key) || len(key) <= longestKey && strings.HasPrefix(key, attributePrefix) {
		return key
	}
	return fmt.Sprintf("(a key of %d characters)", utf8.RuneCountInString(key))
}

// suggest says which of the known keys was meant, or lists them all.
func suggest(key string, known []string) string {
	if best := closest(key, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the keys here are " + strings.Join(abridge(known), ", ")
}

// attributePrefix begins the many keys of ListenerAttributes.
const attributePrefix = "routing_http_"

// abridge stands one word in for all the attributes.
func abridge(keys []string) []string {
	short := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return strings.HasPrefix(k, attributePrefix) })
	if len(short) < len(keys) {
		short = append(short, attributePrefix+"...")
	}
	return short
}

// nearest ends a sentence about an unknown name with the known one that was
// probably meant.
func nearest(name string, known []string) string {
	if best := closest(name, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// closest returns the known word that differs least from word, or "" if all
// differ in more than a third of their letters.
func closest(word string, known []string) string {
	best, distance := "", len(word)/3+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := fault.EditDistance(fold(word), fold(k)); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// fold brings camel case and kebab case to one form, for comparison only.
func fold(key string) string {
	key = key[:min(len(key), longestKey)]
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(key))
}
