package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A fault is what becomes of an operation of a file system.
type fault struct {
	name  string
	errno syscall.Errno
	on    bool // and of all after it
}

var faults = []fault{
	{"full for a moment", syscall.ENOSPC, false},
	{"a bad sector", syscall.EIO, false},
	{"a server that forgot", syscall.ESTALE, false},
	{"read-only from then on", syscall.EROFS, true},
}

// step is the distance between the operations that fail: 1 in CI.
func step() int {
	if os.Getenv("CI") == "true" || os.Getenv("BROCK_EVERY_FAULT") != "" {
		return 1
	}
	return 2*len(faults) - 1
}

// directories returns how locations in directories are opened: by the plugin, in
// its own process.
func directories(t *testing.T) func(dir string) Location {
	t.Helper()
	path := filepath.Join(t.TempDir(), "brock-destination-nfs")
	build := exec.Command("go", "build", "-o", path, "../plugins/nfs")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	p, err := launch.Start(t.Context(), path, launch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(dir string) Location {
		d, err := p.OpenDestination(t.Context(), map[string]any{"uri": dir})
		if err != nil {
			t.Fatal(err)
		}
		return Location{URI: dir, Destination: d}
	}
}

// A trial is a fixture of two groups at its first two points.
type trial struct {
	fixture
	e      *Engine
	dirs   [2]string
	judged int
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	all := fixtures(t)
	i := slices.IndexFunc(all, func(f fixture) bool { return f.name == "v25-groups" })
	if i < 0 {
		t.Fatal("fixture v25-groups is missing")
	}
	tr := &trial{fixture: all[i], e: &Engine{Workers: 1}}
	from := location(t, filepath.Join(tr.dir, "backup"))
	for point := range tr.dirs {
		tr.dirs[point] = restore(t, tr.e, RestoreRequest{From: from, Number: point + 1, KeepVersions: true})
	}
	return tr
}

// backup takes a backup of the second point to a place that may fail.
func (tr *trial) backup(t *testing.T, to Location) error {
	t.Helper()
	src := source(t, tr.dirs[1])
	defer src.Close()
	_, err := tr.e.Backup(t.Context(), BackupRequest{Source: src, To: to})
	return err
}

// judge makes sure that a backup that ended with err is visible if, and only if,
// that is nil, and that the next one succeeds and is the database.
func (tr *trial) judge(t *testing.T, what string, clean Location, err error) {
	t.Helper()
	visible := ids(t, tr.e, clean)
	if want := 2; err == nil && len(visible) != want || err != nil && len(visible) != want-1 {
		t.Errorf("%s: the backup ended with %v, and %q is visible", what, err, visible)
		return
	}
	if err != nil {
		if err := tr.backup(t, clean); err != nil {
			t.Errorf("%s: the next backup: %v", what, err)
			return
		}
	}
	if tr.judged++; err == nil || tr.judged%3 == 0 {
		verified(t, tr.e, clean, nil)
	}
}

// Whichever operation of the file system fails while the plugin stores a backup,
// the backup is not visible unless it succeeded, its error names the cause and
// the object, and the next backup succeeds.
func TestEveryFileSystemFailureOfBackup(t *testing.T) {
	t.Parallel()
	tr, in, ffs := newTrial(t), directories(t), newFaultFS(t)
	base := t.TempDir()
	backup(t, tr.e, tr.dirs[0], BackupRequest{To: in(base)})
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			failed, total := 0, 0
			for n := 1; ; n += step() {
				dir := fmt.Sprintf("backup-%d-%d", f.errno, n)
				copyTree(t, base, filepath.Join(ffs.backing, dir))
				ffs.failAt(n, f.errno, f.on)
				err := tr.backup(t, in(filepath.Join(ffs.mount, dir)))
				done := ffs.heal()
				if done.Count < n {
					if err != nil {
						t.Fatalf("nothing failed, and yet: %v", err)
					}
					break
				}
				what := fmt.Sprintf("operation %d (%s)", n, done.Failed)
				total++
				if err != nil {
					failed++
					tr.named(t, what, err, f)
				}
				tr.judge(t, what, in(filepath.Join(ffs.backing, dir)), err)
				noLeftovers(t, what, filepath.Join(ffs.backing, dir), f.on)
				os.RemoveAll(filepath.Join(ffs.backing, dir))
			}
			t.Logf("%d operations failed, and %d backups", total, failed)
			if failed == 0 || total < 5 {
				t.Errorf("%d operations failed, and %d backups", total, failed)
			}
		})
	}
}

