package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/durable"
)

// A target is the directory that a restore writes. Until finish it is not
// touched: what is written lies in a side directory on the same file system.
//
//	SIDE/new       what will be in place: p1, p2, ... or p1 alone, as the database
//	SIDE/old       what has been moved out of the target, to go back if anything fails
//	SIDE/replaced  SIDE/old when all of it has been moved out, and new may move in
//
// The last two are there only while directories are moved one by one, and then
// the side directory is in the target itself. A living restore has it locked:
// what a killed one leaves is ended by the next restore. See collect.
type target struct {
	dir       string
	overwrite bool
	side      string
	lock      *os.File       // of side
	root      string         // what becomes the target: SIDE/new, or a directory in it
	ours      *regexp.Regexp // names that --overwrite replaces; others stay
	stuck     bool           // side holds what could not be moved back
}

const (
	sidePrefix  = ".brock-restore-"
	newDir      = "new"
	oldDir      = "old"
	replacedDir = "replaced"
)

// What a directory of groups, and a Badger directory, consist of.
var (
	groupDirs   = regexp.MustCompile(`^p[0-9]+$`)
	badgerFiles = regexp.MustCompile(`^([0-9]+\.(sst|vlog|mem)|MANIFEST|MANIFEST-REWRITE|KEYREGISTRY|DISCARD|LOCK|BROCK-DROP)$`)
)

// newTarget looks at dir and refuses one that holds anything, unless it may be
// overwritten.
func newTarget(dir string, overwrite bool) (*target, error) {
	if dir == "" {
		return nil, usage("give one with --postings", "no directory to restore into")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	if err := collect(dir); err != nil {
		return nil, err
	}
	names, err := readNames(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(names) > 0 && !overwrite {
		return nil, usage("choose another directory, or replace what is there with --overwrite",
			"%s is not empty: it holds %s", dir, some(names))
	}
	return &target{dir: dir, overwrite: overwrite, ours: groupDirs}, nil
}

// suits refuses to overwrite what is not the like of what is restored, and a
// directory that holds the very backups.
func (t *target) suits(plain bool, location string) error {
	if _, path, ok := strings.Cut(location, "://"); ok {
		location = path
	}
	if rel, err := filepath.Rel(t.dir, location); err == nil && filepath.IsAbs(location) && filepath.IsLocal(rel) {
		return usage("choose another directory", "%s holds the backups that are to be restored", t.dir)
	}
	names, err := readNames(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !plain && slices.Contains(names, "MANIFEST") {
		return usage("restore beside it, and move p1 into its place by hand", "%s is a Badger directory itself, not one that holds p1, p2, ...", t.dir)
	}
	if plain && slices.ContainsFunc(names, groupDirs.MatchString) {
		return usage("choose another directory", "%s holds p1, p2, ..., not one Badger database", t.dir)
	}
	return nil
}

// collect removes the side directories that killed restores left in the target
// and beside it. If one was killed while it moved directories one by one, these
// are moved back, or the new ones in if all old ones were out.
func collect(dir string) error {
	for _, at := range []string{dir, filepath.Dir(dir)} {
		entries, _ := os.ReadDir(at) // whoever needs to know will find out
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), sidePrefix) || !e.IsDir() {
				continue
			}
			if err := collectSide(at, filepath.Join(at, e.Name())); err != nil {
				return fmt.Errorf("an earlier restore was killed while it replaced %s, which cannot be undone: %w", at, err)
			}
		}
	}
	return nil
}

func collectSide(dir, side string) error {
	lock, err := lockDir(side)
	if err != nil || lock == nil {
		return nil
	}
	defer lock.Close()
	if err := moveAll(filepath.Join(side, oldDir), dir); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(side, replacedDir)); err == nil {
		if err := moveAll(filepath.Join(side, newDir), dir); err != nil {
			return err
		}
	}
	os.RemoveAll(side)
	return nil
}

// moveAll moves what from holds, if there is such a directory. It replaces
// nothing.
func moveAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(to, e.Name())
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s is there: %w", name, fs.ErrExist)
		}
		if err := os.Rename(filepath.Join(from, e.Name()), name); err != nil {
			return err
		}
	}
	return nil
}

// lockDir locks a directory for as long as the file is open. It returns nil if
// another process has it locked, or has removed it meanwhile.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		a, errA := f.Stat()
		b, errB := os.Lstat(dir)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return f, nil
		}
	}
	f.Close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

// plain makes the database itself, instead of its group's directory, the target.
func (t *target) plain(group uint32) {
	t.root, t.ours = filepath.Join(t.root, groupDir(group)), badgerFiles
}

// readNames lists what a directory holds; the side directory of a restore that
// was killed does not count.
func readNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), sidePrefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func some(names []string) string {
	if len(names) > 4 {
		names = append(names[:4:4], "...")
	}
	return strings.Join(names, ", ")
}

// begin makes the side directory: beside the target, so that one rename puts
// everything in place, or inside it where that is impossible.
func (t *target) begin() error {
	err := os.MkdirAll(filepath.Dir(t.dir), 0o700)
	if err == nil {
		err = t.makeSide(filepath.Dir(t.dir))
	}
	if err != nil || !t.sameDevice() {
		t.abandon()
		if inside := t.makeSide(t.dir); errors.Is(inside, fs.ErrNotExist) && err != nil {
			return err // there is no target yet, and it cannot be made
		} else if inside != nil {
			return fmt.Errorf("side directory: %w", inside)
		}
	}
	t.root = filepath.Join(t.side, newDir)
	if err := os.Mkdir(t.root, 0o700); err != nil {
		t.abandon()
		return err
	}
	return nil
}

