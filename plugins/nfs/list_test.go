//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

func openAt(t *testing.T, path string) *destination {
	t.Helper()
	d, err := open(t.Context(), Config{URI: path})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func putString(t *testing.T, d sdk.Destination, name, content string) {
	t.Helper()
	if err := d.Put(t.Context(), name, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func getString(t *testing.T, d sdk.Destination, name string) string {
	t.Helper()
	r, err := d.Get(t.Context(), name, 0)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func names(t *testing.T, d sdk.Destination, prefix string) (names []string) {
	t.Helper()
	for o, err := range d.List(t.Context(), prefix) {
		if err != nil {
			t.Errorf("List(%q): %v", prefix, err)
			return names
		}
		names = append(names, o.Name)
	}
	return names
}

// Old locations hold what others have put there. It is listed if it is a file,
// and no leftover of the file system's.
func TestListOfAnOldLocation(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{
		"manifest.json", "dgraph.20210101.120000.000/r10-g1.backup", "dgraph.20210101.120000.000/manifest.json",
		"README", ".hidden", "lost+found/inode", "empty.file", "sub/lost+found", ".nfs", ".nfs000000000123abcd",
		"sub/.nfs0000000000000001", ".nfsdata", ".brock-tmp-x", "sub/.brock-tmp-x", ".brock-lock-x",
		"not utf8 \xff",
	} {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(base, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("manifest.json", filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(base, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, base)
	want := []string{
		".hidden", ".nfs", ".nfsdata", "README", "dgraph.20210101.120000.000/manifest.json",
		"dgraph.20210101.120000.000/r10-g1.backup", "empty.file", "manifest.json", "sub/lost+found",
	}
	if got := names(t, d, ""); !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	if _, err := d.Get(t.Context(), "pipe", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get of a pipe: %v, want ErrNotExist", err)
	}
}

// What lies outside of the location stays out of reach, by any link.
func TestSymbolicLinksLeadNowhere(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": outside, "relative": "../" + filepath.Base(outside)} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(filepath.Dir(outside), "in-"+name)
			if err := os.Mkdir(base, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(base, "dir")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target+"/secret", filepath.Join(base, "file")); err != nil {
				t.Fatal(err)
			}
			d := openAt(t, base)
			for _, name := range []string{"dir/secret", "file"} {
				if _, err := d.Get(t.Context(), name, 0); !errors.Is(err, sdk.ErrPermission) {
					t.Errorf("Get(%q): %v, want ErrPermission", name, err)
				}
			}
			if err := d.Put(t.Context(), "dir/new", strings.NewReader("x")); !errors.Is(err, sdk.ErrPermission) {
				t.Errorf("Put: %v, want ErrPermission", err)
			}
			if err := d.Delete(t.Context(), "dir/secret"); !errors.Is(err, sdk.ErrPermission) {
				t.Errorf("Delete: %v, want ErrPermission", err)
			}
			if got := append(names(t, d, ""), names(t, d, "file")...); len(got) > 0 {
				t.Errorf("List = %q, want nothing", got)
			}
			if entries, err := os.ReadDir(outside); len(entries) != 1 || err != nil {
				t.Errorf("outside there is %v, %v; want what was there", entries, err)
			}
		})
	}
}

// Files and whole directories come and go while they are listed, by others who
// do nothing else. Nobody notices: neither List nor the writers fail.
func TestConcurrentChange(t *testing.T) {
	d := openAt(t, t.TempDir())
	putString(t, d, "always", "x")
	var wg sync.WaitGroup
	for _, name := range []string{"a/1", "a/2", "a/b/1", "a/b/2", "c/1"} {
		wg.Go(func() {
			for range 100 {
				if err := d.Put(t.Context(), name, strings.NewReader("x")); err != nil {
					t.Errorf("Put(%q): %v", name, err)
				}
				if err := d.Delete(t.Context(), name); err != nil {
					t.Errorf("Delete(%q): %v", name, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	for lists := 0; ; lists++ {
		if got := names(t, d, ""); !slices.Contains(got, "always") || !slices.IsSorted(got) {
			t.Errorf("List = %q", got)
		}
		select {
		case <-done:
			t.Logf("%d Lists during 500 Puts and Deletes", lists)
			return
		default:
		}
	}
}