// kinds is what the engine makes of an error number of the location.
var kinds = map[syscall.Errno]error{
	syscall.ENOSPC: sdk.ErrNoSpace, syscall.EIO: sdk.ErrUnavailable,
	syscall.ESTALE: sdk.ErrUnavailable, syscall.EROFS: sdk.ErrPermission,
}

func (tr *trial) named(t *testing.T, what string, err error, f fault) {
	t.Helper()
	if !errors.Is(err, kinds[f.errno]) || !strings.Contains(err.Error(), f.errno.Error()) {
		t.Errorf("%s: %v: does not name the cause, %v", what, err, f.errno)
	}
	if text := err.Error(); !strings.Contains(text, "dgraph.") && !strings.Contains(text, "brock/") && !strings.Contains(text, "location ") {
		t.Errorf("%s: %v: does not name the object", what, err)
	}
}

// noLeftovers makes sure that a failed writer has cleaned up, if it could.
func noLeftovers(t *testing.T, what, dir string, couldNot bool) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".brock-") && !couldNot && !strings.Contains(what, "(unlink ") {
			t.Errorf("%s: %s is left", what, strings.TrimPrefix(path, dir))
		}
		return err
	})
}

// A target's state before a restore, and what may be there besides.
var targets = []struct {
	name  string
	old   bool // the first point is there
	other bool // and a file that is none of ours
}{
	{"nothing there", false, false},
	{"a database there", true, false},
	{"a database and another file there", true, true},
}

// Whichever operation of the target's file system fails during a restore, the
// target is as it was, or complete if the restore says so, and the next restore
// succeeds and leaves nothing beside it. If all operations from one on fail, as
// if the command had been killed there, the next restore finds the old database
// or the new one.
func TestEveryFileSystemFailureOfRestore(t *testing.T) {
	t.Parallel()
	tr, ffs := newTrial(t), newFaultFS(t)
	from := location(t, filepath.Join(tr.dir, "backup"))
	for _, target := range targets {
		for _, f := range faults {
			t.Run(target.name+"/"+f.name, func(t *testing.T) {
				failed, total := 0, 0
				for n := 1; ; n += step() {
					name := fmt.Sprintf("restore-%d", n)
					parent := filepath.Join(ffs.backing, name)
					tr.prepare(t, parent, target.old, target.other)
					before := tree(t, parent)
					ffs.failAt(n, f.errno, f.on)
					req := RestoreRequest{From: from, Number: 2, Postings: filepath.Join(ffs.mount, name, "out"), Overwrite: target.old, KeepVersions: true}
					_, err := tr.e.Restore(t.Context(), req)
					done := ffs.heal()
					if done.Count < n {
						if err != nil {
							t.Fatalf("nothing failed, and yet: %v", err)
						}
						os.RemoveAll(parent)
						break
					}
					what := fmt.Sprintf("operation %d (%s)", n, done.Failed)
					total++
					if err != nil {
						failed++
						tr.explains(t, what, err, f.errno)
					}
					tr.intact(t, what, parent, before, err, f.on)
					if f.on || n%3 == 0 {
						tr.again(t, what, from, parent, target.other)
					}
					os.RemoveAll(parent)
				}
				t.Logf("%d operations failed, and %d restores", total, failed)
				if failed == 0 || total < 5 {
					t.Errorf("%d operations failed, and %d restores", total, failed)
				}
			})
		}
	}
}

