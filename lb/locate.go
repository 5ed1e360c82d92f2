package lb

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/trust"
)

// A SourceVersion is what a source calls the version of what was fetched from it.
type SourceVersion struct {
	Source  string `json:"source"`
	Version string `json:"version"` // an S3 version id or an ETag; empty if it has neither
}

// copies are those of the sources that one reading is made from.
type copies struct {
	root     string // the folder of them all
	accepted bool   // those that were in force last, not the newest

	used []*localCopy
	at   []string // where in the config each of used is named
}

// versions returns the versions of the copies that are named below path.
func (c *copies) versions(path string) []SourceVersion {
	var out []SourceVersion
	for i, used := range c.used {
		if strings.HasPrefix(c.at[i], path+".") {
			out = append(out, SourceVersion{used.name, used.version})
		}
	}
	return out
}

// versionOf names a version of a trust store: its digest, and what the sources say.
func versionOf(digest [sha256.Size]byte, sources []SourceVersion) string {
	out := fmt.Sprintf("sha256:%x", digest[:8])
	for _, s := range sources {
		if s.Version != "" {
			out += " " + s.Source + "@" + s.Version
		}
	}
	return out
}

// A located file is one that a source stands for, and what it is called in messages.
type located struct{ file, name string }

// locate returns the files that a source stands for; none if it has faults.
func (m *material) locate(src config.Source, kind, at string, r *reading) []located {
	if src.Remote() {
		c, err := m.sources.copyOf(sourceKey{r.copies.root, kind, src}, r.copies.accepted)
		if err != nil {
			r.faults.Add(at, "%v", err)
			return nil
		}
		r.copies.used, r.copies.at = append(r.copies.used, c), append(r.copies.at, at)
		return []located{{c.file, c.name}}
	}
	files, err := filesOf(src.Path, extensionsOf(kind))
	if err != nil {
		r.faults.Add(at, "%v", err)
	}
	out := make([]located, len(files))
	for i, f := range files {
		out[i] = located{f, f}
	}
	return out
}

func extensionsOf(kind string) []string {
	if kind == kindBundle {
		return bundleExtensions
	}
	return revocationExtensions
}

// bundleData reads the files of a bundle, one after the other, and returns what the whole is
// called; nil if one has faults. Those of a folder are checked one by one, so that a
// fault is that of a file.
func (m *material) bundleData(src config.Source, at string, r *reading) (data []byte, name string) {
	files := m.locate(src, kindBundle, at, r)
	before := len(r.faults)
	for _, f := range files {
		one, err := readFile(f.file, maxBundleFile-int64(len(data)))
		if err != nil {
			r.faults.Add(at, "%v", err)
			continue
		}
		if len(files) == 1 {
			return one, f.name
		}
		if _, err := trust.ParseBundle(one, m.now()); err != nil {
			r.addFile(at, f.name, err)
		}
		if !bytes.HasSuffix(one, []byte("\n")) {
			one = append(one, '\n')
		}
		data = append(data, one...)
	}
	if len(r.faults) > before {
		return nil, ""
	}
	return data, src.Path
}

// sourceFiles returns the files to watch for a source: none if it is fetched.
func sourceFiles(src config.Source, extensions []string) []string {
	if src.Remote() {
		return nil // its certificates are read at each attempt
	}
	return watchedOf(src.Path, extensions)
}

// fileSources returns the sources that are files or folders.
func fileSources(paths []string) []config.Source {
	var out []config.Source
	for _, path := range paths {
		out = append(out, config.FileSource(path))
	}
	return out
}
