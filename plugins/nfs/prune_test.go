package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// Directories are there for the sake of objects: neither a Put that fails nor
// the Delete of what was never stored leaves an empty one.
func TestNoEmptyDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	d, err := open(t.Context(), Config{URI: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "a/b", strings.NewReader("kept")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := d.Put(t.Context(), "a/c/d", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Put: %v, want %v", err, broken)
	}
	if err := os.MkdirAll(filepath.Join(dir, "e", "f"), 0o700); err != nil { // by a Put that was killed
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), "e/f/g"); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{"a/c", "e"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); err != nil {
		t.Error(err)
	}
}
