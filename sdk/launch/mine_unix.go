//go:build unix

package launch

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// mine returns why somebody else may have made or changed a file, or nil.
func mine(info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("is a symbolic link: %w", fs.ErrPermission)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("writable by group or others (mode %04o): %w", mode, fs.ErrPermission)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("owned by user %d, neither root nor you: %w", st.Uid, fs.ErrPermission)
	}
	return nil
}
