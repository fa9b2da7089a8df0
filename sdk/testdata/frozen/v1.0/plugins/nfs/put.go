package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// Put writes the object under a hidden name, makes it durable, and only then
// gives it its own: NFS promises nothing before an fsync. Directories that it
// made for an object that was not to be are removed, too.
func (d *destination) Put(ctx context.Context, name string, r io.Reader) (err error) {
	if err := d.vacant(name); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.prune(path.Dir(name))
		}
	}()
	u, err := d.upload(ctx, name, r)
	if err != nil {
		return err
	}
	defer u.close()
	if err := u.publish(ctx); err != nil {
		return err
	}
	d.leftovers.collect(d, u.now())
	return nil
}

// vacant saves the transfer of an object that is there already.
func (d *destination) vacant(name string) error {
	dir, base, err := d.openDir(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	fi, err := dir.Lstat(base)
	switch {
	case gone(err):
		return nil
	case err != nil:
		return kind(name, err)
	case fi.IsDir():
		return fmt.Errorf("%s: there is a directory of that name: %w", name, sdk.ErrInvalid)
	}
	return fmt.Errorf("%s: %w", name, sdk.ErrExist)
}

// An upload is a file that is whole and durable, and has only its hidden name.
// It stays open, and thereby locked, for as long as that name is needed.
type upload struct {
	d       *destination
	dir     *os.Root
	file    *os.File
	tmp     string
	base    string
	name    string
	info    fs.FileInfo
	ended   time.Time // when info was read
	version string    // what the object's version will be
}

// upload stores what r yields, but not yet under its name.
func (d *destination) upload(ctx context.Context, name string, r io.Reader) (_ *upload, err error) {
	u, err := d.create(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	hash := sha256.New()
	size, err := u.copy(ctx, io.TeeReader(r, hash))
	if err != nil {
		return nil, err
	}
	if err := u.file.Sync(); err != nil {
		return nil, kind(name, err)
	}
	if u.info, err = u.file.Stat(); err != nil {
		return nil, kind(name, err)
	}
	if u.info.Size() != size {
		return nil, fmt.Errorf("%s: %d bytes were written, and the file has %d: %w", name, size, u.info.Size(), sdk.ErrUnavailable)
	}
	u.ended = time.Now()
	u.version = hex.EncodeToString(hash.Sum(nil))
	return u, ctx.Err()
}

// create makes the file and locks it, which is how others know that its writer
// lives. Before it is locked, somebody else's Delete may remove the directory,
// and somebody else's collection take the file for abandoned: then it begins
// again.
func (d *destination) create(ctx context.Context, name string) (u *upload, err error) {
	for range 50 {
		u, err = d.tryCreate(name)
		if !gone(err) || !pause(ctx) {
			return u, err
		}
	}
	return nil, fmt.Errorf("%w: %w", err, sdk.ErrUnavailable)
}

// gone reports whether a directory has been removed, as local file systems and
// NFS clients say it.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE) }

// tryCreate fails with what is gone if what it made is.
func (d *destination) tryCreate(name string) (*upload, error) {
	dir, base, err := d.makeDir(name)
	if err != nil {
		return nil, err
	}
	u := &upload{d: d, dir: dir, base: base, name: name, tmp: tmpPrefix() + rand.Text()}
	u.file, err = dir.OpenFile(u.tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, d.fileMode)
	if err == nil && d.fileMode != 0o600 {
		err = u.file.Chmod(d.fileMode) // whatever the umask is
	}
	if err == nil && !mine(dir, u.tmp, u.file) {
		err = fs.ErrNotExist
	}
	if err != nil {
		u.close()
		return nil, kind(name, err)
	}
	return u, nil
}

// copy tells failures of the source, which it returns as they are, from those
// of the file. It looks at ctx at least once per MiB.
func (u *upload) copy(ctx context.Context, r io.Reader) (size int64, err error) {
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return size, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := u.file.Write(buf[:n]); err != nil {
				return size, kind(u.name, err)
			}
			size += int64(n)
		}
		if err == io.EOF { // and not errors.Is: a wrapped one is a failure
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// close removes the hidden name. What cannot be removed is a leftover.
func (u *upload) close() {
	if u.file != nil {
		err := u.dir.Remove(u.tmp)
		u.file.Close()
		if err != nil { // Windows keeps what is open
			_ = u.dir.Remove(u.tmp)
		}
	}
	u.dir.Close()
}

// now is the time by the clock that the file system's times are of.
func (u *upload) now() time.Time { return u.info.ModTime().Add(time.Since(u.ended)) }
