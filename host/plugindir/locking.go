package plugindir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A Change is what a new lock says of one file that the old one did not.
type Change struct {
	File   string `json:"file"`
	Change string `json:"change"` // "added", "removed", "changed" or "same"
	Was    Digest `json:"was,omitzero"`
	Now    Digest `json:"now,omitzero"`
}

// MakeLock locks a directory: it asks every plugin there what it is, and pins
// the bytes that answered. It returns the changes since the lock before, by file
// name. If a plugin cannot be used, or the lock that is there cannot be read, it
// leaves everything as it is.
func MakeLock(ctx context.Context, dir string, o Options) ([]Change, error) {
	if err := trustedDir(dir, o.Trust == Locked); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	was, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	pins, err := pinAll(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if was == nil && len(pins) == 0 {
		return nil, invalid("put plugins there first", "there are no plugins in %s", dir)
	}
	if was == nil {
		was = new(Lock)
	}
	now := &Lock{Plugins: pins}
	if err := now.write(dir); err != nil {
		return nil, err
	}
	return compare(was, now), nil
}

func pinAll(ctx context.Context, dir string, o Options) ([]Pin, error) {
	o.Attached, o.Trust = nil, Open
	d := New([]string{dir}, o)
	d.anew = true
	defer d.Close()
	plugins, err := d.Plugins(ctx)
	if err != nil {
		return nil, err
	}
	var pins []Pin
	var aside []error
	for _, p := range plugins {
		if p.Err != nil {
			aside = append(aside, fmt.Errorf("%s: %w", p.Path, p.Err))
			continue
		}
		pin, err := newPin(p.Path, p.Digest, p.Description)
		if err != nil {
			return nil, err
		}
		pins = append(pins, pin)
	}
	if len(aside) > 0 {
		return nil, sdk.WithHint(fmt.Errorf("nothing was locked, because a plugin cannot be used: %w", errors.Join(aside...)),
			"put it right, or take it away")
	}
	return pins, nil
}

func newPin(path string, digest Digest, desc sdk.Description) (Pin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Pin{}, err
	}
	return Pin{
		File: filepath.Base(path), Name: desc.Name, Kind: desc.Kind, Version: desc.Version,
		OS: runtime.GOOS, Arch: runtime.GOARCH, SHA256: digest, Size: info.Size(),
	}, nil
}

func compare(was, now *Lock) []Change {
	changes := []Change{}
	for _, p := range now.Plugins {
		old, ok := was.pin(p.File)
		c := Change{p.File, "changed", old.SHA256, p.SHA256}
		switch {
		case !ok:
			c.Change = "added"
		case old.SHA256 == p.SHA256:
			c.Change = "same"
		}
		changes = append(changes, c)
	}
	for _, p := range was.Plugins {
		if _, ok := now.pin(p.File); !ok {
			changes = append(changes, Change{p.File, "removed", p.SHA256, Digest{}})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.File, b.File) })
	return changes
}

// A Verdict is what became of one file of a plugin directory.
type Verdict struct {
	Path   string `json:"path"`
	Status Status `json:"status"`
	Pinned Digest `json:"pinned,omitzero"`
	Found  Digest `json:"found,omitzero"`
	Reason string `json:"reason,omitempty"`
}

// A Status is the short form of a Verdict.
type Status string

// The verdicts on a file. All but Same and Unlocked mean that something is not
// as it was locked.
const (
	Same     Status = "ok"
	Unlocked Status = "not locked" // its directory has no lock
	Changed  Status = "changed"
	Unlisted Status = "not listed"
	Missing  Status = "missing"
	Unfit    Status = "refused" // whatever its digest is: others may change it
	BadLock  Status = "bad lock"
)

// Verify compares every plugin file with the lock of its directory. It reads all
// of them and starts none.
func (d *Dirs) Verify() []Verdict {
	verdicts := []Verdict{}
	for _, dir := range d.dirs {
		verdicts = append(verdicts, d.verify(dir)...)
	}
	return verdicts
}

func (d *Dirs) verify(dir string) []Verdict {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = trustedDir(dir, d.opts.Trust == Locked)
	}
	if err != nil {
		return []Verdict{{Path: dir, Status: Unfit, Reason: err.Error()}}
	}
	lock, err := readLock(dir)
	if err != nil {
		return []Verdict{{Path: filepath.Join(dir, LockFile), Status: BadLock, Reason: err.Error()}}
	}
	var verdicts []Verdict
	there := map[string]bool{}
	for _, e := range entries {
		if _, ok := kindOf(e.Name()); ok {
			there[e.Name()] = true
			verdicts = append(verdicts, judge(filepath.Join(dir, e.Name()), lock))
		}
	}
	if lock == nil {
		return verdicts
	}
	for _, p := range lock.Plugins {
		if !there[p.File] {
			verdicts = append(verdicts, Verdict{Path: filepath.Join(dir, p.File), Status: Missing, Pinned: p.SHA256})
		}
	}
	return verdicts
}

func judge(path string, lock *Lock) Verdict {
	v := Verdict{Path: path}
	if err := trusted(path); err != nil {
		v.Status, v.Reason = Unfit, err.Error()
		return v
	}
	var err error
	if v.Found, err = digestOf(path); err != nil {
		v.Status, v.Reason = Unfit, err.Error()
		return v
	}
	if lock == nil {
		v.Status = Unlocked
		return v
	}
	pin, ok := lock.pin(filepath.Base(path))
	switch v.Pinned = pin.SHA256; {
	case !ok:
		v.Status = Unlisted
	case v.Pinned != v.Found:
		v.Status = Changed
	default:
		v.Status = Same
	}
	return v
}

// Inhabited returns those of the directories that have plugins, or a lock.
func (d *Dirs) Inhabited() []string {
	var dirs []string
	for _, dir := range d.dirs {
		entries, _ := os.ReadDir(dir) // one that cannot be read is said to be empty
		if slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			_, ok := kindOf(e.Name())
			return ok || e.Name() == LockFile
		}) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
