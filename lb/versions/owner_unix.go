//go:build unix

package versions

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// giveToOwner makes a file of the superuser's that of the owner of folder.
func giveToOwner(w io.Writer, folder string) error {
	file, ok := w.(interface{ Chown(uid, gid int) error })
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("giving the file to the owner of %s: %w", folder, err)
		}
	}
	return nil
}
