package lb

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFolderEntries bounds the entries of a folder that is a source, those included that
// do not count.
const maxFolderEntries = 10_000

// Extensions of the files in a folder that count.
var (
	bundleExtensions     = []string{".pem", ".crt"}
	revocationExtensions = []string{".crl", ".pem", ".der"}
)

// filesOf returns path itself or, if it is a folder, the files in it that have one
// of the extensions, sorted. Hidden files do not count, nor what editors leave behind,
// which has another extension.
func filesOf(path string, extensions []string) ([]string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return []string{path}, nil // whoever opens the file words the error
	}
	folder, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(maxFolderEntries + 1)
	if err != nil && len(names) > 0 {
		return nil, unreadable(path, err)
	}
	if len(names) > maxFolderEntries {
		return nil, fmt.Errorf("%s has more than %d entries", path, maxFolderEntries)
	}
	var out []string
	for _, name := range names {
		file := filepath.Join(path, name)
		if strings.HasPrefix(name, ".") || !slices.Contains(extensions, filepath.Ext(name)) {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		out = append(out, file)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the folder %s has no file that ends in %s", path, strings.Join(extensions, ", "))
	}
	slices.Sort(out)
	return out, nil
}

// watchedOf returns what to watch so that a change of path is noticed: the file, or the
// folder, its own entries among them.
func watchedOf(path string, extensions []string) []string {
	files, err := filesOf(path, extensions)
	if err == nil && len(files) == 1 && files[0] == path {
		return files
	}
	// The dot makes the watch one of the folder itself.
	return append(files, path+string(filepath.Separator)+".")
}
