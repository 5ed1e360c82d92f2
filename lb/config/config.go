// Package config reads Postern's config file.
//
// [Load] and [Parse] turn YAML into a [File] with every default filled in, or
// into [Errors]: all the faults of the file in one pass, each with its line,
// its column and its path in keys. The structs mirror the file, with ALB's and
// Terraform's names in snake case; docs/configuration.md lists them.
//
// Decoding is strict. A key that is unknown, doubled or empty, a value of
// another type, a second document, an anchor, an alias or a tag is an error:
// a misspelt key must never leave a listener weaker than it reads.
//
// The package checks what the file alone can tell: names, references,
// addresses, quotas, and which keys go together. It opens no certificate and
// compiles no rule. The packages that do report their faults by path, and
// [File.Place] gives those a line and a column.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Load reads and checks the config file at path. Relative paths in the file
// are taken from the file's own folder; the name "-" of a log is kept. The
// error is always of type [Errors].
func Load(path string) (*File, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, Errors{{File: path, Problem: "reading the config file: " + reason(err)}}
	}
	file, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	file.resolve(filepath.Dir(path))
	return file, nil
}

// Parse checks the config file whose content is data; name stands for the
// file in messages. Paths in it are kept as they are written. The error is
// always of type [Errors], and the File is then nil.
func Parse(name string, data []byte) (*File, error) {
	d := newDecoder()
	file := &File{}
	root, faults := readYAML(data)
	if len(faults) > 0 {
		return nil, report(name, data, faults)
	}
	d.decode(root, file)
	validate(file, d)
	if len(d.faults) > 0 {
		return nil, report(name, data, d.faults)
	}
	file.source = &source{name: name, places: d.places, files: d.files}
	return file, nil
}

// readBounded reads the file at path, up to one byte more than Parse allows.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFileSize+1))
}

// reason drops the path from a file error; the Error names it already.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// resolve makes every relative path of the file start at folder.
func (f *File) resolve(folder string) {
	for _, p := range f.source.files {
		if *p != "" && *p != "-" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
}

// bug stops the program for a mistake in this package's own tables.
func bug(format string, args ...any) {
	panic("config: internal error: " + fmt.Sprintf(format, args...))
}
