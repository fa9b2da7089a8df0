//go:build unix

package plugindir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// copies makes a plugin directory in which every plugin is a file of its own.
func copies(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		copyFile(t, os.Args[0], filepath.Join(dir, name))
	}
	return dir
}

func with(t *testing.T, o Options, dirs ...string) *Dirs {
	t.Helper()
	d := New(dirs, o)
	t.Cleanup(func() { d.Close() })
	return d
}

func lockDir(t *testing.T, dir string) []Change {
	t.Helper()
	changes, err := MakeLock(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// trusts describes plugins by what is trusted of them.
func trusts(plugins []Plugin) string {
	var lines []string
	for _, p := range plugins {
		lines = append(lines, strings.TrimPrefix(filepath.Base(p.Path), "brock-")+" "+string(p.Trust)+" "+string(p.State))
	}
	return strings.Join(lines, ", ")
}

func TestALockIsEnforcedWhereThereIsOne(t *testing.T) {
	t.Parallel()
	dir := copies(t, "brock-destination-changed", "brock-destination-red", "brock-keyprovider-safe")
	lockDir(t, dir)
	appendTo(t, filepath.Join(dir, "brock-destination-changed"), "x")
	copyFile(t, os.Args[0], filepath.Join(dir, "brock-destination-unlisted"))
	other := copies(t, "brock-destination-blue")
	for trust, unlocked := range map[Trust]string{"": "destination-blue open ready", Locked: "destination-blue refused set aside"} {
		d := with(t, Options{Trust: trust}, dir, other)
		got, err := d.Plugins(t.Context())
		want := "destination-changed refused set aside, destination-red locked ready, " +
			"destination-unlisted refused set aside, keyprovider-safe locked ready, " + unlocked
		if err != nil || trusts(got) != want {
			t.Fatalf("with trust %q: %s, %v; want %s", trust, trusts(got), err, want)
		}
		var changed *launch.ChangedError
		if !errors.As(got[0].Err, &changed) || Digest(changed.Pinned) == Digest(changed.Found) {
			t.Errorf("the changed one was set aside because of %v, want both digests", got[0].Err)
		}
		for _, i := range []int{2, 4} {
			if err := got[i].Err; err != nil && !strings.Contains(sdk.Hint(err), "brock plugin lock --plugin-dir "+filepath.Dir(got[i].Path)) {
				t.Errorf("%v has the hint %q, want how to lock", err, sdk.Hint(err))
			}
		}
		if _, err := d.OpenDestination(t.Context(), "red://host/x", nil); err != nil {
			t.Errorf("with trust %q: %v", trust, err)
		}
		if _, err := d.OpenDestination(t.Context(), "unlisted://host/x", nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("with trust %q, of an unlisted plugin: %v", trust, err)
		}
	}
}

// A lock in which something is wrong is no reason to do without.
func TestABadLockIsNoLock(t *testing.T) {
	t.Parallel()
	pin := `{"file":"brock-destination-red","name":"","kind":"","version":"","os":"","arch":"","sha256":"` + strings.Repeat("ab", 32) + `","size":1}`
	lock := func(pins string) string { return `{"version":1,"plugins":[` + pins + `]}` }
	write := func(data string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(data), 0o644) }
	}
	for what, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"empty":         {write(""), "damaged"},
		"half":          {write(lock(pin)[:60]), "damaged"},
		"more":          {write(lock(pin) + "{}"), "more behind its end"},
		"twice":         {write(lock(pin + "," + pin)), "twice"},
		"path":          {write(lock(strings.Replace(pin, "brock-", "../brock-", 1))), "not a file name"},
		"digest":        {write(lock(strings.Replace(pin, "abab", "zzzz", 1))), "not a SHA-256"},
		"short digest":  {write(lock(strings.Replace(pin, "abab", "", 1))), "60"},
		"no digest":     {write(lock(strings.Replace(pin, strings.Repeat("ab", 32), strings.Repeat("0", 64), 1))), "no digest"},
		"unknown field": {write(strings.Replace(lock(pin), "version", "version\":1,\"x", 1)), "damaged"},
		"newer":         {write(`{"version":2,"pins":[]}`), "version 2"},
		"no version":    {write(`{"plugins":[]}`), "version 0"},
		"others' mode": {func(p string) error {
			return errors.Join(os.WriteFile(p, []byte(lock(pin)), 0o644), os.Chmod(p, 0o666))
		}, "writable by group or others"},
		"pipe":           {func(p string) error { return syscall.Mkfifo(p, 0o644) }, "not a regular file"},
		"dangling":       {func(p string) error { return os.Symlink("nothing", p) }, "not a regular file"},
		"much too large": {func(p string) error { return errors.Join(write("{")(p), os.Truncate(p, lockLimit+1)) }, "bytes"},
	} {
		dir := plugins(t, "brock-destination-red")
		path := filepath.Join(dir, LockFile)
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		d := with(t, Options{}, dir)
		got, err := d.Plugins(t.Context())
		if err != nil || len(got) != 1 || got[0].Trust != Refused || !errors.Is(got[0].Err, ErrLock) {
			t.Errorf("%s: %+v, %v; want one that was refused because of its lock", what, got, err)
			continue
		}
		if text := got[0].Err.Error(); !strings.Contains(text, path) || !strings.Contains(text, c.want) {
			t.Errorf("%s: %v; want one that names %s and tells of %q", what, text, path, c.want)
		}
		if v := d.Verify(); len(v) != 1 || v[0].Status != BadLock {
			t.Errorf("%s: Verify = %+v", what, v)
		}
		if _, err := MakeLock(t.Context(), dir, Options{}); !errors.Is(err, ErrLock) {
			t.Errorf("%s: MakeLock: %v; want an ErrLock", what, err)
		}
	}
}

