//go:build unix

package launch

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// debugged starts a plugin as its author does, and returns its file, what it
// printed, and its process.
func debugged(t *testing.T, role string) (file, line string, cmd *exec.Cmd) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "attach.json")
	line, cmd = debugFile(t, role, file)
	return file, line, cmd
}

func debugFile(t *testing.T, role, file string) (line string, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "debug", file)
	tmp, err := os.MkdirTemp("", "dbg") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) }) // of processes that were killed
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return line, cmd
}

func TestAttachedPluginWorksAndIsLeftAlone(t *testing.T) {
	file, line, cmd := debugged(t, "memory")
	if want := "--plugin-reattach memory=" + file + "\n"; line != want {
		t.Errorf("it prints %q, want %q", line, want)
	}
	for path, want := range map[string]fs.FileMode{file: 0o600, filepath.Dir(socketOf(t, file)): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	var open []*Process
	for range 2 { // two hosts at once: their instances must not meet
		p, err := Start(t.Context(), "brock-destination-memory", Options{Reattach: file})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, p)
		if p.Pid() != cmd.Process.Pid {
			t.Errorf("Pid = %d, want %d", p.Pid(), cmd.Process.Pid)
		}
		d := openDestination(t, p, map[string]any{"uri": "x", "token": "canary"})
		if err := d.Put(t.Context(), "a", strings.NewReader("b")); err != nil {
			t.Error(err)
		}
		r, err := d.Get(t.Context(), "a", 0)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r); err != nil || string(data) != "b" {
			t.Errorf("Get = %q, %v", data, err)
		}
		r.Close()
	}
	for _, p := range open {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the plugin is gone: %v", err)
	}

	socket := socketOf(t, file) // while there is a file
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v", err)
	}
	for _, path := range []string{file, filepath.Dir(socket)} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

func socketOf(t *testing.T, file string) string {
	t.Helper()
	a, err := readAttachment(file)
	if err != nil {
		t.Fatal(err)
	}
	return a.Address
}

func TestAttachedPluginThatDies(t *testing.T) {
	file, _, cmd := debugged(t, "hostile")
	p, err := Start(t.Context(), "brock-destination-memory", Options{Reattach: file})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	d := openDestination(t, p, map[string]any{"uri": "x"})
	got := say(t.Context(), d, "exit")
	if !strings.Contains(got, "ended while it was in use") || !strings.Contains(got, "attached") {
		t.Errorf("a call to a plugin that dies: %s", got)
	}
	_ = cmd.Wait()
	within(t, 10*time.Second, "Close", func() { _ = p.Close() })
	if got := say(t.Context(), d, "config"); !strings.Contains(got, "ended while it was in use") {
		t.Errorf("a call after the end and Close: %s", got)
	}

	// Its file is stale now.
	_, err = Start(t.Context(), "brock-destination-memory", Options{Reattach: file})
	if err == nil || !strings.Contains(err.Error(), "cannot be reached any more") || sdk.Hint(err) == "" {
		t.Errorf("Start with a stale file: %v (hint %q)", err, sdk.Hint(err))
	}
}

func TestAttachmentsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"garbage":  {"hello", 0o600, "is not from a plugin"},
		"empty":    {"{}", 0o600, "is not from a plugin"},
		"version":  {`{"protocol":9,"network":"unix","address":"/x/y","name":"x"}`, 0o600, "speaks version 9"},
		"writable": {`{}`, 0o666, "writable by group or others"},
		"missing":  {"", 0, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if c.mode != 0 {
				if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(file, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Start(t.Context(), "brock-destination-x", Options{Reattach: file}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Start: %v, want an error with %q", err, c.want)
			}
		})
	}
}

// A file that is no attachment is never overwritten.
func TestDebugOverwritesNothingElse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, text, code := byHand("memory", "debug", file); code != 1 || !strings.Contains(text, file) {
		t.Errorf("debug: exit code %d, %s", code, text)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if _, text, code := byHand("memory", "debug"); code != 2 || !strings.Contains(text, "usage:") {
		t.Errorf("debug without a file: exit code %d, %s", code, text)
	}
}

// An author stops the plugin, changes it, and starts it again with the same
// file: a host that is still there goes on with the new process.
func TestAttachedPluginThatIsStartedAgain(t *testing.T) {
	file, _, cmd := debugged(t, "memory")
	s := NewSupervisor("brock-destination-memory", Options{Reattach: file})
	defer s.Close()
	d, err := s.OpenDestination(t.Context(), map[string]any{"uri": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "a", strings.NewReader("b")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	_, again := debugFile(t, "memory", file)
	if err := d.Put(t.Context(), "a", strings.NewReader("b")); err != nil { // it forgets
		t.Fatalf("Put to the new process: %v", err)
	}
	if pid, err := s.Pid(t.Context()); err != nil || pid != again.Process.Pid {
		t.Errorf("Pid = %d, %v; want the new process's %d", pid, err, again.Process.Pid)
	}
	within(t, 10*time.Second, "Close", func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := again.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the plugin is gone: %v", err)
	}
}
