//go:build unix

package plugindir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// trusted returns why the file at path must not be run, or nil: whoever may
// change a plugin, or put another in its place, reads every key and every
// backup.
func trusted(path string) error {
	file, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !file.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if file.Mode().Perm()&0o111 == 0 {
		return errors.New("not executable")
	}
	if err := ours(file); err != nil {
		return err
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := ours(dir); err != nil {
		return fmt.Errorf("its directory is %w", err)
	}
	return nil
}

func ours(info fs.FileInfo) error {
	if mode := info.Mode(); mode.Perm()&0o022 != 0 && mode&(fs.ModeDir|fs.ModeSticky) != fs.ModeDir|fs.ModeSticky {
		return fmt.Errorf("writable by group or others (mode %04o)", mode.Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("owned by user %d, neither root nor you", st.Uid)
	}
	return nil
}
