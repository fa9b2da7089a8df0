//go:build unix

package launch

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockRunDir returns nil if the directory is locked by somebody else, or cannot
// be.
func lockRunDir(dir string) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close()
		return nil
	}
	return f
}

// young is how long a directory may not be locked yet.
const young = time.Minute

// ours reports whether a directory is as a host of this user makes it.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode() == fs.ModeDir|0o700 && int(stat.Uid) == os.Geteuid()
}

// collectRunDirs removes what hosts left that were killed before their plugins
// could: directories that nobody has locked, and that hold nothing but sockets,
// empty directories, the empty files that go-plugin reserves a socket's name
// with, and what was executed of a pinned plugin.
func collectRunDirs() {
	entries, _ := os.ReadDir(os.TempDir())
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), runDirPrefix) || !ours(info) || time.Since(info.ModTime()) < young {
			continue
		}
		dir := filepath.Join(os.TempDir(), e.Name())
		lock := lockRunDir(dir)
		if lock == nil {
			continue
		}
		inside, _ := os.ReadDir(dir)
		for _, e := range inside {
			if e.IsDir() || e.Type() == fs.ModeSocket || e.Type() == fs.ModeSymlink || reservation(e) || isImage(e) {
				_ = os.Remove(filepath.Join(dir, e.Name()))
			}
		}
		_ = os.Remove(dir)
		_ = lock.Close()
	}
}

// reservation reports whether a file is one that a plugin makes, and removes
// again, before it listens.
func reservation(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Mode().IsRegular() && info.Size() == 0 && strings.HasPrefix(e.Name(), "plugin")
}

// isImage reports whether a file is as copyImage makes it.
func isImage(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Mode() == imageMode
}
