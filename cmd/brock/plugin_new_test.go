package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk/conformance"
)

// A beginning is what "brock plugin new" writes for one kind in one language, and
// what an author adds to it.
type beginning struct {
	kind, lang string
	source     string      // the file with the four functions
	bodies     []string    // old and new text in it, in turns
	besides    [][2]string // a file of the project, and the one it is made from
	example    []string    // old and new text in those, in turns
	settings   map[string]any
	other      map[string]any
	only       []string // the checks to run in the end; none: go test runs them all
}

func beginnings(t *testing.T) []beginning {
	key := func(digit string) map[string]any { return map[string]any{"key": strings.Repeat(digit, 64)} }
	return []beginning{
		{
			kind: "destination", lang: "go", source: "attic.go",
			bodies: []string{
				"	config Config\n", "	config Config\n	shelf  *shelf\n",
				"return &destination{c}, nil", "s, err := openShelf(context.Background(), ShelfConfig(c))\n	return &destination{c, s}, err",
				`return d.notWritten("Put")`, "return d.shelf.Put(ctx, name, r)",
				`return nil, d.notWritten("Get")`, "return d.shelf.Get(ctx, name, offset)",
				`		yield(sdk.Object{}, d.notWritten("List"))`, "		d.shelf.List(ctx, prefix)(yield)",
				`return d.notWritten("Delete")`, "return d.shelf.Delete(ctx, name)",
			},
			besides: [][2]string{{"shelf.go", "../../sdk/example/shelf/main.go"}},
			example: []string{
				"func main()", "func _()", "type Config struct", "type ShelfConfig struct",
				"func open(_ context.Context, c Config)", "func openShelf(_ context.Context, c ShelfConfig)",
				"Schemes: []string{\"shelf\"}}, open)", "Schemes: []string{\"shelf\"}}, openShelf)",
				`"shelf://"`, `"attic://"`,
			},
			settings: map[string]any{"uri": "attic://" + t.TempDir()},
		},
		{
			kind: "keyprovider", lang: "go", source: "attic.go",
			bodies: []string{
				"	config Config\n", "	config Config\n	safe   *safe\n",
				`return nil, notWritten("open")`, "s, err := openSafe(context.Background(), SafeConfig(c))\n	return &provider{c, s}, err",
				`return sdk.WrappedKey{}, notWritten("Wrap")`, "return p.safe.Wrap(ctx, dataKey)",
				`return nil, notWritten("Unwrap")`, "return p.safe.Unwrap(ctx, w)",
				`return sdk.Secret{}, notWritten("ExportKey")`, "return sdk.NewSecret(p.config.Key.RevealString()[:32]), nil",
			},
			besides: [][2]string{{"safe.go", "../../sdk/example/safe/main.go"}},
			example: []string{
				"func main()", "func _()", "type Config struct", "type SafeConfig struct",
				"func open(_ context.Context, c Config)", "func openSafe(_ context.Context, c SafeConfig)",
				"from its settings.\"}, open)", "from its settings.\"}, openSafe)",
			},
			settings: key("a"), other: key("b"),
		},
		{
			kind: "destination", lang: "python", source: "plugin.py",
			bodies: []string{
				"from brock_plugin import", "from tree import Tree\nfrom brock_plugin import",
				"self.uri = settings.uri", "self.uri = settings.uri\n        self.tree = Tree(settings)",
				`raise self.not_written("put")`, "self.tree.put(name, data)",
				`raise self.not_written("get")`, "return self.tree.get(name, offset)",
				`raise self.not_written("list")`, "return self.tree.list(prefix)",
				`raise self.not_written("delete")`, "self.tree.delete(name)",
			},
			besides:  [][2]string{{"tree.py", "../../sdk/testdata/python/plugin.py"}},
			settings: map[string]any{"uri": "attic://" + t.TempDir()},
			only: []string{ // the SDK's own tests run all of them
				"describes itself", "settings are strict", "put and get every size", "put never overwrites", "get what is not there",
				"failing source leaves nothing", "list order and prefixes", "delete twice, and nothing else",
			},
		},
		{
			kind: "keyprovider", lang: "python", source: "plugin.py",
			bodies: []string{
				"from brock_plugin import", "from ring import Ring\nfrom brock_plugin import",
				`raise not_written("__init__")`, "self.ring = Ring(settings.key.reveal())",
				`raise not_written("wrap")`, "return self.ring.wrap(data_key)",
				`raise not_written("unwrap")`, "return self.ring.unwrap(key_id, ciphertext)",
				`raise not_written("export_key")`, "return self.ring.export_key()",
			},
			besides:  [][2]string{{"ring.py", "testdata/plugin_new/ring.py"}},
			settings: key("a"), other: key("b"),
			only: []string{
				"describes itself", "settings are strict", "wrap and unwrap", "a wrapped key shows nothing", "unwrap what was tampered with",
				"unwrap with another key", "export a key that fits", "keys appear nowhere", "secret settings appear nowhere",
				"secret settings are not for everybody",
			},
		},
	}
}

