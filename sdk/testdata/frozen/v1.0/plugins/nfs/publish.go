package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/brock-backup/brock/sdk"
)

// publish gives the object its name, unless that is taken. A hard link does it
// nearly everywhere. Where there are none, a rename under a lock does.
func (u *upload) publish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := u.d.link(u.dir, u.tmp, u.base)
	if unlinkable(err) {
		err = u.rename(ctx)
	}
	if err != nil && !u.landed() {
		return u.failed(err)
	}
	if err := syncDir(u.dir, "."); err != nil {
		_ = u.dir.Remove(u.base)
		return kind(u.name, err)
	}
	return nil
}

func (u *upload) failed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: somebody removed %s, which it was written to: %w", u.name, u.tmp, sdk.ErrUnavailable)
	}
	return kind(u.name, err)
}

// unlinkable reports whether a link failed because there are none here. FAT and
// some servers say "not permitted"; if that is meant, so will the rename.
func unlinkable(err error) bool {
	return unsupported(err) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK)
}

// landed reports whether the object has its name, whatever the server said: a
// request whose answer was lost is sent again, and fails then.
func (u *upload) landed() bool {
	fi, err := u.dir.Lstat(u.base)
	return err == nil && os.SameFile(fi, u.info)
}

// rename asks for a rename that replaces nothing, and takes one that does where
// there is no other. The lock is for both: there are file systems that do not
// listen to what they are asked for.
func (u *upload) rename(ctx context.Context) error {
	unlock, err := lock(ctx, u)
	if err != nil {
		return err
	}
	defer unlock()
	switch _, err := u.dir.Lstat(u.base); {
	case err == nil:
		return fs.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	err = u.d.rename(u.dir, u.tmp, u.base)
	if unsupported(err) {
		err = u.dir.Rename(u.tmp, u.base)
	}
	return err
}
