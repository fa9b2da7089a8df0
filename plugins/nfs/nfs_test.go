//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, serve) }

func TestDestination(t *testing.T) {
	options := []sdktest.Option{
		sdktest.Denied(Config{URI: closed(t)}, nobody),
		sdktest.ReadOnly(Config{URI: readable(t)}, nobody),
		sdktest.Missing(Config{URI: filepath.Join(t.TempDir(), "not/here")}),
	}
	if mayMount() {
		options = append(options, sdktest.Full(Config{URI: mount(t, "size=4m")}))
	}
	sdktest.TestDestination(t, Config{URI: t.TempDir()}, options...)
}

// serve is the plugin, as an ordinary user if nobody is set, or broken if mutant
// is.
func serve() {
	sdk.ServeDestination(plugin, func(ctx context.Context, cfg Config) (sdk.Destination, error) {
		if err := becomeUser(); err != nil {
			return nil, err
		}
		d, err := open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		if m, ok := mutants[os.Getenv("BROCK_TEST_MUTANT")]; ok {
			return m.of(d), nil
		}
		return d, nil
	})
}

const nobody = "BROCK_TEST_UID=65534"

// becomeUser is for tests that run as root, to whom nothing is forbidden.
func becomeUser() error {
	uid, err := strconv.Atoi(os.Getenv("BROCK_TEST_UID"))
	if err != nil || os.Getuid() != 0 {
		return nil //nolint:nilerr // not asked for, or not needed
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	return syscall.Setuid(uid)
}

// publicDir makes a directory that every user can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "brock-nfs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	chmod(t, dir, 0o755)
	return dir
}

// closed makes a directory that its owner has closed, even to himself.
func closed(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(publicDir(t), "closed")
	if err := os.Mkdir(dir, 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readable makes a directory that nobody can write to.
func readable(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(publicDir(t), "readable")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	return dir
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
