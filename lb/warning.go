package lb

import (
	"fmt"
	"strings"

	"github.com/postern-lb/postern/lb/config"
)

// A Warning is something an operator should know of a config, or of a file that
// it names, that was accepted.
type Warning struct {
	// Config, Line and Column say where the config has the cause, and Path by which
	// keys. They are empty for a file that no config names.
	Config       string
	Line, Column int
	Path         string
	File         string // the file it is about; empty: the config itself
	Problem      string
}

// String returns the warning on one line: CONFIG:LINE:COLUMN: PATH: FILE: PROBLEM.
func (w Warning) String() string {
	var b strings.Builder
	if w.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: %s: ", w.Config, w.Line, w.Column, w.Path)
	}
	if w.File != "" {
		b.WriteString(w.File + ": ")
	}
	b.WriteString(w.Problem)
	return b.String()
}

// placed returns warnings with their positions in the config at path, after
// those of the config itself.
func placed(path string, file *config.File, warnings []Warning) []Warning {
	var out []Warning
	for _, w := range file.Warnings() {
		out = append(out, Warning{Config: path, Line: w.Line, Column: w.Column, Path: w.Path, Problem: w.Problem})
	}
	for _, w := range warnings {
		w.Config = path
		w.Line, w.Column = file.Position(w.Path)
		out = append(out, w)
	}
	return out
}
