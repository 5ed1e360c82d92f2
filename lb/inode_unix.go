//go:build unix

package lb

import (
	"io/fs"
	"syscall"
)

// inode tells a file from another that was renamed over it with the same size
// and time.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
