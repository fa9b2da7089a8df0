//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/conformance"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// mount makes a file system of its own, which ends with the test.
func mount(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = publicDir(t)
	run(t, "mount", "-t", "tmpfs", "-o", options, "tmpfs", dir)
	t.Cleanup(func() { run(t, "umount", "-l", dir) })
	return dir
}

// mayMount reports whether mount works here. Where tests must not be skipped, it
// has to.
func mayMount() bool {
	if os.Getuid() == 0 && os.Getenv("CI") == "true" {
		return true
	}
	return os.Getuid() == 0 && exec.Command("unshare", "--mount", "true").Run() == nil
}

// run needs root. Where tests must not be skipped, it fails instead.
func run(t *testing.T, command ...string) {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getuid() != 0 || os.Getenv("CI") != "true" {
		t.Skipf("needs root and %q: %v: %s", command[0], err, out)
	}
	t.Fatalf("%q: %v: %s", command, err, out)
}

// plugged opens the plugin, in a process of its own, at a location.
func plugged(t *testing.T, path string, env ...string) sdk.Destination {
	t.Helper()
	d, err := sdktest.Start(t, env...).OpenDestination(t.Context(), map[string]any{"uri": path})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func hiddenFiles(t *testing.T, base string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(base, func(path string, _ fs.DirEntry, err error) error {
		if isHidden(filepath.Base(path)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

func TestDiskFull(t *testing.T) {
	for name, options := range map[string]string{"bytes": "size=2m", "files": "size=64m,nr_inodes=8"} {
		t.Run(name, func(t *testing.T) {
			dir := mount(t, options)
			d := plugged(t, dir)
			var err error
			n := 0
			for ; err == nil && n < 20; n++ {
				err = d.Put(t.Context(), fmt.Sprintf("%02d/object", n), io.LimitReader(endless{}, 700<<10))
			}
			if !errors.Is(err, sdk.ErrNoSpace) || errors.Is(err, sdk.ErrUnavailable) {
				t.Fatalf("Put on a full disk: %v, want ErrNoSpace", err)
			}
			if got := names(t, d, ""); len(got) != n-1 {
				t.Errorf("after %d Puts and one that failed, List = %q", n-1, got)
			}
			if left := hiddenFiles(t, dir); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
			if err := d.Delete(t.Context(), "00/object"); err != nil {
				t.Errorf("Delete on a full disk: %v", err)
			}
			putString(t, d, "small", "x")
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadOnlyFileSystem(t *testing.T) {
	dir := mount(t, "size=2m")
	putString(t, openAt(t, dir), "a/object", "content")
	run(t, "mount", "-o", "remount,ro", dir)
	d := plugged(t, dir)
	if got := getString(t, d, "a/object"); got != "content" {
		t.Errorf("Get = %q", got)
	}
	if got := names(t, d, ""); !slices.Equal(got, []string{"a/object"}) {
		t.Errorf("List = %q", got)
	}
	replacer, ok := d.(sdk.Replacer)
	if !ok {
		t.Fatal("no Replacer")
	}
	version, err := replacer.Version(t.Context(), "a/object")
	if err != nil {
		t.Error(err)
	}
	_, replaceErr := replacer.Replace(t.Context(), "a/object", strings.NewReader("x"), version)
	prober, ok := d.(sdk.Prober)
	if !ok {
		t.Fatal("no Prober")
	}
	for what, err := range map[string]error{
		"Put":                    d.Put(t.Context(), "a/new", strings.NewReader("x")),
		"Put in a new directory": d.Put(t.Context(), "b/new", strings.NewReader("x")),
		"Delete":                 d.Delete(t.Context(), "a/object"),
		"Replace":                replaceErr,
		"Probe":                  prober.Probe(t.Context()),
	} {
		if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(err.Error(), "read-only") || !strings.Contains(sdk.Hint(err), "mounted read-only") {
			t.Errorf("%s: %v, hint %q; want ErrPermission and why", what, err, sdk.Hint(err))
		}
	}
	for _, name := range []string{"absent", "x/absent"} {
		if err := d.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
}

// An ordinary user may read here, but neither write nor read everything.
func TestForbidden(t *testing.T) {
	dir := publicDir(t)
	owner, err := open(t.Context(), Config{URI: dir + "/in", DirMode: "0755", FileMode: "0644"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"open/object", "open/secret", "shut/object", "z"} {
		putString(t, owner, name, name)
	}
	chmod(t, dir+"/in/open/secret", 0)
	d := plugged(t, dir+"/in", nobody)
	if got := getString(t, d, "open/object"); got != "open/object" {
		t.Errorf("Get = %q", got)
	}
	if got := names(t, d, ""); len(got) != 4 {
		t.Errorf("List = %q, want four names", got)
	}
	_, getErr := d.Get(t.Context(), "open/secret", 0)
	for what, err := range map[string]error{
		"Get":    getErr,
		"Put":    d.Put(t.Context(), "open/new", strings.NewReader("x")),
		"Delete": d.Delete(t.Context(), "open/object"),
	} {
		if !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrNotExist) {
			t.Errorf("%s: %v, want ErrPermission", what, err)
		}
	}
	chmod(t, dir+"/in/shut", 0)
	var last error
	for _, last = range d.List(t.Context(), "") {
		if last != nil {
			break
		}
	}
	if !errors.Is(last, sdk.ErrPermission) {
		t.Errorf("List of what it may not read all of: %v, want ErrPermission", last)
	}
}

// Not every file system can do everything. The rest of the kit's promises holds
// without hard links, without a rename that replaces nothing, without locks.
func TestPoorFileSystems(t *testing.T) {
	fails := func(errno syscall.Errno) func(*os.Root, string, string) error {
		return func(_ *os.Root, from, to string) error {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: errno}
		}
	}
	for name, c := range map[string]struct {
		link, rename func(*os.Root, string, string) error
		lock         func(*os.File) (bool, error)
	}{
		"links not permitted":            {link: fails(syscall.EPERM)},
		"no links and no safe rename":    {link: fails(syscall.EPERM), rename: fails(syscall.EINVAL)},
		"no links, renames nor locks":    {link: fails(syscall.ENOSYS), rename: fails(syscall.ENOSYS), lock: func(*os.File) (bool, error) { return false, syscall.ENOLCK }},
		"links whose answers are lost":   {link: func(dir *os.Root, from, to string) error { return lost(dir.Link(from, to)) }},
		"renames that replace":           {link: fails(syscall.EPERM), rename: (*os.Root).Rename},
		"renames whose answers are lost": {link: fails(syscall.EPERM), rename: func(dir *os.Root, from, to string) error { return lost(renameNoReplace(dir, from, to)) }},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			d := openAt(t, base)
			if c.link != nil {
				d.link = c.link
			}
			if c.rename != nil {
				d.rename = c.rename
			}
			if c.lock != nil {
				defer func(old func(*os.File) (bool, error)) { tryLock = old }(tryLock)
				tryLock = c.lock
			}
			for r := range conformance.CheckDestination(t.Context(), d, publishing...) {
				for _, f := range r.Failures {
					t.Errorf("%s: %s", r.Check, f)
				}
			}
			if left := hiddenFiles(t, base); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// publishing names the checks that are about giving names to objects.
var publishing = []string{
	"put and get every size", "put never overwrites", "one of 64 puts wins", "invisible until complete",
	"failing source leaves nothing", "cancelled put leaves nothing", "names of every kind", "delete twice, and nothing else",
	"many at once", "replace the version given only", "one of 64 replaces wins", "failing replace leaves the old one",
	"replace is seen whole", "probe leaves nothing",
}

// lost is what a client says that sent a request twice because the first answer
// did not arrive.
func lost(err error) error {
	if err == nil {
		return syscall.EEXIST
	}
	return err
}

func TestKinds(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ESTALE: sdk.ErrUnavailable, syscall.EIO: sdk.ErrUnavailable, syscall.ETIMEDOUT: sdk.ErrUnavailable,
		syscall.ENOTCONN: sdk.ErrUnavailable, syscall.EHOSTDOWN: sdk.ErrUnavailable,
		syscall.ENOSPC: sdk.ErrNoSpace, syscall.EDQUOT: sdk.ErrNoSpace, syscall.EFBIG: sdk.ErrNoSpace,
		syscall.EACCES: sdk.ErrPermission, syscall.EPERM: sdk.ErrPermission, syscall.EROFS: sdk.ErrPermission,
		syscall.ENAMETOOLONG: sdk.ErrInvalid, syscall.ENOENT: sdk.ErrNotExist, syscall.EEXIST: sdk.ErrExist,
	} {
		err := kind("a/b", &fs.PathError{Op: "openat", Path: ".brock-tmp-x", Err: errno})
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v has become %v, want the kind %q", errno, err, want)
		}
		if text := err.Error(); text != "a/b: "+errno.Error() {
			t.Errorf("%v is told as %q", errno, text)
		}
		for _, other := range []error{sdk.ErrUnavailable, sdk.ErrNoSpace, sdk.ErrPermission, sdk.ErrInvalid, sdk.ErrNotExist, sdk.ErrExist} {
			if !errors.Is(other, want) && errors.Is(err, other) {
				t.Errorf("%v is also of the kind %q", err, other)
			}
		}
	}
}