// A project that was just written builds, and brock understands it. What is
// missing says so; once it is written, the plugin keeps its promises.
func TestNewPlugin(t *testing.T) {
	for _, b := range beginnings(t) {
		t.Run(b.lang+" "+b.kind, func(t *testing.T) {
			t.Parallel()
			if b.lang == "python" {
				needPython(t)
			}
			dir := filepath.Join(t.TempDir(), "project")
			brock(t, "plugin", "new", "--kind", b.kind, "--lang", b.lang, "--dir", dir, "attic")
			inProject(t, dir, "make")
			if said := brock(t, "plugin", "info", "attic", "--plugin-dir", dir); !strings.Contains(said, b.kind) {
				t.Errorf("brock plugin info: %s", said)
			}
			first := map[string]string{"destination": "put and get every size", "keyprovider": "wrap and unwrap"}[b.kind]
			if broken := b.check(t, dir, first); !strings.Contains(broken, "is not written yet") {
				t.Errorf("before anything is written, the check %q says: %s", first, broken)
			}

			fillIn(t, filepath.Join(dir, b.source), filepath.Join(dir, b.source), b.bodies)
			for _, f := range b.besides {
				fillIn(t, filepath.Join(dir, f[0]), f[1], b.example)
			}
			if b.only == nil {
				inProject(t, dir, "make", "test")
				return
			}
			inProject(t, dir, "make")
			if broken := b.check(t, dir, b.only...); broken != "" {
				t.Errorf("once it is written:\n%s", broken)
			}
		})
	}
}

// check runs checks against the program that make has built, and returns which
// promises are broken, or were not looked at.
func (b *beginning) check(t *testing.T, dir string, only ...string) string {
	t.Helper()
	s := conformance.Subject{
		Path:     filepath.Join(dir, "brock-"+b.kind+"-attic"),
		Settings: b.settings,
		Only:     only,
	}
	if b.other != nil {
		s.Other = &conformance.Variant{Settings: b.other}
	}
	_, results, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var broken strings.Builder
	run := 0
	for r := range results {
		run++
		if !r.OK() {
			broken.WriteString(r.Check + ": " + r.Skipped + strings.Join(r.Failures, "\n\t") + "\n")
		}
	}
	if run != len(only) {
		t.Errorf("%d checks were run of %q", run, only)
	}
	return broken.String()
}

// brock runs one command line, which must succeed, and returns what it prints.
func brock(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != exitOK {
		t.Fatalf("brock %s: exit code %d\n%s", strings.Join(args, " "), code, &stderr)
	}
	return stdout.String()
}

// inProject runs a command there. It may not ask the network for anything.
func inProject(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "MAKEFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// fillIn writes a file that is another one with some of its text replaced.
func fillIn(t *testing.T, to, from string, texts []string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(texts); i += 2 {
		if strings.Count(text, texts[i]) != 1 {
			t.Fatalf("%s has the text %q %d times, want once", from, texts[i], strings.Count(text, texts[i]))
		}
		text = strings.Replace(text, texts[i], texts[i+1], 1)
	}
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// needPython skips the test on a machine that has not what plugins in Python
// need, and fails in CI.
func needPython(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import grpc, google.protobuf").CombinedOutput()
	if err == nil {
		out, err = exec.CommandContext(t.Context(), "openssl", "version").CombinedOutput()
	}
	if err == nil {
		return
	}
	const cure = "plugins in Python cannot run here (%v: %.300s): apt-get install python3-grpcio python3-protobuf openssl"
	if os.Getenv("CI") == "true" {
		t.Fatalf(cure, err, out)
	}
	t.Skipf(cure, err, out)
}

// A project of a released brock names that release; any other needs its source.
func TestRequire(t *testing.T) {
	for _, version := range []string{"v0.2.0", "v1.10.3", "v2.0.0-rc.1"} {
		p := project{Name: "attic", Kind: "destination", lang: "go"}
		if err := p.require(version); err != nil {
			t.Fatal(err)
		}
		files, err := p.files()
		if err != nil {
			t.Fatal(err)
		}
		mod := string(files["go.mod"])
		if !strings.HasPrefix(mod, "module brock-destination-attic\n\ngo 1.") ||
			!strings.Contains(mod, "\nrequire github.com/brock-backup/brock "+version+"\n") || strings.Contains(mod, "replace") {
			t.Errorf("%s: go.mod:\n%s", version, mod)
		}
		if _, ok := files["go.sum"]; ok || strings.Contains(string(files["README.md"]), "replace") {
			t.Errorf("%s: the project speaks of a checkout", version)
		}
	}
	for _, version := range []string{"", "unknown", "v0.1.0-5-g1234567", "v0.2.0-dirty", "v0.0.0-20261121050000-abcdefabcdef", "v0.1.0+dirty"} {
		p := project{Name: "attic", Kind: "destination", lang: "go"}
		if err := p.require(version); err != nil || !strings.Contains(p.Requirements, "\nreplace ") {
			t.Errorf("%q, within brock's source: %v, %s", version, err, p.Requirements)
		}
		p.sdk = t.TempDir()
		if err := p.require(version); err == nil || !strings.Contains(err.Error(), "has no go.mod of") {
			t.Errorf("%q, with a directory that has no source: %v", version, err)
		}
		p.sdk = "../.."
		if err := p.require(version); err != nil || !strings.HasPrefix(p.Requirements, "\ngo 1.") ||
			!strings.HasSuffix(p.Requirements, "\nreplace github.com/brock-backup/brock => "+p.Checkout) {
			t.Errorf("%q: %v, %s", version, err, p.Requirements)
		}
	}
}
