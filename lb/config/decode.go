package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/postern-lb/postern/internal/fault"
)

// A decoder walks one document and fills a File, noting every fault and the
// place of every value.
type decoder struct {
	faults []placed
	places map[string]place
	// faulty holds the paths whose values were not read, so that they are not
	// reported a second time for being empty.
	faulty  map[string]bool
	schemas map[reflect.Type]*schema
	files   []*string // the values that name files
}

func newDecoder() *decoder {
	return &decoder{
		places:  make(map[string]place),
		faulty:  make(map[string]bool),
		schemas: make(map[reflect.Type]*schema),
	}
}

func (d *decoder) schema(t reflect.Type) *schema {
	s, ok := d.schemas[t]
	if !ok {
		s = schemaOf(t)
		d.schemas[t] = s
	}
	return s
}

func (d *decoder) decode(root ast.Node, file *File) {
	d.places[""] = nodePlace(root)
	d.value(root, "", field{}, reflect.ValueOf(file).Elem())
}

// note records a fault.
func (d *decoder) note(at place, path, format string, args ...any) {
	d.faults = append(d.faults, placed{place: at, path: path, problem: fmt.Sprintf(format, args...)})
}

// add records a fault of the value at path and marks the value as not read.
func (d *decoder) add(at place, path, format string, args ...any) {
	d.note(at, path, format, args...)
	d.faulty[path] = true
}

// value decodes node into v. f is the field that v is, or is an element of.
func (d *decoder) value(node ast.Node, path string, f field, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(node, path, f, v.Elem())
	case v.Kind() == reflect.Slice:
		d.list(node, path, f, v)
	case v.Type() == sourceType:
		d.source(node, path, v)
	case v.Kind() == reflect.Struct && v.Type() != prefixType:
		d.mapping(node, path, v)
	default:
		d.scalar(node, path, f, v)
	}
}

func (d *decoder) list(node ast.Node, path string, f field, v reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok && f.single && !isBlock(node) {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.value(node, path, f, v.Index(0))
		return
	}
	if !ok {
		d.add(d.places[path], path, "expected a list, found %s", describe(node))
		return
	}
	if len(sequence.Values) > 0 { // an empty list is a nil one, so that equal files are equal Files
		v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	}
	for i, element := range sequence.Values {
		at := fault.Index(path, i)
		d.places[at] = nodePlace(element)
		d.value(element, at, f, v.Index(i))
	}
	if f.filled && len(sequence.Values) == 0 {
		d.add(d.places[path], path, "needs at least one element")
	}
}

func (d *decoder) mapping(node ast.Node, path string, v reflect.Value) {
	entries, ok := entriesOf(node)
	if !ok {
		d.add(d.places[path], path, "expected a mapping of keys to values, found %s", describe(node))
		return
	}
	if block, ok := v.Addr().Interface().(interface{ setDefaults() }); ok {
		block.setDefaults()
	}
	schema := d.schema(v.Type())
	seen, unknown := d.entries(entries, path, schema, v)
	if schema.union != "" && (len(seen) > 1 || len(seen) == 0 && !unknown) {
		d.checkUnion(seen, path, schema)
	}
	d.checkPresence(seen, path, schema)
	if block, ok := v.Addr().Interface().(interface{ complete() }); ok {
		block.complete()
	}
}

// entries decodes each key of a mapping. It returns the known ones in order,
// and whether there were unknown ones.
func (d *decoder) entries(entries []*ast.MappingValueNode, path string, s *schema, v reflect.Value) (seen []string, unknown bool) {
	first := make(map[string]place, len(entries))
	for _, entry := range entries {
		key, at := keyText(entry.Key), tokenPlace(entry.Key.GetToken())
		below := fault.Join(path, quoteKey(key))
		if earlier, ok := first[key]; ok {
			d.add(at, below, "duplicate key: it is already at %d:%d", earlier.line, earlier.column)
			continue
		}
		first[key] = at
		f := s.find(key)
		if f == nil {
			d.add(at, below, "unknown key; %s", suggest(key, s.keys()))
			unknown = true
			continue
		}
		seen = append(seen, key)
		d.places[below] = at
		if !isBlock(entry.Value) {
			d.places[below] = nodePlace(entry.Value)
		}
		d.value(entry.Value, below, *f, v.FieldByIndex(f.index))
	}
	return seen, unknown
}

// checkUnion notes that not exactly one key of a union is there.
func (d *decoder) checkUnion(seen []string, path string, s *schema) {
	found := "none"
	if len(seen) > 0 {
		found = strings.Join(seen, " and ")
	}
	d.add(d.places[path], path, "%s needs exactly one of %s; found %s", s.union, strings.Join(s.keys(), ", "), found)
}

// checkPresence notes the required keys that are missing.
func (d *decoder) checkPresence(seen []string, path string, s *schema) {
	for _, f := range s.fields {
		if !f.required || slices.Contains(seen, f.key) {
			continue
		}
		d.note(d.places[path], path, "missing key %q", f.key)
		d.faulty[fault.Join(path, f.key)] = true
	}
}

// entriesOf returns the entries of a mapping node of either kind.
func entriesOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyText(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}
