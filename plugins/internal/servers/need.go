package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// running returns what the env file of a server says, and its process. If the server does not run, it ends the test.
func running(t testing.TB, s *server) (vars, int) {
	t.Helper()
	dir, err := StateDir()
	if err != nil {
		t.Fatal(err)
	}
	// Read even if nothing is missing: results under another value are no results under this one, so that go test does
	// not take those of a run that had no servers from its cache.
	_ = os.Getenv(leftOut)
	p, ok := readPID(dir, s.name)
	if !ok || !p.alive() {
		missing(t, s.name)
	}
	v, err := readVars(envFile(dir, s.name))
	if err != nil {
		missing(t, s.name)
	}
	return v, p.pid
}

// installed returns the path of a program, or ends the test.
func installed(t testing.TB, name string, tool tool) string {
	t.Helper()
	_ = os.Getenv(leftOut)
	path, err := tool.path()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, name)
	}
	return path
}

// leftOut names the environment variable that names the file that tells `make test` what was left out.
const leftOut = "BROCK_TESTS_LEFT_OUT"

// missing skips a test that needs a server that is not there. In CI that is a failure: nobody would read the line.
func missing(t testing.TB, name string) {
	t.Helper()
	text := fmt.Sprintf("NEEDS SERVER %s: run make servers", name)
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	if file := os.Getenv(leftOut); file != "" {
		note(t, file, fmt.Sprintf("%s: NEEDS SERVER %s\n", home, name))
	}
	t.Skip(text)
}

// note appends a line to a file that other processes append to as well.
func note(t testing.TB, file, line string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}

// home is the package under test, as a path from the module's root: go test starts tests in their package's folder.
var home = func() string {
	dir, err := os.Getwd()
	if err != nil {
		return filepath.Base(os.Args[0])
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return strings.TrimPrefix(strings.TrimPrefix(dir, root), "/")
		}
		if root == filepath.Dir(root) {
			return dir
		}
	}
}()
