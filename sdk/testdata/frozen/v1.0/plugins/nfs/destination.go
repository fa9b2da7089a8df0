package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A destination is a directory. It holds nothing open between calls, so that it
// works again when a share was unmounted and came back.
type destination struct {
	path     string
	dirMode  fs.FileMode
	fileMode fs.FileMode

	// How a finished file gets its name, if that is free. Not every file system
	// can do either; see publish.
	link   func(dir *os.Root, from, to string) error
	rename func(dir *os.Root, from, to string) error

	leftovers leftovers
}

var (
	_ sdk.Destination = (*destination)(nil)
	_ sdk.Replacer    = (*destination)(nil)
	_ sdk.Prober      = (*destination)(nil)
)

// hidden begins the names of files that are no objects: those being written,
// and locks.
const hidden = ".brock-"

// checkName refuses what can be no object here. The host has checked names too,
// but this is the last place before they become paths.
func checkName(name string) error {
	if !valid(name) {
		return fmt.Errorf("object name %q: %w", name, sdk.ErrInvalid)
	}
	return nil
}

func valid(name string) bool {
	clean := fs.ValidPath(name) && name != "." && filepath.IsLocal(name) && !strings.ContainsRune(name, 0)
	return clean && !slices.ContainsFunc(strings.Split(name, "/"), isHidden)
}

func isHidden(elem string) bool { return strings.HasPrefix(elem, hidden) }

// open opens the location. Nothing that is opened through it lies outside,
// whatever symbolic links there are.
func (d *destination) open() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, kind("location "+d.path, err)
	}
	return root, nil
}

// openDir opens the directory that holds an object. The error says ErrNotExist
// if there is none, and so no such object.
func (d *destination) openDir(name string) (dir *os.Root, base string, err error) {
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	root, err := d.open()
	if err != nil {
		return nil, "", err
	}
	parent, base := path.Split(name)
	if parent == "" {
		return root, base, nil
	}
	defer root.Close()
	dir, err = root.OpenRoot(parent)
	if err != nil {
		return nil, "", kind(name, absent(err))
	}
	return dir, base, nil
}

// makeDir is openDir, except that it makes the directories that are missing,
// the location itself included.
func (d *destination) makeDir(name string) (dir *os.Root, base string, err error) {
	dir, base, err = d.openDir(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, base, err
	}
	if _, err := d.makeLocation(); err != nil {
		return nil, "", err
	}
	root, err := d.open()
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	parent := path.Dir(name)
	for i, c := range parent + "/" {
		if c != '/' {
			continue
		}
		if err := d.makeOne(root, parent[:i]); err != nil {
			return nil, "", kind(name, err)
		}
	}
	dir, err = root.OpenRoot(parent)
	return dir, path.Base(name), kind(name, err)
}

// makeOne makes a directory whose parent exists.
func (d *destination) makeOne(root *os.Root, dir string) error {
	err := root.Mkdir(dir, d.dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && d.dirMode != 0o700 {
		err = root.Chmod(dir, d.dirMode) // whatever the umask is
	}
	if err != nil {
		return err
	}
	return syncDir(root, path.Dir(dir))
}

// makeLocation makes the location's directory and returns those it made, the
// outermost first.
func (d *destination) makeLocation() (made []string, err error) {
	var missing []string
	for dir := d.path; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if err == nil || dir == filepath.Dir(dir) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, kind("location "+d.path, err)
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		root, err := os.OpenRoot(filepath.Dir(dir))
		if err != nil {
			return made, kind("location "+d.path, err)
		}
		err = d.makeOne(root, filepath.Base(dir))
		root.Close()
		if err != nil {
			return made, kind("location "+d.path, err)
		}
		made = append(made, dir)
	}
	return made, nil
}

// syncDir makes the names in a directory durable, where the file system has a
// way of asking for it. A directory that is gone has none.
func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !unsupported(err) {
		return err
	}
	return nil
}
