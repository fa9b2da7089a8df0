package main

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A till is a place of a careless plugin, and a brock that uses it.
type till struct {
	t     *testing.T
	dir   string   // holds the place, and what came of each command
	env   []string // of brock
	said  bytes.Buffer
	place string // the directory
}

// TestLocationsOfACarelessPlugin is about what becomes of a location's settings.
func TestLocationsOfACarelessPlugin(t *testing.T) {
	t.Parallel()
	plugins := buildPlugins(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(plugins, "brock-destination-till"), "./testdata/till")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(filepath.Join(plugins, "brock-destination-till"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, string){
		"secrets are shown nowhere": secretsAreShownNowhere,
		"where settings come from":  whereSettingsComeFrom,
		"findings are told":         findingsAreTold,
	} {
		t.Run(name, func(t *testing.T) { test(t, plugins) })
	}
}

func newTill(t *testing.T, plugins string, env ...string) *till {
	t.Helper()
	dir := t.TempDir()
	return &till{t: t, dir: dir, place: filepath.Join(dir, "place"), env: append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_STATE_HOME=" + dir + "/state", "BROCK_CACHE_DIR=" + dir + "/cache", "BROCK_PLUGIN_DIR=" + plugins,
	}, env...)}
}

// brock runs a command and returns all that it says, and its exit code.
func (l *till) brock(args ...string) (string, int) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), "brock", args...)
	cmd.Env, cmd.Dir = l.env, l.dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		l.t.Fatal(err)
	}
	l.said.Write(out)
	return string(out), cmd.ProcessState.ExitCode()
}

// read returns one of the files that the plugin writes when it is opened.
func (l *till) read(name string) string {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// hunt looks for words in all that was said, and in all files that are left.
func (l *till) hunt(words ...string) {
	l.t.Helper()
	look := func(where string, data []byte) {
		for _, w := range words {
			if at := bytes.Index(data, []byte(w)); at >= 0 {
				l.t.Errorf("%s shows a secret: ...%q...", where, data[max(0, at-60):min(len(data), at+60)])
			}
		}
	}
	look("brock", l.said.Bytes())
	files := 0
	err := filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "settings" || e.Name() == "settings.yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, data)
		files++
		return err
	})
	if err != nil || files == 0 {
		l.t.Errorf("%d files were looked through, %v", files, err)
	}
}

// What stands in a location's query are secrets, whatever the command, and however
// careless the plugin.
func secretsAreShownNowhere(t *testing.T, plugins string) {
	t.Helper()
	l := newTill(t, plugins)
	const password, access = "canary:pass word", "canary-access"
	const secret, token = "canary+secret/key&with=more", "canary;token"
	at := "till://user:canary%3Apass%20word@" + l.place +
		"?accessKey=" + access + "&secretKey=canary+secret/key%26with=more&sessionToken=" + token
	fixture, err := filepath.Abs("../../host/testdata/fixtures/v25-plain/backup")
	if err != nil {
		t.Fatal(err)
	}
	if out, code := l.brock("restore", "-l", fixture, "-p", "data"); code != 0 {
		t.Fatal(out)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	trace := []string{"--verbose", "--plugin-trace", "trace", "--plugin-log-level", "trace"}
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"backup", "-p", "data", "-l", at, "--compat", "v20"}},
		{0, []string{"ls", "--location=" + at}},
		{0, []string{"ls", "--json", "-l", at}},
		{0, []string{"verify", "-l" + at, "--json"}},
		{0, []string{"verify", "-l", at, "--restore"}},
		{0, []string{"restore", "-l", at, "-p", "restored"}},
		{0, []string{"export", "-l", at, "-o", "quads.rdf"}},
		{0, []string{"prune", "-l", at, "--keep", "1"}},
		{0, []string{"plugin", "doctor", at}},
		{0, []string{"plugin", "doctor", at, "--json"}},
		{0, []string{"plugin", "bench", at, "--size", "64KiB", "--objects", "2"}},
		{2, []string{"restore", "-l", at, "-p", "again", "--backup-id", "nothing"}},
		{1, []string{"ls", "-l", strings.Replace(at, access, "deny"+access, 1)}},
		{1, []string{"plugin", "doctor", strings.Replace(at, access, "deny"+access, 1)}},
		{1, []string{"backup", "-p", "data", "--compat", "v20", "-l", strings.Replace(at, l.place, l.dir+"/file/x", 1)}},
	} {
		out, code := l.brock(append(c.args, trace...)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d:\n%s", c.args[0], code, c.code, out)
		}
		line := l.read("cmdline")
		if shown := "accessKey=" + strings.Repeat("x", len(access)); c.code == 0 && (!strings.Contains(line, shown) || !strings.Contains(line, "till://user:xxx")) {
			t.Errorf("%s: a list of processes shows %q", c.args[0], line)
		}
		if want := access + "|" + secret + "|" + token + "|"; c.code == 0 && l.read("settings") != want {
			t.Errorf("%s: the plugin was opened with %s, want %s", c.args[0], l.read("settings"), want)
		}
	}
	for _, args := range [][]string{ // what is not understood
		{"ls", at},
		{"ls", "-x" + at},
		{at},
		{"plugin", "doctor", "a", at},
		{"ls", "-l", at + "%"},
		{"ls", "-l", at + "&secretKey=canary+more"},
		{"ls", "-l", strings.Replace(at, "till:", "tell:", 1)},
		{"backup", "-p", l.dir, "-l", strings.Replace(at, "till:", "file:", 1)},
		{"ls", "--json=" + at},
		{"plugin", "env", at},
		{"plugin", "logs", at},
		{"plugin", "test", "till", "--setting", "secretKey=" + secret, "--setting", at},
	} {
		if out, code := l.brock(args...); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d:\n%s", args[0], code, exitUsage, out)
		}
	}
	l.hunt("canary:", "canary%3A", "canary+secret", "canary%2Bsecret", "canary secret", "canary;token", "canary%3Btoken", "canary+more",
		url.QueryEscape(secret), url.PathEscape(secret))
	if n := strings.Count(l.said.String(), "[secret]"); n < 20 {
		t.Errorf("the plugin has shown its secrets %d times only: it proves nothing", n)
	}
}

