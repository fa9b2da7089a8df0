package launch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A ChangedError says that a plugin's file is not the one whose digest is
// pinned. Nothing of it was executed.
type ChangedError struct {
	Pinned, Found [sha256.Size]byte
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("its file has changed: SHA-256 %x is pinned, and the file has %x", e.Pinned, e.Found)
}

// Hint says what to do about it.
func (*ChangedError) Hint() string {
	return "put the file back that is pinned, or, if you know where this one is from, pin it with brock plugin lock"
}

// An image is what is executed instead of a plugin's file: the very bytes that
// had the pinned digest. What the program loads besides, an interpreter, shared
// libraries or the modules of a script, is not part of it.
type image struct {
	path string   // to execute
	file *os.File // behind path in the plugin, which inherits it; nil if path is a file of its own
}

// An imager makes an image of data. The image has the given path, and where the
// plugin inherits a file, it does so as descriptor fd.
type imager func(path string, data []byte, fd int) (image, error)

// imageLimit bounds the memory that reading a plugin takes.
const imageLimit = 1 << 30

// pin makes the command execute the file's bytes only if they have the pinned
// digest, if one is pinned. The name of the plugin stays that of its file,
// also in the list of processes.
func (r *runner) pin() error {
	if r.digest == [sha256.Size]byte{} {
		return nil
	}
	data, err := readProgram(r.path)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); sum != r.digest {
		return &ChangedError{Pinned: r.digest, Found: sum}
	}
	path := filepath.Join(r.dir, filepath.Base(r.path))
	img, err := r.execute(path, data, 3+len(r.cmd.ExtraFiles))
	if err != nil {
		return err
	}
	r.cmd.Path = img.path
	if img.file != nil {
		r.image = img.file
		r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, img.file)
	}
	return nil
}

// readProgram reads a file that its owner has made executable.
func readProgram(path string) ([]byte, error) {
	f, err := openProgram(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &os.PathError{Op: "exec", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := executable(f, info); err != nil {
		return nil, &os.PathError{Op: "exec", Path: path, Err: err}
	}
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), imageLimit)) + bytes.MinRead)
	if _, err := io.Copy(&b, io.LimitReader(f, imageLimit+1)); err != nil {
		return nil, err
	}
	if b.Len() > imageLimit {
		return nil, fmt.Errorf("has more than %d bytes", imageLimit)
	}
	return b.Bytes(), nil
}

// copyImage makes a file in the run directory, where nobody but this user may
// change it.
func copyImage(path string, data []byte) (image, error) {
	// A process that were forked while the file is open for writing would keep
	// it open, and with that from being executed.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, imageMode)
	if err != nil {
		return image{}, err
	}
	_, err = f.Write(data)
	return image{path: path}, errors.Join(err, f.Close())
}

const imageMode = 0o500

func executableMode(info fs.FileInfo) error {
	if info.Mode().Perm()&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}
