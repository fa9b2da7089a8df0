//go:build unix

package launch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// runDirs returns the run directories there are.
func runDirs(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "brock-*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// tempDir makes os.TempDir a directory of the test's own, with a short path.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func TestRunDirIsPrivateAndGoesAway(t *testing.T) {
	tmp := tempDir(t)
	p := start(t, "memory", Options{})
	dirs := runDirs(t)
	if len(dirs) != 1 {
		t.Fatalf("run directories: %q, want one", dirs)
	}
	if info, err := os.Stat(dirs[0]); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("run directory: %v, %v; want mode 0700", info.Mode(), err)
	}
	sockets, _ := filepath.Glob(dirs[0] + "/plugin*[0-9]")
	if !strings.HasPrefix(p.client.ReattachConfig().Addr.String(), dirs[0]) || len(sockets) == 0 {
		t.Errorf("socket %v is not in %s", p.client.ReattachConfig().Addr, dirs[0])
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := try(t, "early", Options{}); err == nil {
		t.Error("Start of a plugin that exits: no error")
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSocketPathIsChecked(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	_, err := try(t, "memory", Options{})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), long) || !strings.Contains(sdk.Hint(err), "TMPDIR") {
		t.Errorf("Start: %v, hint %q; want ErrInvalid, the directory and TMPDIR", err, sdk.Hint(err))
	}
	if left, _ := os.ReadDir(long); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a host left that was killed too early for its plugin to notice is
// removed by a later one; what is in use, or holds anything else, is not.
func TestRunDirsOfKilledHostsAreCollected(t *testing.T) {
	tmp := tempDir(t)
	old := time.Now().Add(-2 * young)
	for _, name := range []string{"brock-run-dead", "brock-run-locked", "brock-run-else"} {
		if err := os.MkdirAll(filepath.Join(tmp, name, "plugin-dir1"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, "brock-run-else", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "brock-run-dead", "plugin12345"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, imager := range []imager{newImage, func(path string, data []byte, _ int) (image, error) { return copyImage(path+"-copy", data) }} {
		img, err := imager(filepath.Join(tmp, "brock-run-dead", "brock-destination-x"), []byte("x"), 3)
		if err != nil {
			t.Fatal(err)
		}
		img.file.Close()
	}
	for _, dir := range runDirs(t) {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	defer lockRunDir(filepath.Join(tmp, "brock-run-locked")).Close()
	_ = start(t, "memory", Options{}).Close()
	if left := runDirs(t); len(left) != 2 || filepath.Base(left[0]) != "brock-run-else" || filepath.Base(left[1]) != "brock-run-locked" {
		t.Errorf("%q are left, want brock-run-else and brock-run-locked", left)
	}
}

// A plugin that has ended is not waited for, whatever is asked of it.
func TestGetFromDeadPluginIsNotRetried(t *testing.T) {
	p := start(t, "memory", Options{})
	defer p.Close()
	d, err := p.OpenDestination(t.Context(), map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	signalGroup(p.Pid(), syscall.SIGKILL)
	<-p.runner.exited
	for range 3 { // gRPC notices by and by
		_, err := d.Get(t.Context(), "a", 0)
		if err == nil || errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "signal: killed") {
			t.Errorf("Get: %v, want how the plugin ended", err)
		}
	}
}