// makeSide makes and locks a side directory. Before it is locked, another
// restore may take it for a dead one's.
func (t *target) makeSide(dir string) (err error) {
	for t.lock == nil {
		if t.side, err = os.MkdirTemp(dir, sidePrefix+"*"); err != nil {
			t.side = ""
			return err
		}
		if t.lock, err = lockDir(t.side); err != nil {
			return nil //nolint:nilerr // without locks nobody takes it for dead
		}
	}
	return nil
}

// sameDevice is false where the target is a mount point of its own.
func (t *target) sameDevice() bool {
	var a, b unix.Stat_t
	if err := unix.Stat(t.dir, &a); errors.Is(err, fs.ErrNotExist) {
		return true
	} else if err != nil {
		return false
	}
	return unix.Stat(t.side, &b) == nil && a.Dev == b.Dev
}

// finish puts what was restored in place. After an error the target is as it
// was.
func (t *target) finish() error {
	if err := t.place(); err != nil {
		return fmt.Errorf("putting %s in place: %w", t.dir, err)
	}
	return nil
}

// place takes one rename, if that can do it: then a kill leaves the old
// database or the new one.
func (t *target) place() error {
	names, err := readNames(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return t.swap(os.Rename)
	}
	if err != nil {
		return err
	}
	if len(names) > 0 && !t.overwrite {
		return usage("choose another directory", "%s is no longer empty", t.dir)
	}
	if err := t.idle(names); err != nil {
		return err
	}
	foreign := slices.ContainsFunc(names, func(name string) bool { return !t.ours.MatchString(name) })
	if foreign || filepath.Dir(t.side) == t.dir || t.likeTarget(t.root) != nil {
		return t.replace(names)
	}
	if err := t.swap(exchange); !errors.Is(err, errNotExchanged) {
		return err
	}
	return t.replace(names)
}

// errNotExchanged means that nothing was done, maybe because the file system
// has no such operation.
var errNotExchanged = errors.New("not exchanged")

// swap gives the new directory the target's name, durably or not at all.
func (t *target) swap(rename func(from, to string) error) error {
	if err := rename(t.root, t.dir); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(t.dir)); err != nil {
		return errJoin(err, rename(t.dir, t.root))
	}
	return nil
}

// likeTarget gives dir the owner and mode of the target.
func (t *target) likeTarget(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(t.dir, &st); err != nil {
		return err
	}
	if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return os.Chmod(dir, os.FileMode(st.Mode).Perm())
}

// replace moves the old directories aside and the new ones in, one by one, and
// takes everything back if one cannot be moved.
func (t *target) replace(names []string) (err error) {
	var undo [][2]string
	move := func(from, to string) error {
		if err := os.Rename(from, to); err != nil {
			return err
		}
		undo = append(undo, [2]string{to, from})
		return nil
	}
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0 && !t.stuck; i-- {
			if back := os.Rename(undo[i][0], undo[i][1]); back != nil {
				t.stuck = true
				err = fmt.Errorf("%w; the next restore into %s moves back what is left in %s: %w", err, t.dir, t.side, back)
			}
		}
	}()
	if err := t.moveIn(); err != nil {
		return err
	}
	fresh, err := readNames(t.root)
	if err != nil {
		return err
	}
	old, replaced := filepath.Join(t.side, oldDir), filepath.Join(t.side, replacedDir)
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if t.ours.MatchString(name) {
			if err := move(filepath.Join(t.dir, name), filepath.Join(old, name)); err != nil {
				return err
			}
		}
	}
	if err := move(old, replaced); err != nil {
		return err
	}
	for _, name := range fresh {
		if err := move(filepath.Join(t.root, name), filepath.Join(t.dir, name)); err != nil {
			return err
		}
	}
	return durable.SyncDir(t.dir)
}

// moveIn moves the side directory into the target, and makes SIDE/new what is
// to be there, so that collect knows what belongs where.
func (t *target) moveIn() error {
	if filepath.Dir(t.side) != t.dir {
		side := filepath.Join(t.dir, filepath.Base(t.side))
		if err := os.Rename(t.side, side); err != nil {
			return err
		}
		t.root = filepath.Join(side, strings.TrimPrefix(t.root, t.side))
		t.side = side
	}
	fresh := filepath.Join(t.side, newDir)
	if t.root == fresh {
		return nil
	}
	const group = "group"
	if err := os.Rename(t.root, filepath.Join(t.side, group)); err != nil {
		return err
	}
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	t.root = fresh
	return os.Rename(filepath.Join(t.side, group), fresh)
}

// idle makes sure that no process has one of the old databases open: Badger
// keeps a lock on its directory.
func (t *target) idle(names []string) error {
	dirs := []string{t.dir}
	for _, name := range names {
		if groupDirs.MatchString(name) {
			dirs = append(dirs, filepath.Join(t.dir, name))
		}
	}
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return usage("stop the process that uses it", "%s is open in another process", dir)
		}
	}
	return nil
}

// abandon removes the side directory, and with it whatever was replaced.
func (t *target) abandon() {
	if t.side != "" && !t.stuck {
		os.RemoveAll(t.side)
	}
	if t.lock != nil {
		t.lock.Close()
	}
	t.side, t.lock = "", nil
}

// errJoin is errors.Join for what is mostly one error.
func errJoin(err, other error) error {
	if other == nil {
		return err
	}
	return errors.Join(err, other)
}