func TestMakeLockTellsWhatHasChanged(t *testing.T) {
	t.Parallel()
	dir := copies(t, "brock-destination-red", "brock-destination-blue", "brock-destination-gone")
	show := func(changes []Change) string {
		var lines []string
		for _, c := range changes {
			lines = append(lines, fmt.Sprintf("%s %s %t", c.Change, c.File, c.Was == c.Now))
		}
		return strings.Join(lines, "\n")
	}
	want := "added brock-destination-blue false\nadded brock-destination-gone false\nadded brock-destination-red false"
	if got := show(lockDir(t, dir)); got != want {
		t.Errorf("at first:\n%s\nwant\n%s", got, want)
	}
	read := func() string {
		data, err := os.ReadFile(filepath.Join(dir, LockFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := read()
	lockDir(t, dir)
	if second := read(); second != first {
		t.Errorf("two locks of the same plugins differ:\n%s\n%s", first, second)
	}
	appendTo(t, filepath.Join(dir, "brock-destination-red"), "x")
	if err := os.Remove(filepath.Join(dir, "brock-destination-gone")); err != nil {
		t.Fatal(err)
	}
	want = "same brock-destination-blue true\nremoved brock-destination-gone false\nchanged brock-destination-red false"
	if got := show(lockDir(t, dir)); got != want {
		t.Errorf("then:\n%s\nwant\n%s", got, want)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMakeLockRefusesWhatWasSetAside(t *testing.T) {
	t.Parallel()
	dir := plugins(t, "brock-destination-red", "brock-destination-broken")
	if err := os.Mkdir(filepath.Join(dir, "brock-destination-dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := MakeLock(t.Context(), dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "brock-destination-broken: ") || !strings.Contains(err.Error(), "brock-destination-dir: not a regular file") {
		t.Errorf("MakeLock: %v; want one that names both plugins that cannot be used", err)
	}
	if _, err := os.Stat(filepath.Join(dir, LockFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a lock: %v", err)
	}
	if _, err := MakeLock(t.Context(), t.TempDir(), Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("MakeLock of an empty directory: %v", err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	dir := copies(t, "brock-destination-changed", "brock-destination-fine", "brock-destination-gone", "brock-destination-mode")
	lockDir(t, dir)
	appendTo(t, filepath.Join(dir, "brock-destination-changed"), "x")
	err := errors.Join(os.Remove(filepath.Join(dir, "brock-destination-gone")), os.Chmod(filepath.Join(dir, "brock-destination-mode"), 0o777),
		os.WriteFile(filepath.Join(dir, "brock-destination-new"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	other := plugins(t, "brock-destination-open")
	d := with(t, Options{}, dir, other, "/nonexistent")
	var got []string
	for _, v := range d.Verify() {
		got = append(got, strings.TrimPrefix(filepath.Base(v.Path), "brock-destination-")+" "+string(v.Status))
	}
	want := "changed changed, fine ok, mode refused, new not listed, gone missing, open not locked"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if len(d.started) > 0 {
		t.Error("a plugin was started")
	}
}

// No bad file keeps the host from the good ones.
func TestBadFilesAreSetAside(t *testing.T) {
	t.Parallel()
	dir := plugins(t, "brock-destination-red")
	at := func(name string) string { return filepath.Join(dir, "brock-destination-"+name) }
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(syscall.Mkfifo(at("pipe"), 0o755), os.Symlink("nowhere", at("dangling")), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	d := with(t, Options{}, file, dir)
	got, err := d.Plugins(t.Context())
	if want := "file refused set aside, destination-dangling refused set aside, destination-pipe refused set aside, destination-red open ready"; err != nil || trusts(got) != want {
		t.Errorf("%s, %v; want %s", trusts(got), err, want)
	}
	if _, err := d.OpenDestination(t.Context(), "red://host/x", nil); err != nil {
		t.Error(err)
	}
}

// Whoever may write above a plugin directory may put another in its place.
func TestDirectoriesAboveCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode         fs.FileMode
		open, locked bool
	}{
		{0o755, true, true},
		{0o777 | fs.ModeSticky, true, true},
		{0o775, true, false},
		{0o777, false, false},
	} {
		above := t.TempDir()
		dir := filepath.Join(above, "a", "plugins")
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(above, c.mode)); err != nil {
			t.Fatal(err)
		}
		for strict, want := range map[bool]bool{false: c.open, true: c.locked} {
			err := trustedDir(dir, strict)
			if (err == nil) != want || err != nil && !strings.Contains(err.Error(), above) {
				t.Errorf("mode %v, strict %t: %v; want trusted: %t", c.mode, strict, err, want)
			}
		}
		_ = os.Chmod(above, 0o755)
	}
}
