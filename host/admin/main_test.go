package admin

import (
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
	for name, pkg := range map[string]string{"brock-destination-nfs": "nfs", "brock-keyprovider-keyfile": "keyfile"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(pluginDir, name), "../../plugins/"+pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := os.Chmod(filepath.Join(pluginDir, name), 0o755); err != nil {
			return err
		}
	}
	return nil
})

// realPlugins returns a directory with the plugins for directories and for key files.
func realPlugins(t testing.TB) string {
	t.Helper()
	if err := buildPlugins(); err != nil {
		t.Fatal(err)
	}
	return pluginDir
}
