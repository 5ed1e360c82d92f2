package logfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	fileMode   = 0o640
	folderMode = 0o750
)

// file is the open file below a Writer. One goroutine uses it.
type file struct {
	// Fixed by openFile.
	path    string
	stdout  bool
	maxSize int64 // negative: never rotate
	backups int   // negative: keep none

	handle    *os.File
	regular   bool      // not a device or a pipe: it has a size
	size      int64     // of a regular file
	torn      bool      // the last byte that we wrote was not a line break
	mend      bool      // nor was the last byte of the file as we found it
	watched   time.Time // when the path was last looked at
	nextRenew time.Time // no rotation before this, because one failed
}

func openFile(o Options) (*file, error) {
	f := &file{path: o.Path, stdout: o.Path == "-", maxSize: o.MaxSize, backups: o.MaxBackups}
	if f.stdout {
		f.handle = os.Stdout
		return f, nil
	}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

// reopen opens the path and lets go of the old file; if it fails the old one
// stays.
func (f *file) reopen() error {
	if f.stdout {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), folderMode); err != nil {
		return err
	}
	handle, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	info, err := handle.Stat()
	if err != nil {
		return errors.Join(err, handle.Close())
	}
	f.close()
	f.handle, f.torn, f.watched = handle, false, time.Now()
	f.regular, f.size = info.Mode().IsRegular(), info.Size()
	f.mend = f.regular && f.size > 0 && !endsInLineBreak(f.path, f.size)
	return nil
}

// close closes the file. An error would be one of a write that has been reported
// by the write already, or of a file system that reports late; there is nobody
// left to try again for.
func (f *file) close() {
	if f.handle != nil && !f.stdout {
		f.handle.Close()
	}
}

// endsInLineBreak reports whether the last of size bytes is a line break, or
// cannot be read.
func endsInLineBreak(path string, size int64) bool {
	reader, err := os.Open(path)
	if err != nil {
		return true
	}
	defer reader.Close()
	var last [1]byte
	_, err = reader.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

// write writes as much of b, whole lines, as belongs into the current file, at
// least one byte unless there is an error, and returns how much that was. It
// rotates first if no line of b fits.
func (f *file) write(b []byte) (int, error) {
	if !f.torn { // the rest of a line belongs to the file that has its beginning
		if err := f.prepare(b); err != nil {
			return 0, err
		}
	}
	n, err := f.handle.Write(f.part(b))
	f.size += int64(n)
	if n > 0 {
		f.torn = b[n-1] != '\n'
	}
	return n, err
}

// prepare makes the file ready for the first line of b.
func (f *file) prepare(b []byte) error {
	if err := f.watch(); err != nil {
		return err
	}
	if f.size > 0 && !f.fits(b) {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if !f.mend {
		return nil
	}
	n, err := f.handle.Write([]byte{'\n'}) // ends a line that a crash left unfinished
	f.size += int64(n)
	f.mend = n == 0
	return err
}

// rotates reports whether the file's size matters now.
func (f *file) rotates() bool {
	return f.regular && f.maxSize >= 0 && !time.Now().Before(f.nextRenew)
}

// fits reports whether the first line of b may be added.
func (f *file) fits(b []byte) bool {
	return !f.rotates() || f.size+int64(firstLine(b)) <= f.maxSize
}

// part returns the lines of b that may be added to the file, at least the first.
func (f *file) part(b []byte) []byte {
	room := f.maxSize - f.size
	if !f.rotates() || int64(len(b)) <= room {
		return b
	}
	first := firstLine(b)
	if int64(first) >= room {
		return b[:first]
	}
	return b[:max(first, lineStart(b, int(room)))]
}

// firstLine returns the length of b's first line with its line break.
func firstLine(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// lineStart returns where the line begins that byte i of b belongs to.
func lineStart(b []byte, i int) int {
	return bytes.LastIndexByte(b[:i], '\n') + 1
}

// resume returns where in batch to go on after a write that stopped at byte i. A
// line that broke off goes on where it did, unless the file has been replaced:
// then the new one gets it whole.
func (f *file) resume(batch []byte, i int) int {
	if f.torn {
		return i
	}
	return lineStart(batch, i)
}

// watch looks, once a second, whether the path still is the open file, and opens
// it again if not: somebody removed or renamed it and sent no signal. It also
// learns the size of a file that somebody truncated.
func (f *file) watch() error {
	if f.stdout || time.Since(f.watched) < watchPeriod {
		return nil
	}
	now, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours, ourErr := f.handle.Stat()
	if err != nil || ourErr != nil || !os.SameFile(now, ours) {
		return f.reopen()
	}
	f.watched, f.size = time.Now(), now.Size()
	return nil
}

// rotate renames path.1 to path.2 and so on, path to path.1, and opens a new
// file. The last backup is overwritten. After a failure the file grows past its
// size for a while, rather than be lost or tried at every line.
func (f *file) rotate() error {
	err := f.shift()
	if err == nil {
		err = f.reopen()
	}
	if err != nil {
		f.nextRenew = time.Now().Add(reportPeriod)
	}
	return err
}

func (f *file) shift() error {
	if f.backups < 0 {
		return os.Remove(f.path)
	}
	for i := f.backups; i > 1; i-- {
		err := os.Rename(f.backup(i-1), f.backup(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(f.path, f.backup(1))
}

func (f *file) backup(i int) string {
	return f.path + "." + strconv.Itoa(i)
}
