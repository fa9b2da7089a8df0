//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

func TestLocation(t *testing.T) {
	for uri, want := range map[string]string{
		"/mnt/backups":              "/mnt/backups",
		"/mnt/backups/":             "/mnt/backups",
		"/mnt/50%25 of/a#b?c":       "/mnt/50%25 of/a#b?c", // a path is a path
		"/mnt/../etc":               "/etc",
		"/":                         "/",
		"file:///mnt/x":             "/mnt/x",
		"file://localhost/mnt/x":    "/mnt/x",
		"file:///mnt/50%25/a%23b":   "/mnt/50%/a#b",
		"nfs:///mnt/x/y":            "/mnt/x/y",
		"nfs:///mnt/with%20a space": "/mnt/with a space",
	} {
		if got, err := location(uri); got != want || err != nil {
			t.Errorf("location(%q) = %q, %v; want %q", uri, got, err, want)
		}
	}
	for uri, want := range map[string]string{
		"":                       "not an absolute path",
		"backups":                "not an absolute path",
		"./backups":              "not an absolute path",
		"file:/mnt/x":            "not an absolute path",
		"s3://bucket/x":          `scheme "s3"`,
		"nfs://server/export":    `names the host "server"`,
		"nfs://localhost/x":      `names the host "localhost"`,
		"file://mnt/x":           `names the host "mnt"`,
		"file://":                "no path",
		"nfs:///mnt/x?dir=y":     "%3F",
		"file:///mnt/x#y":        "%23",
		"file:///mnt/%zz":        "invalid URL escape",
		"/mnt/nul\x00":           "location",
		"file:///mnt/nul%00byte": "location",
	} {
		got, err := location(uri)
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("location(%q) = %q, %v; want ErrInvalid and %q", uri, got, err, want)
		}
	}
	_, err := location("nfs://server/export/a")
	if hint := sdk.Hint(err); !strings.Contains(hint, "mount server:/export/a") || !strings.Contains(hint, "nfs:///server/export/a") {
		t.Errorf("hint for a URI with a host: %q", hint)
	}
}

func TestModes(t *testing.T) {
	for s, want := range map[string]fs.FileMode{"": 0o600, "0600": 0o600, "640": 0o640, "0777": 0o777} {
		if got, err := mode("file_mode", s, 0o600); got != want || err != nil {
			t.Errorf("mode(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"0", "0400", "rw-------", "0x180", "01600", "1777", "-600", "0680", "99999999999"} {
		if got, err := mode("file_mode", s, 0o600); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "file_mode") {
			t.Errorf("mode(%q) = %v, %v; want ErrInvalid that names the setting", s, got, err)
		}
	}
}

// A misspelt location is missing, and looking at it does not make it.
func TestMissingLocation(t *testing.T) {
	base := t.TempDir()
	d := openAt(t, filepath.Join(base, "a/b"))
	for o, err := range d.List(t.Context(), "") {
		if !errors.Is(err, sdk.ErrNotExist) {
			t.Errorf("List: %v, %v; want ErrNotExist", o, err)
		}
	}
	if _, err := d.Get(t.Context(), "x", 0); !errors.Is(err, sdk.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(base, "a/b")) {
		t.Errorf("Get: %v, want ErrNotExist that names the location", err)
	}
	if v, err := d.Version(t.Context(), "x"); v != "" || err != nil {
		t.Errorf("Version = %q, %v; want none", v, err)
	}
	if err := d.Delete(t.Context(), "x"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if err := d.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
	if entries, err := os.ReadDir(base); len(entries) > 0 || err != nil {
		t.Errorf("there is %v now, %v; want nothing", entries, err)
	}
	putString(t, d, "c/x", "content")
	if got := getString(t, d, "c/x"); got != "content" {
		t.Errorf("Get = %q", got)
	}
}

func TestPermissionsOfWhatItMakes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	for _, c := range []struct {
		dir, file         string
		wantDir, wantFile fs.FileMode
	}{
		{"", "", 0o700, 0o600},
		{"0775", "0664", 0o775, 0o664},
		{"0700", "0640", 0o700, 0o640},
	} {
		base := t.TempDir()
		d, err := open(t.Context(), Config{URI: base + "/new/deep", DirMode: c.dir, FileMode: c.file})
		if err != nil {
			t.Fatal(err)
		}
		putString(t, d, "a/b/object", "x")
		if _, err := d.Replace(t.Context(), "a/b/replaced", strings.NewReader("x"), ""); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]fs.FileMode{
			"new": c.wantDir, "new/deep": c.wantDir, "new/deep/a": c.wantDir, "new/deep/a/b": c.wantDir,
			"new/deep/a/b/object": c.wantFile, "new/deep/a/b/replaced": c.wantFile,
		} {
			fi, err := os.Stat(filepath.Join(base, path))
			if err != nil || fi.Mode().Perm() != want {
				t.Errorf("modes %q and %q: %s has %v, %v; want %v", c.dir, c.file, path, fi.Mode().Perm(), err, want)
			}
		}
	}
}

func TestLocationIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + "/below"} {
		if _, err := open(t.Context(), Config{URI: p}); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("open(%q): %v, want ErrInvalid", p, err)
		}
	}
}

// An object and a directory cannot have one name here. That is said, and
// nothing is damaged.
func TestNameThatIsADirectory(t *testing.T) {
	d := openAt(t, t.TempDir())
	putString(t, d, "a/b", "x")
	for _, name := range []string{"a", "a/b/c", "a/b/c/d"} {
		if err := d.Put(t.Context(), name, strings.NewReader("y")); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Put(%q): %v, want ErrInvalid", name, err)
		}
		if err := d.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	if _, err := d.Get(t.Context(), "a", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get of a directory: %v, want ErrNotExist", err)
	}
	if got := names(t, d, ""); len(got) != 1 || getString(t, d, "a/b") != "x" {
		t.Errorf("List = %q, want a/b alone", got)
	}
}

func TestHiddenNamesAreRefused(t *testing.T) {
	d := openAt(t, t.TempDir())
	for _, name := range []string{".brock-tmp-1", "a/.brock-lock-x", ".brock-x/a"} {
		if err := d.Put(t.Context(), name, strings.NewReader("y")); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Put(%q): %v, want ErrInvalid", name, err)
		}
	}
}

func TestDeleteLeavesNoEmptyDirectories(t *testing.T) {
	base := t.TempDir()
	d := openAt(t, base)
	putString(t, d, "a/b/c/1", "x")
	putString(t, d, "a/2", "x")
	for _, name := range []string{"a/b/c/1", "a/2"} {
		if err := d.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	if entries, err := os.ReadDir(base); len(entries) > 0 || err != nil {
		t.Errorf("there is %v left, %v; want an empty location", entries, err)
	}
}
