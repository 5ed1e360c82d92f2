// Package durable writes files that are either there whole or not at all.
//
// A reader, or a process that starts after a crash, finds the old content or the
// new one, never a part of either.
package durable

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Modes of what is written: it may name clients and hold what operators keep to
// themselves.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// Folder makes a folder, and those above it, unless it is there, and checks that files
// can be made in it.
func Folder(path string) error {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return fmt.Errorf("making the folder %s: %w", path, err)
	}
	f, err := os.CreateTemp(path, temporary)
	if err != nil {
		return fmt.Errorf("writing in %s: %w: correct its mode or owner", path, err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// WriteFile replaces the content of a file. Its folder must exist.
func WriteFile(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// temporary is how files are named before they are whole.
const temporary = ".postern-*.tmp"

// Write replaces the content of a file with what write produces. If write returns an
// error, that is returned and the file stays as it was. The folder must exist.
func Write(path string, write func(io.Writer) error) (err error) {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(fileMode); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes the renaming last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
