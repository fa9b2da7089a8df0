package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An operator sees the plugin under its own name, whatever is executed.
func TestPinnedProcessHasItsFilesName(t *testing.T) {
	t.Parallel()
	path, digest := program(t, self(t))
	p, err := Start(t.Context(), path, Options{Digest: digest, Env: []string{roleEnv + "=memory"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	read := func(name string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Pid(), name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimRight(string(data), "\n\x00")
	}
	if got := read("cmdline"); got != path {
		t.Errorf("command line %q, want %q", got, path)
	}
	if got := read("comm"); got != filepath.Base(path)[:15] {
		t.Errorf("name %q, want %q", got, filepath.Base(path)[:15])
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid()))
	if err != nil || !strings.HasPrefix(exe, "/memfd:") {
		t.Errorf("it executes %q, %v; want memory", exe, err)
	}
}

func TestSealedMemoryCannotBeChanged(t *testing.T) {
	f, err := seal("x", []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Truncate(self, 1); err == nil {
		t.Error("it can be truncated")
	}
	w, err := os.OpenFile(self, os.O_WRONLY, 0)
	if err != nil {
		return // that is as good
	}
	defer w.Close()
	if _, err := w.Write([]byte("evil")); err == nil {
		t.Error("it can be written")
	}
}