// Settings come from the location, or else from the file, or else from the
// environment.
func whereSettingsComeFrom(t *testing.T, plugins string) {
	t.Helper()
	l := newTill(t, plugins, "TILL_ACCESS_KEY=E", "TILL_SECRET_KEY=canary-e", "OTHERS_TOKEN=canary-t", "TILL_WORD=hello")
	file := filepath.Join(l.dir, "settings.yaml")
	if err := os.WriteFile(file, []byte("accessKey: F\nsecretKey: canary-f\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.place, 0o700); err != nil {
		t.Fatal(err)
	}
	at := "till://" + l.place
	for _, c := range []struct {
		args []string
		want string // accessKey|secretKey|sessionToken|TILL_WORD
	}{
		{[]string{"ls", "-l", at}, "E|canary-e||hello"},
		{[]string{"ls", "-l", at, "--plugin-env", "OTHERS_TOKEN"}, "E|canary-e|canary-t|hello"},
		{[]string{"ls", "-l", at, "--location-settings", file}, "F|canary-f||hello"},
		{[]string{"ls", "-l", at + "?accessKey=F", "--location_settings", file}, "F|canary-f||hello"},
		{[]string{"ls", "-l", at + "?accessKey=U&secretKey=canary-u", "--location-settings", file}, "U|canary-u||hello"},
		{[]string{"verify", "-l", at, "--location-settings", file}, "F|canary-f||hello"},
		{[]string{"plugin", "doctor", at, "--location-settings", file}, "F|canary-f||hello"},
		{[]string{"plugin", "bench", at, "--size", "1KiB", "--objects", "1", "--location-settings", file}, "F|canary-f||hello"},
	} {
		out, _ := l.brock(c.args...)
		if got := l.read("settings"); got != c.want {
			t.Errorf("%q: opened with %s, want %s\n%s", c.args, got, c.want, out)
		}
		if warned := strings.Contains(out, "others may read the settings of the location"); warned != slices.Contains(c.args, file) {
			t.Errorf("%q: warns of the file's mode: %v\n%s", c.args, warned, out)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := l.brock("ls", "-l", at, "--location-settings", file); code != 0 || strings.Contains(out, "others may read") {
		t.Errorf("a file of one's own: %d\n%s", code, out)
	}
	out, _ := l.brock("plugin", "doctor", at, "--location-settings", file)
	for _, want := range []string{
		"setting accessKey: from --location-settings\n", "setting secretKey (secret): from --location-settings\n",
		"not given: OTHERS_TOKEN is set, but the plugin does not see it: --plugin-env OTHERS_TOKEN would show it\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	out, _ = l.brock("plugin", "env", "till")
	for _, want := range []string{"TILL_SECRET_KEY", "gives setting secretKey, a secret; till sees what it reads of TILL_*", "--plugin-env OTHERS_TOKEN would show it"} {
		if !strings.Contains(out, want) {
			t.Errorf("env does not say %q:\n%s", want, out)
		}
	}
	for what, settings := range map[string]string{"name another location": "uri: till:///x\n", `unknown setting "colour"`: "colour: red\n", "has no settings": "red\n"} {
		if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := l.brock("ls", "-l", at, "--location-settings", file); code != exitUsage || !strings.Contains(out, what) {
			t.Errorf("%s: %d\n%s", what, code, out)
		}
	}
	l.hunt("canary-e", "canary-t", "canary-f")
}

// What a plugin found out is told, and nothing that a terminal would obey.
func findingsAreTold(t *testing.T, plugins string) {
	t.Helper()
	l := newTill(t, plugins)
	if err := os.Mkdir(l.place, 0o700); err != nil {
		t.Fatal(err)
	}
	out, code := l.brock("plugin", "doctor", "till://"+l.place)
	for _, want := range []string{
		"\nok       credentials           setting secretKey, ", "\nweak     colour                \uFFFD[31mred", "what to do: use black\n", "\nskipped  clock ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d: what is weak works", code)
	}
	out, _ = l.brock("plugin", "doctor", "till://"+l.place+"?clock=true", "--json")
	for _, want := range []string{`"step": "colour",` + "\n      " + `"status": "weak"`, `"step": "clock",` + "\n      " + `"status": "ok"`, `"hint": "use black"`} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %s:\n%s", want, out)
		}
	}
	if n := strings.Count(out, `"step": "clock"`); n != 1 {
		t.Errorf("%d clocks:\n%s", n, out)
	}
	for _, args := range [][]string{{"ls"}, {"info", "till"}, {"env", "till"}, {"doctor", "till://" + l.place}, {"logs", "till"}, {"bench", "till://" + l.place + "?accessKey=deny\x1b"}} {
		if out, _ := l.brock(append([]string{"plugin"}, args...)...); strings.ContainsAny(out, "\x1b\a\u009b") {
			t.Errorf("plugin %s writes %q", args[0], out)
		}
	}
	if out, _ := l.brock("plugin", "info", "till"); !strings.Contains(out, "reads") || !strings.Contains(out, "TILL_WORD, PATH") {
		t.Errorf("info does not tell what it reads:\n%s", out)
	}
}
