package admin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// pluginDir holds the plugins that tests use, built when the first asks for them.
var pluginDir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "brock-admin-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	pluginDir = dir
	return m.Run()
}

var buildPlugins = sync.OnceValue(func() error {
	return errors.Join(buildPlugin("destination-nfs", "nfs"), buildPlugin("keyprovider-keyfile", "keyfile"))
})

var buildMinio = sync.OnceValue(func() error { return buildPlugin("destination-minio", "minio") })

func buildPlugin(name, pkg string) error {
	file := filepath.Join(pluginDir, "brock-"+name)
	if out, err := exec.Command("go", "build", "-o", file, "../../plugins/"+pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Chmod(file, 0o755)
}

// realPlugins returns a directory with the plugins for directories and for key files.
func realPlugins(t testing.TB) string {
	t.Helper()
	if err := buildPlugins(); err != nil {
		t.Fatal(err)
	}
	return pluginDir
}
