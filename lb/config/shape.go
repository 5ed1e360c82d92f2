package config

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// A shape follows tokens to tell how deep and wide the collections are that
// they will become. It need not be exact: a collection is opened by a bracket,
// or by a token that stands further right than those around it.
type shape struct {
	blocks []block      // the enclosing block collections, outermost first
	flow   int          // open brackets
	last   *token.Token // comments left out
}

type block struct{ column, keys int }

// add takes the next token and says what is wrong with it, if anything.
func (s *shape) add(t *token.Token) string {
	switch t.Type {
	case token.CommentType:
		return ""
	case token.SequenceStartType, token.MappingStartType:
		s.flow++
	case token.SequenceEndType, token.MappingEndType:
		s.flow = max(s.flow-1, 0)
	case token.SequenceEntryType:
		if s.flow > 0 {
			return `invalid YAML: a list with dashes cannot stand inside brackets; quote a value that begins with "-"`
		}
	}
	keys := 0
	if s.flow == 0 {
		keys = s.addBlock(t)
	}
	s.last = t
	if keys > MaxKeys {
		return fmt.Sprintf("more than %d keys in one mapping", MaxKeys)
	}
	if len(s.blocks)+s.flow > MaxDepth {
		return fmt.Sprintf("nested deeper than %d levels", MaxDepth)
	}
	return ""
}

// addBlock takes a token outside brackets and returns the number of keys of
// the mapping it belongs to.
func (s *shape) addBlock(t *token.Token) int {
	if s.last == nil || s.last.Position.Line != t.Position.Line || s.last.Type == token.SequenceEntryType {
		s.enter(t.Position.Column)
	}
	if len(s.blocks) == 0 {
		return 0
	}
	top := &s.blocks[len(s.blocks)-1]
	if t.Type == token.MappingValueType {
		top.keys++
	}
	return top.keys
}

// enter closes the collections that a token at column ends, and opens its own.
func (s *shape) enter(column int) {
	for len(s.blocks) > 0 && s.blocks[len(s.blocks)-1].column > column {
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	if len(s.blocks) == 0 || s.blocks[len(s.blocks)-1].column < column {
		s.blocks = append(s.blocks, block{column: column})
	}
}
