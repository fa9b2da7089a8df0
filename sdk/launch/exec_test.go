//go:build unix

package launch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// program makes a plugin file and returns its path and its digest.
func program(t *testing.T, data []byte) (string, [sha256.Size]byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "brock-destination-memory")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path, sha256.Sum256(data)
}

func self(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shellPlugin is a plugin that finds itself under its own name.
func shellPlugin(interpreter string) []byte {
	return fmt.Appendf(nil, "#!%s\ncase $0 in */brock-destination-memory) ;; *) echo \"called $0\" >&2; exit 9 ;; esac\n"+
		"grep -q 'the very bytes' \"$0\" || exit 8\nexec %s\n", interpreter, os.Args[0])
}

// Whatever happens to the file once it was hashed, what was hashed is executed.
func TestPinnedBytesAreExecuted(t *testing.T) {
	t.Parallel()
	evil := []byte("#!/bin/sh\necho evil >&2\nexit 66\n")
	changes := map[string]func(path string) error{
		"untouched": func(string) error { return nil },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", evil, 0o755), os.Rename(path+".new", path))
		},
		"rewritten": func(path string) error { return os.WriteFile(path, evil, 0o755) },
		"removed":   os.Remove,
	}
	images := map[string]imager{
		"usual": newImage,
		"file":  func(path string, data []byte, _ int) (image, error) { return copyImage(path, data) },
	}
	programs := map[string][]byte{"binary": self(t), "script": shellPlugin("/bin/sh"), "env": shellPlugin("/usr/bin/env sh")}
	for what, change := range changes {
		for how, img := range images {
			for kind, data := range programs {
				if kind == "env" && (what != "replaced" || how != "usual") {
					continue
				}
				t.Run(what+"/"+how+"/"+kind, func(t *testing.T) {
					t.Parallel()
					path, digest := program(t, data)
					p, err := Start(t.Context(), path, Options{
						Digest: digest,
						Env:    []string{roleEnv + "=memory"},
						execute: func(to string, data []byte, fd int) (image, error) {
							if err := change(path); err != nil {
								return image{}, err
							}
							return img(to, data, fd)
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					defer p.Close()
					if name := p.Description().Name; name != "memory" {
						t.Errorf("the plugin is %q, want memory", name)
					}
				})
			}
		}
	}
}

func TestPinnedPluginIsFullyOperational(t *testing.T) {
	t.Parallel()
	path, digest := program(t, self(t))
	s := NewSupervisor(path, Options{Digest: digest, Env: []string{roleEnv + "=memory"}})
	defer s.Close()
	d, err := s.OpenDestination(t.Context(), nil)
	if err == nil {
		err = d.Put(t.Context(), "a", strings.NewReader("x"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPinnedFileThatHasChangedIsRefused(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "ran")
	path, found := program(t, []byte("#!/bin/sh\ntouch "+marker+"\n"))
	pinned := sha256.Sum256([]byte("another"))
	_, err := Start(t.Context(), path, Options{Digest: pinned})
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.Pinned != pinned || changed.Found != found {
		t.Fatalf("Start: %v; want a ChangedError with both digests", err)
	}
	for _, want := range []string{filepath.Base(path), fmt.Sprintf("%x", pinned), fmt.Sprintf("%x", found)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if !strings.Contains(changed.Hint(), "brock plugin lock") {
		t.Errorf("hint %q; want one that tells how to pin", changed.Hint())
	}
	if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the changed plugin has run: %v", err)
	}
}

// What is executed has the rights of a file of our own: those of the plugin's
// file must count nevertheless.
func TestPinnedFileMustBeExecutable(t *testing.T) {
	t.Parallel()
	data := shellPlugin("/bin/sh")
	for what, c := range map[string]struct {
		change func(path string) error
		kind   error
		want   string
	}{
		"mode":      {func(p string) error { return os.Chmod(p, 0o644) }, fs.ErrPermission, "is not executable"},
		"absent":    {os.Remove, fs.ErrNotExist, "no such file"},
		"directory": {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }, fs.ErrInvalid, "is a directory"},
		"pipe":      {func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o755)) }, nil, "not a regular file"},
	} {
		path, digest := program(t, data)
		if err := c.change(path); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, "Start", func() {
			_, err := Start(t.Context(), path, Options{Digest: digest})
			if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want %v with %q", what, err, c.kind, c.want)
			}
		})
	}
}

func TestPinnedFileOfAnotherKindIsExplained(t *testing.T) {
	t.Parallel()
	path, digest := program(t, []byte(elfFor(0x16)))
	_, err := Start(t.Context(), path, Options{Digest: digest})
	if err == nil || !strings.Contains(err.Error(), "an ELF program for s390") {
		t.Errorf("Start: %v; want one that names the architecture", err)
	}
}

// A process that is forked while an image is being written must not keep it
// open: it could not be executed.
func TestImagesCanBeExecutedWhileOthersFork(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, make([]byte, 4<<20)...) // so that writing it takes a while
	done := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.CommandContext(t.Context(), "/bin/true").Run()
				}
			}
		})
	}
	defer others.Wait()
	defer close(done)
	for i := range 20 {
		for how, img := range map[string]imager{
			"usual": newImage,
			"file":  func(path string, data []byte, _ int) (image, error) { return copyImage(path, data) },
		} {
			it, err := img(filepath.Join(t.TempDir(), "true"), data, 3)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), it.path)
			if it.file != nil {
				cmd.ExtraFiles = []*os.File{it.file}
			}
			err = cmd.Run()
			it.file.Close()
			if err != nil {
				t.Fatalf("%s, time %d: %v", how, i, err)
			}
		}
	}
}

func TestChangedErrorHasAHint(t *testing.T) {
	err := fmt.Errorf("plugin x: %w", &ChangedError{})
	if sdk.Hint(err) == "" {
		t.Error("none")
	}
}