func (tr *trial) prepare(t *testing.T, parent string, old, other bool) {
	t.Helper()
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	if old {
		copyTree(t, tr.dirs[0], filepath.Join(parent, "out"))
	}
	if other {
		if err := os.WriteFile(filepath.Join(parent, "out", "notes.txt"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// explains makes sure that the text tells what happened to which file.
func (tr *trial) explains(t *testing.T, what string, err error, errno syscall.Errno) {
	t.Helper()
	if !strings.Contains(err.Error(), errno.Error()) { // Badger hides it from errors.Is
		t.Errorf("%s: %v: does not name the cause, %v", what, err, errno)
	}
	if !strings.Contains(err.Error(), "/out") && !strings.Contains(err.Error(), sidePrefix) {
		t.Errorf("%s: %v: does not name the file", what, err)
	}
}

// intact makes sure that what is at the target, once a command has looked at it,
// is the old state or the new one. Only that which could not clean up may have
// left anything beside it.
func (tr *trial) intact(t *testing.T, what, parent string, before map[string]string, err error, dead bool) {
	t.Helper()
	out := filepath.Join(parent, "out")
	if dead {
		if err := collect(out); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	after := tree(t, parent)
	same := equalTrees(before, after)
	switch {
	case err == nil || dead && !same:
		quads, _ := exported(t, tr.e, out, tr.exportCompat())
		want, _ := truth(t, tr.fixture, 1)
		sameLines(t, what, quads, want)
	case !same && !strings.HasPrefix(what[strings.Index(what, "(")+1:], "unlink ") && !strings.HasPrefix(what[strings.Index(what, "(")+1:], "rmdir "):
		t.Errorf("%s: the restore failed (%v) and changed what was there:\n%v\nit was\n%v", what, err, sorted(after), sorted(before))
	}
}

// again restores once more, without a fault.
func (tr *trial) again(t *testing.T, what string, from Location, parent string, other bool) {
	t.Helper()
	out := filepath.Join(parent, "out")
	if _, err := tr.e.Restore(t.Context(), RestoreRequest{From: from, Number: 2, Postings: out, Overwrite: true}); err != nil {
		t.Errorf("%s: the next restore: %v", what, err)
		return
	}
	quads, _ := exported(t, tr.e, out, tr.exportCompat())
	want, _ := truth(t, tr.fixture, 1)
	sameLines(t, what, quads, want)
	if other {
		if data, err := os.ReadFile(filepath.Join(out, "notes.txt")); err != nil || string(data) != "mine" {
			t.Errorf("%s: the file that is none of ours: %q, %v", what, data, err)
		}
	}
	for name := range tree(t, parent) {
		if strings.Contains(name, sidePrefix) {
			t.Errorf("%s: %s is left", what, name)
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// tree is every file below dir with its content's digest.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		all[name] = "directory"
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			all[name] = fmt.Sprintf("%x", sha256.Sum256(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equalTrees(a, b map[string]string) bool {
	for name, sum := range a {
		if b[name] != sum {
			return false
		}
	}
	return len(a) == len(b)
}

// A disk is a file system in memory, of a size that can be changed.
type disk struct {
	t   *testing.T
	dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	if err := unix.Mount("brock-test", d.dir, "tmpfs", 0, "size=64m"); err != nil {
		cannotMount(t, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) limit(option string) {
	d.t.Helper()
	if err := unix.Mount("brock-test", d.dir, "tmpfs", unix.MS_REMOUNT, option); err != nil {
		d.t.Fatalf("%s: %v", option, err)
	}
}

const unlimited = "size=64m,nr_inodes=100000"

// used is what can be the next smaller limit: of bytes, and of files.
func (d *disk) used() (size, inodes int) {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.t.Fatal(err)
	}
	return int(st.Blocks-st.Bfree) * int(st.Bsize), int(st.Files - st.Ffree)
}

// limits calls try with disks that are ever larger, until it succeeds: first in
// bytes, then in files. It returns how often it failed.
func (d *disk) limits(t *testing.T, reset func(), try func(what string) error) {
	t.Helper()
	page := os.Getpagesize()
	for _, unit := range []string{"size", "nr_inodes"} {
		failed := 0
		for n := 0; ; n++ {
			d.limit(unlimited)
			reset()
			size, inodes := d.used()
			option := fmt.Sprintf("size=%d", max(size, page)+n*page)
			if unit == "nr_inodes" {
				option = fmt.Sprintf("nr_inodes=%d", inodes+n)
			}
			d.limit(option)
			if err := try(option); err == nil {
				break
			}
			failed++
			if failed > 2000 {
				t.Fatalf("it never succeeds, not even with %s", option)
			}
		}
		t.Logf("%s: it failed on %d disks before it succeeded", unit, failed)
		if failed < 3 {
			t.Errorf("%s: it failed on %d disks only", unit, failed)
		}
	}
}

// However small the disk is, a backup that does not fit leaves nothing visible,
// says that there is no space, and the next one succeeds when there is.
func TestBackupToFullDisk(t *testing.T) {
	t.Parallel()
	tr, in, d := newTrial(t), directories(t), newDisk(t)
	base := t.TempDir()
	backup(t, tr.e, tr.dirs[0], BackupRequest{To: in(base)})
	dir := filepath.Join(d.dir, "backups")
	d.limits(t, func() {
		os.RemoveAll(dir)
		copyTree(t, base, dir)
	}, func(what string) error {
		err := tr.backup(t, in(dir))
		d.limit(unlimited)
		if err != nil {
			tr.named(t, what, err, fault{errno: syscall.ENOSPC})
			noLeftovers(t, what, dir, false)
		}
		tr.judge(t, what, in(dir), err)
		return err
	})
}

// However small the disk is, a restore that does not fit leaves the target as it
// was and nothing beside it, says that there is no space, and the next one
// succeeds when there is.
func TestRestoreToFullDisk(t *testing.T) {
	t.Parallel()
	tr, d := newTrial(t), newDisk(t)
	sealed := Location{URI: "memory", Destination: sdktest.NewMemory()}
	for _, dir := range tr.dirs {
		backup(t, tr.e, dir, BackupRequest{To: sealed})
	}
	parent := filepath.Join(d.dir, "parent")
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			var before map[string]string
			d.limits(t, func() {
				os.RemoveAll(parent)
				tr.prepare(t, parent, target.old, target.other)
				before = tree(t, parent)
			}, func(what string) error {
				_, err := tr.e.Restore(t.Context(), RestoreRequest{From: sealed, Postings: filepath.Join(parent, "out"), Overwrite: target.old})
				d.limit(unlimited)
				if err != nil {
					tr.explains(t, what, err, syscall.ENOSPC)
				}
				tr.intact(t, what+" (", parent, before, err, false)
				tr.again(t, what, sealed, parent, target.other)
				return err
			})
		})
	}
}

// An object is on the disk before Put says that it is stored: its bytes before
// its name, its name before the answer; and so is what Replace wrote.
func TestStoredObjectsAreDurable(t *testing.T) {
	ffs := newFaultFS(t)
	d := directories(t)(ffs.mount).Destination
	for what, do := range map[string]func() error{
		"link": func() error { return d.Put(t.Context(), "a/b/object", strings.NewReader("content")) },
		"rename": func() error {
			_, err := d.(sdk.Replacer).Replace(t.Context(), "master", strings.NewReader("content"), "")
			return err
		},
	} {
		ffs.heal()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		ops := ffs.heal().Ops
		published := slices.IndexFunc(ops, func(op string) bool {
			return strings.HasPrefix(op, "link ") && strings.HasSuffix(op, "object") || strings.HasSuffix(op, " to master") || strings.HasPrefix(op, "link master")
		})
		if published < 0 {
			t.Errorf("%s: nothing was published: %q", what, ops)
			continue
		}
		if !slices.Contains(ops[:published], "fsync") {
			t.Errorf("%s: published before its bytes were synced: %q", what, ops)
		}
		if !slices.Contains(ops[published:], "fsync of a directory") {
			t.Errorf("%s: the directory was not synced after it: %q", what, ops)
		}
		for i, op := range ops {
			if strings.HasPrefix(op, "mkdir ") && !slices.Contains(ops[i:published], "fsync of a directory") {
				t.Errorf("%s: the directory of %q was not synced before it was used: %q", what, op, ops)
			}
		}
	}
}
