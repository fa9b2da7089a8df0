package plugindir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// LockFile is the name of a plugin directory's lock. Of a directory that has
// one, no file is executed that it does not list, and none whose bytes are not
// those that it lists.
const LockFile = "plugins.lock"

// A Lock pins the plugins of one directory.
type Lock struct {
	Version int   `json:"version"`
	Plugins []Pin `json:"plugins"` // by file name
}

// A Pin is one plugin in a Lock. Only the file's name, its size and its digest
// decide; the rest is for people.
type Pin struct {
	File    string `json:"file"`
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Version string `json:"version"`
	OS      string `json:"os"` // where it was pinned
	Arch    string `json:"arch"`
	SHA256  Digest `json:"sha256"`
	Size    int64  `json:"size"`
}

// ErrLock is the kind of error of a lock that cannot be used.
var ErrLock = errors.New("unusable lock")

const (
	lockVersion = 1
	lockLimit   = 1 << 20
)

// pin returns what the lock says of a file.
func (l *Lock) pin(file string) (Pin, bool) {
	for _, p := range l.Plugins {
		if p.File == file {
			return p, true
		}
	}
	return Pin{}, false
}

// set replaces what the lock says of a file.
func (l *Lock) set(pin Pin) {
	l.Plugins = slices.DeleteFunc(slices.Clone(l.Plugins), func(p Pin) bool { return p.File == pin.File })
	l.Plugins = append(l.Plugins, pin)
}

// readLock reads the lock of a directory, and returns nil if there is none. A
// lock that others may change, or that is damaged, is an error.
func readLock(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = ours(info)
	}
	if err == nil && info.Size() > lockLimit {
		err = fmt.Errorf("damaged: it has %d bytes", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	var l *Lock
	if err == nil {
		l, err = parseLock(data)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrLock, path, err)
		if sdk.Hint(err) == "" {
			err = sdk.WithHint(err, "put it right, or look at what lies there, remove it, and make a new one with brock plugin lock --plugin-dir "+dir)
		}
		return nil, err
	}
	return l, nil
}

func parseLock(data []byte) (*Lock, error) {
	var v struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(data, &v) == nil && v.Version > lockVersion {
		return nil, sdk.WithHint(fmt.Errorf("it has version %d of the format, this program knows %d", v.Version, lockVersion), "use a newer brock")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	l := new(Lock)
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("damaged: there is more behind its end")
	}
	if l.Version != lockVersion {
		return nil, fmt.Errorf("damaged: it has version %d", l.Version)
	}
	seen := map[string]bool{}
	for _, p := range l.Plugins {
		switch {
		case p.File == "" || strings.ContainsAny(p.File, `/\`):
			return nil, fmt.Errorf("damaged: %q is not a file name", p.File)
		case seen[p.File]:
			return nil, fmt.Errorf("damaged: it lists %s twice", p.File)
		case p.SHA256 == Digest{}:
			return nil, fmt.Errorf("damaged: it has no digest of %s", p.File)
		}
		seen[p.File] = true
	}
	return l, nil
}

// write puts the lock into a directory, at once and for good. Two locks of the
// same plugins are the same bytes.
func (l *Lock) write(dir string) error {
	slices.SortFunc(l.Plugins, func(a, b Pin) int { return strings.Compare(a.File, b.File) })
	l.Version = lockVersion
	if l.Plugins == nil {
		l.Plugins = []Pin{}
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, LockFile)
	return replaceFile(path, 0o644, append(data, '\n'))
}

// replaceFile makes path a file with the given mode, whatever the umask. There
// never is half a file of that name.
func replaceFile(path string, mode fs.FileMode, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes names last. Not every system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}
