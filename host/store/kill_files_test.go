package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// files is a destination in a directory, which outlives the process. One process writes to it at
// a time.
type files struct{ dir string }

func (d files) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// write makes an object appear whole.
func (d files) write(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.dir, ".tmp*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), d.path(name))
}

// Put implements sdk.Destination.
func (d files) Put(_ context.Context, name string, r io.Reader) error {
	if _, err := os.Stat(d.path(name)); err == nil {
		return fmt.Errorf("%s: %w", name, sdk.ErrExist)
	}
	return d.write(name, r)
}

// Get implements sdk.Destination.
func (d files) Get(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	return f, err
}

// List implements sdk.Destination.
func (d files) List(_ context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		var all []sdk.Object
		err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".tmp") {
				return err
			}
			fi, err := e.Info()
			if err != nil {
				return err
			}
			name, err := filepath.Rel(d.dir, path)
			if name = filepath.ToSlash(name); strings.HasPrefix(name, prefix) {
				all = append(all, sdk.Object{Name: name, Size: fi.Size()})
			}
			return err
		})
		if err != nil {
			yield(sdk.Object{}, err)
			return
		}
		slices.SortFunc(all, func(a, b sdk.Object) int { return strings.Compare(a.Name, b.Name) })
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements sdk.Destination.
func (d files) Delete(_ context.Context, name string) error {
	if err := os.Remove(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Version implements sdk.Replacer.
func (d files) Version(_ context.Context, name string) (string, error) {
	b, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), err
}

// Replace implements sdk.Replacer.
func (d files) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	there, err := d.Version(ctx, name)
	if err != nil {
		return "", err
	}
	if there != version {
		return "", fmt.Errorf("%s: %w", name, sdk.ErrConflict)
	}
	if err := d.write(name, r); err != nil {
		return "", err
	}
	return d.Version(ctx, name)
}
