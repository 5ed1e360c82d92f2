package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/postern-lb/postern/internal/fault"
)

// maxFaults bounds how many faults of one file are reported.
const maxFaults = 200

// Error is one fault of a config file.
type Error struct {
	File string
	// Line and Column count from 1, Column in characters. Both are 0 if the
	// fault has no place, as for a file that cannot be read.
	Line, Column int
	// Path names the value by its keys, such as "listeners[0].rules[2]"; it is
	// empty if the file is no readable YAML.
	Path string
	// Problem says what is wrong and what to do. It never holds key material.
	Problem string
}

// Error returns "FILE:LINE:COLUMN: PATH: PROBLEM".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Problem)
	return b.String()
}

// Errors is every fault of one file, sorted by position.
type Errors []*Error

// Error returns the faults, one a line.
func (l Errors) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Error.
func (l Errors) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

func (l Errors) sort() {
	slices.SortStableFunc(l, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
}

// place is a position in a file, both counted from 1.
type place struct{ line, column int }

// A placed is a fault before the file's name is known.
type placed struct {
	place
	path, problem string
}

// report turns faults into sorted Errors that point inside data: the YAML
// parser counts the end of a file beyond it.
func report(name string, data []byte, faults []placed) Errors {
	lines := bytes.Split(data, []byte("\n"))
	widths := make(map[int]int) // of lines with faults; one line may have very many
	list := make(Errors, 0, len(faults))
	for _, f := range faults {
		line := min(max(f.line, 1), len(lines))
		width, ok := widths[line]
		if !ok {
			width = utf8.RuneCount(bytes.TrimSuffix(lines[line-1], []byte("\r")))
			widths[line] = width
		}
		list = append(list, &Error{
			File: name, Line: line, Column: min(max(f.column, 1), width+1),
			Path: f.path, Problem: f.problem,
		})
	}
	list.sort()
	if len(list) > maxFaults {
		last := list[maxFaults-1]
		rest := len(list) - maxFaults
		list = append(list[:maxFaults], &Error{
			File: name, Line: last.Line, Column: last.Column,
			Problem: fmt.Sprintf("%d more faults follow and are not shown", rest),
		})
	}
	return list
}

// source remembers where the values of a File stand.
type source struct {
	name   string
	places map[string]place
	files  []*string // the values that name files
}

// Position returns where the value at a path such as
// "listeners[0].rules[2].actions[0].forward" stands in the file: the value
// itself if it is on the key's line, else its key. A path that the file does
// not hold gets the position of its nearest ancestor. Both results are 0 for a
// File that was not parsed. Safe for concurrent use.
func (f *File) Position(path string) (line, column int) {
	if f.source == nil {
		return 0, 0
	}
	for {
		if p, ok := f.source.places[path]; ok {
			return p.line, p.column
		}
		if path == "" {
			return 1, 1
		}
		path = parent(path)
	}
}

// PathOf returns the path of the entry called name in one of the lists
// "listeners", "target_groups" and "trust_stores", for use with Place; the
// path of the list if it has no such entry.
func (f *File) PathOf(list, name string) string {
	at := -1
	switch list {
	case "listeners":
		at = slices.IndexFunc(f.Listeners, func(l Listener) bool { return l.Name == name })
	case "target_groups":
		at = slices.IndexFunc(f.TargetGroups, func(g TargetGroup) bool { return g.Name == name })
	case "trust_stores":
		at = slices.IndexFunc(f.TrustStores, func(s TrustStore) bool { return s.Name == name })
	}
	if at < 0 {
		return list
	}
	return fault.Index(list, at)
}

// Place gives the faults of err, found by a domain package below the value at
// prefix, their positions in the file (see internal/fault). It returns nil for
// a nil err.
func (f *File) Place(prefix string, err error) Errors {
	var list Errors
	for _, one := range fault.All(err) {
		path := fault.Join(prefix, one.Path)
		e := &Error{Path: path, Problem: one.Problem}
		e.Line, e.Column = f.Position(path)
		if f.source != nil {
			e.File = f.source.name
		}
		list = append(list, e)
	}
	list.sort()
	return list
}

// parent cuts the last key or index off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
