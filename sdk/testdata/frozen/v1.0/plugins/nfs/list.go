package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// List walks the location, one directory at a time. A location that is not there
// is ErrNotExist. What vanishes meanwhile is left out; what cannot be read is an
// error, never a shorter list.
func (d *destination) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		w := &walk{d: d, ctx: ctx, prefix: prefix, yield: yield}
		err := w.run()
		for range 20 { // an NFS client has lost a directory that is no more
			if !errors.Is(err, syscall.ESTALE) || !pause(ctx) {
				break
			}
			err = w.run()
		}
		if err != nil {
			yield(sdk.Object{}, err)
		}
	}
}

// pause is a moment in which others get on. It returns false when ctx ends.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Millisecond):
		return true
	}
}

// A walk yields objects. When it is run again, it goes on where it was.
type walk struct {
	d      *destination
	ctx    context.Context
	prefix string
	yield  func(sdk.Object, error) bool

	last string // that was yielded
	over bool   // nobody wants more
}

func (w *walk) run() error {
	dir, _ := path.Split(w.prefix)
	if dir != "" {
		if err := checkName(strings.TrimSuffix(dir, "/")); err != nil {
			return err
		}
	}
	root, err := w.d.open()
	if err != nil {
		return err // the location itself is missing, or cannot be opened
	}
	if dir != "" {
		defer root.Close()
		root, err = root.OpenRoot(dir)
		err = kind(dir, absent(err))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return w.dir(root, dir)
}

// dir yields what is below a directory whose name is "" or ends with a slash.
func (w *walk) dir(root *os.Root, dir string) error {
	entries, err := readDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return kind(cmp.Or(dir, "location "+w.d.path), err)
	}
	for _, e := range entries {
		if err := w.entry(root, dir, e); err != nil || w.over {
			return err
		}
	}
	return nil
}

func (w *walk) entry(root *os.Root, dir string, e fs.DirEntry) error {
	name := dir + e.Name()
	switch {
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case isHidden(e.Name()):
		w.d.leftovers.note(name)
	case foreign(name) || !valid(name):
	case e.IsDir():
		return w.subdir(root, e.Name(), name+"/")
	case e.Type().IsRegular() && strings.HasPrefix(name, w.prefix) && name > w.last:
		return w.file(root, e.Name(), name)
	}
	return nil
}

func (w *walk) subdir(root *os.Root, base, name string) error {
	if !strings.HasPrefix(name, w.prefix) && !strings.HasPrefix(w.prefix, name) {
		return nil
	}
	if name < w.last && !strings.HasPrefix(w.last, name) {
		return nil // it is behind
	}
	sub, err := root.OpenRoot(base)
	if errors.Is(absent(err), fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return kind(name, err)
	}
	defer sub.Close()
	return w.dir(sub, name)
}

func (w *walk) file(root *os.Root, base, name string) error {
	fi, err := root.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return kind(name, err)
	}
	w.last = name
	w.over = !w.yield(sdk.Object{Name: name, Size: fi.Size()}, nil)
	return nil
}

// readDir returns what is in a directory, in the order of the names that result:
// "a.b" is before "a/1", which is before "ab".
func readDir(root *os.Root) ([]fs.DirEntry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortKey(a), sortKey(b)) })
	return entries, err
}

func sortKey(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

var sillyRename = regexp.MustCompile(`(^|/)\.nfs[0-9a-fA-F]{8,}$`)

// foreign tells what the file system put there: files that were removed while
// somebody had them open, and fsck's own directory, which only root may read.
func foreign(name string) bool { return name == "lost+found" || sillyRename.MatchString(name) }
