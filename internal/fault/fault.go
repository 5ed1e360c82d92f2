// Package fault collects everything that is wrong with a configured value.
//
// A constructor that checks a Config reports each bad field as a [Fault] whose
// path is written in the keys of the config file, such as
// "conditions[0].path_pattern.values[1]". The constructor knows nothing of files;
// package lb maps the path to a line and a column. Start from [List].
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// A Fault is one thing wrong with one configured value.
type Fault struct {
	// Path names the value by its config keys, outermost first, joined by dots,
	// with list indexes in brackets. Empty means the value as a whole.
	Path string
	// Problem says what is wrong, the limit and the value, and the remedy.
	Problem string
}

// Error returns the path and the problem on one line.
func (f *Fault) Error() string {
	if f.Path == "" {
		return f.Problem
	}
	return f.Path + ": " + f.Problem
}

// List is every fault found in one pass. The zero value is empty and ready to
// use. A List is not safe for concurrent use.
type List []*Fault

// Add notes that the value at path is wrong.
func (l *List) Add(path, format string, args ...any) {
	*l = append(*l, &Fault{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// AddUnder notes err, found while checking the value at prefix. If err is or
// wraps a List or a Fault, each fault keeps its own path below prefix. A nil
// err is ignored.
func (l *List) AddUnder(prefix string, err error) {
	if err == nil {
		return
	}
	for _, f := range All(err) {
		*l = append(*l, &Fault{Path: Join(prefix, f.Path), Problem: f.Problem})
	}
}

// Err returns the list as an error, or nil if it is empty.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Error returns the faults, one a line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, f := range l {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// All returns the faults that err holds. An error that joins others, as
// errors.Join makes them, is taken apart; one of another kind becomes one Fault
// without a path.
func All(err error) []*Fault {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Fault
		for _, e := range joined.Unwrap() {
			all = append(all, All(e)...)
		}
		return all
	}
	if list, ok := errors.AsType[List](err); ok {
		return list
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return []*Fault{f}
	}
	return []*Fault{{Problem: err.Error()}}
}

// Join puts a path below a prefix; either may be empty.
func Join(prefix, path string) string {
	if prefix == "" || path == "" || path[0] == '[' {
		return prefix + path
	}
	return prefix + "." + path
}

// Index returns the path of element i of the list at path.
func Index(path string, i int) string {
	return fmt.Sprintf("%s[%d]", path, i)
}
