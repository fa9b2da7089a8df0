//go:build unix

package plugindir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk"
)

func executable(info fs.FileInfo) error {
	if info.Mode().Perm()&0o111 == 0 {
		return sdk.WithHint(errors.New("not executable"), "chmod +x it, if it is a plugin")
	}
	return nil
}

// ours returns why somebody else may change a file or a directory, or nil.
// Whoever may change a plugin, or put another in its place, reads every key and
// every backup.
func ours(info fs.FileInfo) error {
	if err := closed(info, 0o022); err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return sdk.WithHint(fmt.Errorf("owned by user %d, neither root nor you", st.Uid), "make sure that it is what it should be, and chown it")
	}
	return nil
}

// oursAbove is ours for a directory above. Its sticky bit keeps what is in it
// from others. Without strict it only matters whether everybody may write: people
// share what they build in with their group, or build as another user.
func oursAbove(info fs.FileInfo, strict bool) error {
	if info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	if !strict {
		return closed(info, 0o002)
	}
	root, err := os.Stat("/")
	if err != nil {
		return err
	}
	if owner(info) == owner(root) { // root may have another number in a container
		return closed(info, 0o022)
	}
	return ours(info)
}

func closed(info fs.FileInfo, to fs.FileMode) error {
	if mode := info.Mode().Perm(); mode&to != 0 {
		return sdk.WithHint(fmt.Errorf("writable by group or others (mode %04o)", mode), "make sure that it is what it should be, and chmod go-w it")
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func owned(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

// mine reports whether a file belongs to this user, and nobody else may write
// it.
func mine(info fs.FileInfo) bool { return owned(info) && info.Mode().Perm()&0o022 == 0 }

// look returns what tells whether a file has been changed since.
func look(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return identity{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return identity{
		Path: path, Device: uint64(st.Dev), Inode: uint64(st.Ino), Size: st.Size, //nolint:unconvert // as wide as the system has it
		Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}, nil
}

// openFlags keep an open from waiting for somebody to write into a pipe.
const openFlags = unix.O_NONBLOCK

// noLink keeps an open from following a symbolic link.
const noLink = unix.O_NOFOLLOW

// lockLog keeps others from rotating a log until f is closed.
func lockLog(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_EX) }
