package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	// What a crash left behind, longer than what comes.
	if err := os.WriteFile(path+".new", []byte("half of something long"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"first", "2", ""} {
		if err := ReplaceFile(path, []byte(data)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != data {
			t.Fatalf("read %q, %v, and wrote %q", got, err, data)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file: %v", err)
	}
}

func TestReplaceFileKeepsWhatItCannotReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(path, []byte("after")); err == nil {
		t.Fatal("no error")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := ReplaceFile(filepath.Join(path, "below a file"), nil); err == nil {
		t.Error("no error below a file")
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
