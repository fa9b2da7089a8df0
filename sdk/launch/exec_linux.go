package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// newImage puts data into memory that nobody can change any more, not even this
// process. The plugin inherits it as descriptor fd, and executes it by way of a
// link at path, so that it has a name, and that the interpreter of a script
// finds the script. Where the system wants no programs in memory
// (vm.memfd_noexec, a security module) or has no /proc, it is a file in the run
// directory, which nobody but this user can change.
func newImage(path string, data []byte, fd int) (image, error) {
	sealed, err := seal(filepath.Base(path), data)
	if err != nil {
		return copyImage(path, data)
	}
	if err := os.Symlink("/proc/self/fd/"+strconv.Itoa(fd), path); err != nil {
		_ = sealed.Close()
		return image{}, err
	}
	return image{path, sealed}, nil
}

// seal returns data as a file in memory, open for reading only and sealed.
func seal(name string, data []byte) (*os.File, error) {
	// What is open for writing cannot be executed, and a process that were
	// forked now would keep it open for a while.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3 knows no MFD_EXEC, and needs none
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	w := os.NewFile(uintptr(fd), name)
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(w.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	self := fmt.Sprintf("/proc/self/fd/%d", w.Fd())
	if err := unix.Access(self, unix.X_OK); err != nil {
		return nil, err
	}
	return os.Open(self)
}

// openProgram opens a file that may be no file at all, and does not wait for
// somebody to write into it.
func openProgram(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// executable asks the system, because what is executed is not the file itself:
// neither its mode nor that of its file system would count.
func executable(f *os.File, info fs.FileInfo) error {
	err := unix.Access(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.X_OK)
	if errors.Is(err, fs.ErrNotExist) { // no /proc
		err = executableMode(info)
	}
	return err
}
