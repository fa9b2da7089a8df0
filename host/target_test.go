package host

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// write makes files, with their paths as content.
func write(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(dir), got, want)
	}
}

// begun is a target whose side directory holds what is to be in place.
func begun(t *testing.T, dir string, plain bool, files ...string) *target {
	t.Helper()
	tg, err := newTarget(dir, true)
	if err == nil {
		err = tg.begin()
	}
	if err != nil {
		t.Fatal(err)
	}
	if plain {
		tg.plain(1)
	}
	for _, name := range files {
		write(t, filepath.Join(tg.root, name))
	}
	return tg
}

// What was restored takes the place of what was there, whole; what is none of
// a database's stays.
func TestTarget(t *testing.T) {
	for name, c := range map[string]struct {
		plain           bool
		old, new, after []string
	}{
		"nothing":         {false, nil, []string{"p1/a"}, []string{"p1"}},
		"groups":          {false, []string{"p1/a", "p2/b"}, []string{"p1/c"}, []string{"p1"}},
		"and a file":      {false, []string{"p1/a", "p2/b", "notes"}, []string{"p1/c"}, []string{"notes", "p1"}},
		"database":        {true, []string{"MANIFEST", "000001.sst"}, []string{"MANIFEST", "000002.sst"}, []string{"000002.sst", "MANIFEST"}},
		"file beside one": {true, []string{"MANIFEST", "000001.sst", "x"}, []string{"MANIFEST", "000002.sst"}, []string{"000002.sst", "MANIFEST", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			for _, name := range c.old {
				write(t, filepath.Join(dir, name))
			}
			tg := begun(t, dir, c.plain, c.new...)
			if err := tg.finish(); err != nil {
				t.Fatal(err)
			}
			tg.abandon()
			holds(t, dir, c.after...)
			holds(t, parent, "out")
		})
	}
}

// A restore that is under way keeps its side directory; a dead one's is
// removed, and what it had moved out of the target goes back.
func TestSideDirectoryOfDeadRestore(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	write(t, filepath.Join(dir, "p1", "old"))
	living := begun(t, dir, false, "p1/living")
	dead := begun(t, dir, false, "p1/dead")
	if err := dead.moveIn(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dead.side, oldDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "p1"), filepath.Join(dead.side, oldDir, "p1")); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close()
	if _, err := newTarget(dir, false); err == nil {
		t.Error("a target whose database was moved aside by a dead restore is taken for empty")
	}
	holds(t, dir, "p1")
	holds(t, filepath.Join(dir, "p1"), "old")
	holds(t, parent, filepath.Base(living.side), "out")
	if err := living.finish(); err != nil {
		t.Fatal(err)
	}
	living.abandon()
	holds(t, filepath.Join(dir, "p1"), "living")
	holds(t, parent, "out")
}

// A target that is a symbolic link stays one.
func TestTargetBehindLink(t *testing.T) {
	parent := t.TempDir()
	write(t, filepath.Join(parent, "there", "p1", "old"))
	if err := os.Symlink("there", filepath.Join(parent, "out")); err != nil {
		t.Fatal(err)
	}
	tg := begun(t, filepath.Join(parent, "out"), false, "p1/new")
	if err := tg.finish(); err != nil {
		t.Fatal(err)
	}
	tg.abandon()
	holds(t, parent, "out", "there")
	holds(t, filepath.Join(parent, "there", "p1"), "new")
}
