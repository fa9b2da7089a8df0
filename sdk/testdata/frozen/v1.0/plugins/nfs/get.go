package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/brock-backup/brock/sdk"
)

// Get implements sdk.Destination.
func (d *destination) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	f, size, err := d.openObject(name)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > size {
		f.Close()
		return nil, fmt.Errorf("%s: offset %d in %d bytes: %w", name, offset, size, sdk.ErrInvalid)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, kind(name, err)
	}
	return &reader{ctx, name, f}, nil
}

// openObject opens an object. While it is being replaced, some clients lose
// sight of it for a moment: then it looks again.
func (d *destination) openObject(name string) (f *os.File, size int64, err error) {
	for range 3 {
		f, size, err = d.tryOpen(name)
		if !gone(err) {
			break
		}
	}
	return f, size, err
}

// tryOpen opens a regular file. Anything else, a pipe say, is no object, and
// opening it might never end.
func (d *destination) tryOpen(name string) (*os.File, int64, error) {
	dir, base, err := d.openDir(name)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	fi, err := dir.Stat(base)
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, 0, kind(name, absent(err))
	}
	f, err := dir.Open(base)
	if err != nil {
		return nil, 0, kind(name, err)
	}
	if fi, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, kind(name, err)
	}
	return f, fi.Size(), nil
}

type reader struct {
	ctx  context.Context
	name string
	f    *os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // os.File returns it bare
		err = kind(r.name, err)
	}
	return n, err
}

func (r *reader) Close() error { return kind(r.name, r.f.Close()) }

// Delete removes an object, and the directories above it that are empty then.
func (d *destination) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.tryDelete(name)
	for range 20 { // an NFS client has lost a directory that is no more
		if !errors.Is(err, syscall.ESTALE) || !pause(ctx) {
			break
		}
		err = d.tryDelete(name)
	}
	return err
}

func (d *destination) tryDelete(name string) error {
	dir, base, err := d.openDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	fi, err := dir.Lstat(base)
	if err == nil && !fi.IsDir() {
		err = dir.Remove(base)
	}
	switch {
	case err == nil && fi.IsDir():
		return nil
	case err == nil:
		err = syncDir(dir, ".")
	case errors.Is(err, fs.ErrNotExist): // a Put may have made the directories, and no more
		err = nil
	}
	if err != nil {
		return kind(name, err)
	}
	d.prune(path.Dir(name))
	return nil
}

// prune removes directories that are empty, from dir upwards. It does not
// matter whether it can: they are no objects.
func (d *destination) prune(dir string) {
	root, err := d.open()
	if err != nil {
		return
	}
	defer root.Close()
	for ; dir != "."; dir = path.Dir(dir) {
		fi, err := root.Lstat(dir) // Remove removes files, too
		if err != nil || !fi.IsDir() || root.Remove(dir) != nil {
			return
		}
	}
}
