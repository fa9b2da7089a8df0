package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A tool is a program in a pinned version.
type tool struct {
	name, version string
	program       string // path below the tool's folder in the cache
	// build makes the tool in an empty folder, which is moved into the cache when it is done.
	build func(ctx context.Context, dir string) error
}

// goTool is a tool that `go install` makes.
func goTool(name, pkg, version string) tool {
	return tool{name: name, version: version, program: name, build: func(ctx context.Context, dir string) error {
		return command(ctx, dir, []string{"GOBIN=" + dir, "GOFLAGS=", "CGO_ENABLED=0"},
			"go", "install", "-trimpath", "-ldflags=-s -w", pkg+"@"+version)
	}}
}

// cacheDir is where finished tools are kept, one folder per tool and version.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "brock-servers"), err
}

func (t tool) dir() (string, error) {
	cache, err := cacheDir()
	return filepath.Join(cache, t.name+"-"+t.version), err
}

// path is where the program is once install has returned.
func (t tool) path() (string, error) {
	dir, err := t.dir()
	return filepath.Join(dir, t.program), err
}

// install builds the tool if the cache has none. Only what was built whole gets its name there; of two who build at
// once, the first to end is kept.
func (t tool) install(ctx context.Context) error {
	dir, err := t.dir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, t.program)); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".building-"+t.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := t.build(ctx, tmp); err != nil {
		return fmt.Errorf("build %s %s: %w", t.name, t.version, err)
	}
	if _, err := os.Stat(filepath.Join(tmp, t.program)); err != nil {
		return fmt.Errorf("build %s %s: %w", t.name, t.version, err)
	}
	err = os.Rename(tmp, dir)
	if _, there := os.Stat(filepath.Join(dir, t.program)); there == nil {
		return nil // ours, or that of somebody who was faster
	}
	return err
}

// command runs a program that prints to standard error, and waits for it.
func command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}
