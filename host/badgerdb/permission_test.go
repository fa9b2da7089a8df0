//go:build unix

package badgerdb

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// openAndSay is another process, of a user with no rights of its own.
func openAndSay(dir string) {
	s, err := OpenSource(map[uint32]string{1: dir}, Options{})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(0)
	}
	entries, err := readErr(s, 1, 0)
	fmt.Fprintln(os.Stdout, len(entries), err, s.Close())
	os.Exit(0)
}

// asNobody opens dir as a user who owns nothing.
func asNobody(t *testing.T, dir string) string {
	t.Helper()
	// The test's binary lies where others may not go.
	exe := filepath.Join(open755(t), "test")
	src, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(exe, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = []string{"BROCK_TEST_OPEN=" + dir, "TMPDIR=/tmp"}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// open755 is a new directory that everybody may read.
func open755(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whoever may only read a database can back it up; who may not is told what is in the way.
func TestRights(t *testing.T) {
	dir := filepath.Join(open755(t), "p")
	if err := os.CopyFS(dir, os.DirFS(write(t, mixed(), badgerKind))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chmod(f, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d <nil> <nil>\n", len(mixed()))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if got := asNobody(t, dir); got != want {
		t.Errorf("read-only: %q, want %q", got, want)
	}
	for _, path := range []string{filepath.Join(dir, "000001.sst"), filepath.Join(dir, "MANIFEST"), dir} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if got := asNobody(t, dir); !strings.Contains(got, path) || !strings.Contains(got, "permission denied") {
			t.Errorf("without rights to %s: %s", path, got)
		}
		if err := os.Chmod(path, fi.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}
