package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if os.Getenv(hardenEnv) != "" {
		tellHardened()
		return
	}
	if order := os.Getenv(libraryEnv); order != "" {
		if err := moveWithLibrary(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testscript.Main(m, map[string]func(){
		"brock":          main,
		"unprivileged":   unprivileged,
		"crash-database": crashDatabase,
	})
}

// TestScripts runs testdata/script with the real plugin programs. Beside what
// testscript knows, a script can say:
//
//	exits CODE COMMAND...      the command ends with that code
//	examples COMMAND...        the examples in the command's help work
//	sorted FILE                the file's lines, sorted, without reserved predicates and types, in place
//	truth FILE FIXTURE POINT   what the live cluster exported at that point, the same way; quads, or FILE.schema
//	flip FILE OFFSET           changes one bit; a negative offset counts from the end
//	shorten FILE BYTES         takes bytes off the end
//	damaged OBJECT             restore and verify --deep of ./bad say so; then ./bad is ./good again
//	lock DIR                   has a Badger database open until the script ends
//	serve NAME ARGUMENTS...    starts brock serve; $NAME is its URL
//	end NAME [kill]            ends it, with exit code 0 unless it is killed; NAME.log is what it logged
//	http METHOD URL [BODY]     sends a request, see httpRequest; its answer is standard output
//	certificate NAME           writes NAME.crt and NAME.key
//	until ... TEXT             sends it again and again until TEXT is in the answer
//	answered FILE              the data of the last answer is that of the file
func TestScripts(t *testing.T) { testscript.Run(t, scripts(t, "testdata/script", nil)) }

// scripts are those of a folder, with variables besides the usual.
func scripts(t *testing.T, dir string, vars map[string]string) testscript.Params {
	t.Helper()
	plugins := buildPlugins(t)
	fixtures, err := filepath.Abs("../../host/testdata/fixtures")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BROCK_PLUGIN_DIR", plugins)
			env.Setenv("FIXTURES", fixtures)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, ".state"))
			env.Setenv("BROCK_CACHE_DIR", env.WorkDir+"/.cache") // what one command learns, the next one knows
			for name, value := range vars {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"examples":    examples,
			"sorted":      sortedFile,
			"truth":       truth,
			"flip":        flip,
			"shorten":     shorten,
			"damaged":     damaged,
			"lock":        lock,
			"serve":       serveHost,
			"certificate": certificate,
			"end":         stopHost,
			"http":        httpRequest,
			"until":       untilAnswer,
			"answered":    answered,
		},
	}
}

// buildPlugins builds the plugin programs, as make build does.
func buildPlugins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, pkg := range map[string]string{
		"brock-destination-azure":     "../../plugins/azure",
		"brock-destination-nfs":       "../../plugins/nfs",
		"brock-keyprovider-keyfile":   "../../plugins/keyfile",
		"brock-keyprovider-vaultkeys": "../../plugins/vaultkeys",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func examples(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! examples")
	}
	ts.Check(ts.Exec("brock", append(args, "--help")...))
	_, text, ok := strings.Cut(ts.ReadFile("stdout"), "\nExamples:\n")
	if !ok {
		ts.Fatalf("the help of brock %s has no examples", strings.Join(args, " "))
	}
	text, _, _ = strings.Cut(text, "\n\n")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		ts.Logf("> %s", line)
		if !strings.HasPrefix(line, "brock ") {
			ts.Fatalf("an example does not run brock: %s", line)
		}
		if err := ts.Exec("sh", "-c", line); err != nil {
			ts.Fatalf("the example fails: %v", err)
		}
	}
}

// userLines are sorted and without what is Dgraph's own: its exports differ in
// that from version to version.
func userLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		reserved := strings.Contains(line, "<dgraph.") && (!strings.Contains(line, " <dgraph.type> ") || strings.Contains(line, `"dgraph.`))
		if line = strings.TrimSuffix(line, "\n"); line != "" && !reserved {
			lines = append(lines, line+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// userTypes puts each type of a schema on one line, with its fields sorted.
func userTypes(schema string) string {
	var out, fields []string
	name := ""
	for line := range strings.Lines(schema) {
		line = strings.TrimSpace(line)
		switch {
		case name != "" && line == "}":
			slices.Sort(fields)
			out, name = append(out, name+" "+strings.Join(fields, " ")+" }"), ""
		case name != "":
			fields = append(fields, line)
		case strings.HasSuffix(line, "{"):
			name, fields = line, nil
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n") + "\n"
}

func sortedFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sorted FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(userLines(userTypes(ts.ReadFile(args[0])))), 0o644))
}

func truth(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: truth FILE FIXTURE POINT")
	}
	point := filepath.Join(ts.Getenv("FIXTURES"), args[1], "truth", "point"+args[2])
	f, err := os.Open(point + ".rdf.gz")
	ts.Check(err)
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	ts.Check(err)
	var quads strings.Builder
	_, err = bufio.NewReader(z).WriteTo(&quads)
	ts.Check(err)
	schema, err := os.ReadFile(point + ".schema")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(userLines(quads.String())), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".schema"), []byte(userLines(string(schema))), 0o644))
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	edit(ts, args[0], func(data []byte) []byte {
		if offset < 0 {
			offset += len(data)
		}
		data[offset] ^= 0x10
		return data
	})
}

func shorten(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shorten FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	edit(ts, args[0], func(data []byte) []byte { return data[:max(len(data)-n, 0)] })
}

// edit changes the one file that a pattern matches.
func edit(ts *testscript.TestScript, pattern string, change func([]byte) []byte) {
	files, err := filepath.Glob(ts.MkAbs(pattern))
	if err != nil || len(files) != 1 {
		ts.Fatalf("%s matches %d files, %v; want one", pattern, len(files), err)
	}
	data, err := os.ReadFile(files[0])
	ts.Check(err)
	ts.Check(os.Chmod(files[0], 0o600))
	ts.Check(os.WriteFile(files[0], change(data), 0o600))
}

func damaged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damaged OBJECT")
	}
	for _, command := range [][]string{
		{"3", "brock", "restore", "-l", "bad", "-p", "out"},
		{"3", "brock", "verify", "-l", "bad", "--deep"},
	} {
		exits(ts, false, command)
		if said := ts.ReadFile("stdout") + ts.ReadFile("stderr"); !strings.Contains(said, args[0]) {
			ts.Fatalf("%s is not named", args[0])
		}
	}
	ts.Check(os.RemoveAll(ts.MkAbs("bad")))
	ts.Check(os.CopyFS(ts.MkAbs("bad"), os.DirFS(ts.MkAbs("good"))))
}

func lock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock DIR")
	}
	db, err := badger.OpenManaged(badger.DefaultOptions(ts.MkAbs(args[0])).WithLogger(nil))
	ts.Check(err)
	ts.Defer(func() { db.Close() })
}
