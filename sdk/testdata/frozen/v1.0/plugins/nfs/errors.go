package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/brock-backup/brock/sdk"
)

// kind says what went wrong with an object or with the location, as one of the
// SDK's kinds. The paths in an operating system's error are left out: they name
// temporary files.
func kind(what string, err error) error {
	if err == nil {
		return nil
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	switch {
	case ok:
	case notDir(err):
		errno = syscall.ENOTDIR
	case says(err, "path escapes from parent"):
		return fmt.Errorf("%s: a symbolic link leads out of the location: %w", what, sdk.ErrPermission)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
	f := &failure{text: what + ": " + errno.Error(), errno: errno, kind: kinds[errno]}
	if errno == syscall.EROFS {
		return sdk.WithHint(f, "the file system is mounted read-only: mount it read-write, or choose another location")
	}
	return f
}

// kinds has what package syscall does not know to be one of io/fs's errors.
var kinds = map[syscall.Errno]error{
	syscall.ENOSPC: sdk.ErrNoSpace,
	syscall.EDQUOT: sdk.ErrNoSpace,
	syscall.EFBIG:  sdk.ErrNoSpace,

	syscall.EROFS: sdk.ErrPermission,

	syscall.ENAMETOOLONG: sdk.ErrInvalid,
	syscall.EILSEQ:       sdk.ErrInvalid,
	syscall.EISDIR:       sdk.ErrInvalid,
	syscall.ENOTDIR:      sdk.ErrInvalid,

	// A server that is away or restarts, or a client that has lost track of it.
	syscall.ESTALE:       sdk.ErrUnavailable,
	syscall.EIO:          sdk.ErrUnavailable,
	syscall.ETIMEDOUT:    sdk.ErrUnavailable,
	syscall.EAGAIN:       sdk.ErrUnavailable,
	syscall.ECONNREFUSED: sdk.ErrUnavailable,
	syscall.ECONNRESET:   sdk.ErrUnavailable,
	syscall.ENOTCONN:     sdk.ErrUnavailable,
	syscall.EHOSTDOWN:    sdk.ErrUnavailable,
	syscall.EHOSTUNREACH: sdk.ErrUnavailable,
	syscall.ENETDOWN:     sdk.ErrUnavailable,
	syscall.ENETUNREACH:  sdk.ErrUnavailable,
	syscall.EMFILE:       sdk.ErrUnavailable,
	syscall.ENFILE:       sdk.ErrUnavailable,
}

type failure struct {
	text  string
	errno syscall.Errno
	kind  error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.errno}
	}
	return []error{f.errno, f.kind}
}

// absent is for what looks an object up: if part of its name is a file, there
// is no such object.
func absent(err error) error {
	if notDir(err) {
		return fs.ErrNotExist
	}
	return err
}

func notDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) || says(err, "not a directory") }

// says recognises the errors of os.Root that have no name.
func says(err error, text string) bool {
	p, ok := errors.AsType[*fs.PathError](err)
	return ok && p.Err.Error() == text
}

// unsupported reports whether a file system cannot do what it was asked for, as
// opposed to having failed at it.
func unsupported(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EOPNOTSUPP, syscall.ENOTSUP, syscall.ENOSYS, syscall.EINVAL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, errors.ErrUnsupported)
}
