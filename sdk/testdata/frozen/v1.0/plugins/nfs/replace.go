package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/brock-backup/brock/sdk"
)

// Version is a digest of the content: times are too coarse on some servers, and
// clients remember them for a while.
func (d *destination) Version(ctx context.Context, name string) (string, error) {
	r, err := d.Get(ctx, name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer r.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Replace writes the object under a hidden name like Put, and then, alone with
// the present one, compares and renames.
func (d *destination) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if err := d.compare(ctx, name, version); err != nil {
		return "", err // and save the transfer
	}
	u, err := d.upload(ctx, name, r)
	if err != nil {
		return "", err
	}
	defer u.close()
	if version == "" {
		err = u.publish(ctx)
	} else {
		err = u.swap(ctx, version)
	}
	if errors.Is(err, fs.ErrExist) {
		return "", conflict(name)
	}
	if err != nil {
		return "", err
	}
	d.leftovers.collect(d, u.now())
	return u.version, nil
}

func (d *destination) compare(ctx context.Context, name, version string) error {
	v, err := d.Version(ctx, name)
	if err == nil && v != version {
		err = conflict(name)
	}
	return err
}

func conflict(name string) error { return fmt.Errorf("%s: %w", name, sdk.ErrConflict) }

func (u *upload) swap(ctx context.Context, version string) error {
	unlock, err := lock(ctx, u)
	if err != nil {
		return err
	}
	defer unlock()
	if err := u.d.compare(ctx, u.name, version); err != nil {
		return err
	}
	if err := u.dir.Rename(u.tmp, u.base); err != nil && !u.landed() {
		return u.failed(err)
	}
	return kind(u.name, syncDir(u.dir, "."))
}
