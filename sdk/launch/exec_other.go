//go:build !linux

package launch

import (
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// newImage makes a file in the run directory, and so promises less than where
// there is sealed memory: nobody but this user can change it.
func newImage(path string, data []byte, _ int) (image, error) { return copyImage(path, data) }

func openProgram(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func executable(_ *os.File, info fs.FileInfo) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return executableMode(info)
}
