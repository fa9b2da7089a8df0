//go:build unix

package python_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/conformance"
	"github.com/brock-backup/brock/sdk/launch"
	"github.com/brock-backup/brock/sdk/python"
)

func TestMain(m *testing.M) {
	conformance.Init()
	goleak.VerifyTestMain(m)
}

// interpreter is Debian's: a plugin has no PATH to find another one with.
const interpreter = "/usr/bin/python3"

// needPython skips the test on a machine that has not what plugins in Python
// need, and fails in CI.
func needPython(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), interpreter, "-c", "import grpc, google.protobuf").CombinedOutput()
	if err == nil {
		out, err = exec.CommandContext(t.Context(), "openssl", "version").CombinedOutput()
	}
	if err == nil {
		return
	}
	const cure = "plugins in Python cannot run here (%v: %s): apt-get install python3-grpcio python3-protobuf openssl"
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if os.Getenv("CI") == "true" {
		t.Fatalf(cure, err, lines[len(lines)-1])
	}
	t.Skipf(cure, err, lines[len(lines)-1])
}

// build makes one executable file of a plugin and the SDK, as the Makefile of a
// plugin's project does.
func build(t *testing.T, name, plugin string) string {
	t.Helper()
	needPython(t)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "app"), python.Files); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(plugin)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "app", "plugin.py"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, name)
	run(t, "", interpreter, "-m", "zipapp", filepath.Join(dir, "app"), "-o", exe, "-p", interpreter, "-m", "plugin:main")
	if err := os.Chmod(exe, 0o755); err != nil {
		t.Fatal(err)
	}
	return exe
}

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
	return string(out)
}

func buildTree(t *testing.T) string {
	t.Helper()
	return build(t, "brock-destination-tree", "../testdata/python/plugin.py")
}

// An error keeps its kind, its text and its hint across the process border.
func TestErrors(t *testing.T) {
	p, err := launch.Start(t.Context(), buildTree(t), launch.Options{StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.OpenDestination(t.Context(), map[string]any{"uri": "tree://ümlaut/x"})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "tree://ümlaut/x: not an absolute path") ||
		sdk.Hint(err) != "write tree:///mnt/backups" {
		t.Errorf("Open of a place that cannot be: %v, hint %q", err, sdk.Hint(err))
	}
}

// place makes a directory with these permissions, and returns how the plugin,
// as an ordinary user, is told of it.
func place(t *testing.T, mode os.FileMode) *conformance.Variant {
	t.Helper()
	dir, err := os.MkdirTemp("", "brock-python-")
	if err == nil {
		err = os.Chmod(dir, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &conformance.Variant{Settings: map[string]any{"uri": "tree://" + dir}, Env: []string{"BROCK_TEST_UID=65534"}}
}

// A plugin is one file, so that its digest is that of everything but the
// interpreter, and it runs from the very bytes that were found to have it.
func TestPinned(t *testing.T) {
	exe := buildTree(t)
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch.Start(t.Context(), exe, launch.Options{Digest: sha256.Sum256(data), StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if name := p.Description().Name; name != "tree" {
		t.Errorf("the plugin is called %q", name)
	}
}

// A plugin in Python keeps every promise that one in Go keeps.
func TestDestination(t *testing.T) {
	s := conformance.Subject{
		Path:     buildTree(t),
		Settings: map[string]any{"uri": "tree://" + t.TempDir()},
		Denied:   place(t, 0),
		ReadOnly: place(t, 0o555),
		Missing:  &conformance.Variant{Settings: map[string]any{"uri": "tree://" + t.TempDir() + "/missing"}},
	}
	kept := map[string]int{}
	for r := range s.Destination(t.Context()) {
		t.Run(r.Check, func(t *testing.T) {
			t.Logf("found out in %v", r.Took)
			for _, f := range r.Failures {
				t.Error(f)
			}
			if r.Skipped != "" && !t.Failed() {
				t.Skip(r.Skipped)
			}
			kept[r.Profile]++
		})
	}
	if kept["core"] < 35 || kept["replace"] < 4 || kept["probe"] < 1 {
		t.Errorf("checks that were kept, by profile: %v", kept)
	}
}
