//go:build unix

package sdk_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk/conformance"
	"github.com/brock-backup/brock/sdk/launch"
)

// frozen is the module that holds the SDK as it was when the protocol was first
// published.
const frozen = "testdata/frozen/v1.0"

// build builds programs of a module, from what its go.mod says, and returns the
// directory that holds them.
func build(t *testing.T, module string, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", dir + "/"}, packages...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", module, err, out)
	}
	return dir
}

// settings returns those of the plugins that this repository has.
func settings(t *testing.T, program string) map[string]any {
	t.Helper()
	switch program {
	case "nfs":
		return map[string]any{"uri": t.TempDir()}
	case "keyfile":
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(rand.Text()[:16]), 0o600); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"path": path}
	}
	t.Fatalf("no settings for %s", program)
	return nil
}

// What people have built and keep must keep every promise that it made.
func TestOldPluginServesTheHost(t *testing.T) {
	t.Parallel()
	dir := build(t, frozen, "./plugins/nfs", "./plugins/keyfile")
	for _, program := range []string{"nfs", "keyfile"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, program)
			p, err := launch.Start(t.Context(), path, launch.Options{})
			if err != nil {
				t.Fatal(err)
			}
			d := p.Description()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if d.Name != program || d.Protocol != 1 || d.ProtocolMinor != 0 || d.Limits.ConcurrentPuts != 0 {
				t.Errorf("it describes itself as %+v", d)
			}
			s := conformance.Subject{Path: path, Settings: settings(t, program), Only: promised(d.Kind)}
			if program == "keyfile" {
				s.Other = &conformance.Variant{Settings: settings(t, program)}
			}
			results := s.KeyProvider(t.Context())
			if d.Kind == "destination" {
				results = s.Destination(t.Context())
			}
			kept := 0
			for r := range results {
				for _, f := range r.Failures {
					t.Errorf("%s: %s", r.Check, f)
				}
				if r.Skipped != "" {
					t.Logf("%s: skipped: %s", r.Check, r.Skipped)
				}
				if r.OK() {
					kept++
				}
			}
			if kept < 2*len(s.Only)/3 {
				t.Errorf("only %d of %d promises were kept", kept, len(s.Only))
			}
		})
	}
}

// promised returns the checks of what was promised then. What a plugin costs is
// not among it.
func promised(kind string) (names []string) {
	for _, c := range conformance.Checks(kind) {
		profile := slices.Contains([]string{"core", "replace", "keys-wrap", "keys-export"}, c.Profile)
		if profile && c.Group != "leaks" && c.Group != "speed" {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestPluginServesAnOldHost(t *testing.T) {
	t.Parallel()
	host := filepath.Join(build(t, frozen, "./host"), "host")
	dir := build(t, "..", "./plugins/nfs", "./plugins/keyfile")
	for _, program := range []string{"nfs", "keyfile"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(settings(t, program))
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			cmd := exec.CommandContext(context.WithoutCancel(t.Context()), host, filepath.Join(dir, program), string(text))
			cmd.Stderr = &log
			if out, err := cmd.Output(); err != nil || string(out) != "ok\n" {
				t.Errorf("%s%v\n%s", out, err, log.String())
			}
		})
	}
}
