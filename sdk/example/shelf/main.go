// Command brock-destination-shelf keeps backups in a directory. Package sdk's
// README shows it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user can set.
type Config struct {
	URI string `json:"uri" required:"true" doc:"the directory" example:"shelf:///srv/backups"`
}

func main() {
	sdk.ServeDestination(sdk.Plugin{Name: "shelf", Version: "0.1.0", Doc: "Fills a directory.", Schemes: []string{"shelf"}}, open)
}

type shelf struct{ dir string }

func open(_ context.Context, c Config) (*shelf, error) {
	dir := strings.TrimPrefix(c.URI, "shelf://")
	return &shelf{dir}, os.MkdirAll(dir, 0o700)
}

func (s *shelf) file(name string) string { return filepath.Join(s.dir, url.PathEscape(name)) }

func (s *shelf) Put(ctx context.Context, name string, r io.Reader) error {
	f, err := os.CreateTemp(s.dir, "%new-*") // no escaped name begins like that
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close(), ctx.Err()); err != nil {
		return err
	}
	return os.Link(f.Name(), s.file(name)) // all at once, and only if there is none: ErrExist
}

func (s *shelf) Get(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(s.file(name))
	if err != nil {
		return nil, err // one of package fs is one of the SDK
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || offset > size {
		err = cmp.Or(err, fmt.Errorf("%s ends at %d, before %d: %w", name, size, offset, sdk.ErrInvalid))
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(offset, io.SeekStart)
	return f, err
}

func (s *shelf) List(_ context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		entries, err := os.ReadDir(s.dir)
		var objects []sdk.Object
		for _, e := range entries {
			name, unfinished := url.PathUnescape(e.Name())
			info, infoErr := e.Info()
			if unfinished != nil || errors.Is(infoErr, fs.ErrNotExist) || !strings.HasPrefix(name, prefix) {
				continue
			}
			if err = cmp.Or(err, infoErr); err == nil {
				objects = append(objects, sdk.Object{Name: name, Size: info.Size()})
			}
		}
		slices.SortFunc(objects, func(a, b sdk.Object) int { return cmp.Compare(a.Name, b.Name) })
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(sdk.Object{}, err) // never a list that is merely short
		}
	}
}

func (s *shelf) Delete(_ context.Context, name string) error {
	err := os.Remove(s.file(name))
	if errors.Is(err, fs.ErrNotExist) { // it may be repeated
		return nil
	}
	return err
}
