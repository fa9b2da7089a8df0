//go:build unix

package plugindir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// A round is one command after another with the same cache, of which it is known
// what it starts.
type round struct {
	t     *testing.T
	cache string
	dirs  []string
}

// opens opens a location and returns which plugins were started for that.
func (r round) opens(uri string, env ...string) (string, error) {
	r.t.Helper()
	starts := r.t.TempDir()
	d := New(r.dirs, Options{CacheDir: r.cache, Env: append(env, "BROCK_TEST_STARTS="+starts)})
	defer d.Close()
	_, err := d.OpenDestination(r.t.Context(), uri, nil)
	marks, _ := os.ReadDir(starts)
	var names []string
	for _, m := range marks {
		name, _, _ := strings.Cut(strings.TrimPrefix(m.Name(), "brock-destination-"), "+")
		names = append(names, name)
	}
	return strings.Join(names, " "), err
}

func (r round) wants(uri, started string, env ...string) {
	r.t.Helper()
	got, err := r.opens(uri, env...)
	if err != nil || got != started {
		r.t.Errorf("%s: started %q, %v; want %q", uri, got, err, started)
	}
}

// A command starts the plugin that it needs, and waits for no other.
func TestOnlyTheNeededPluginIsStarted(t *testing.T) {
	t.Parallel()
	for what, locked := range map[string]bool{"open": false, "locked": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := copies(t, "brock-destination-blue", "brock-destination-red", "brock-keyprovider-safe")
			if locked {
				appendTo(t, filepath.Join(dir, "brock-destination-red"), "1")
				lockDir(t, dir)
			} else {
				appendTo(t, filepath.Join(dir, "brock-destination-red"), "1") // another digest, another description
			}
			r := round{t, filepath.Join(t.TempDir(), "cache"), []string{dir}}
			r.wants("red://host/x", "blue red")
			r.wants("red://host/x", "red")
			r.wants("blue://host/x", "blue")
			r.wants("red://host/x", "red", "BROCK_TEST_HANG=brock-destination-blue") // which it does not wait for
		})
	}
}

// What a plugin said once does not outlive its saying otherwise.
func TestAChangedDescriptionIsNoticed(t *testing.T) {
	t.Parallel()
	r := round{t, filepath.Join(t.TempDir(), "cache"), []string{plugins(t, "brock-destination-red")}}
	r.wants("red://host/x", "red")
	if started, err := r.opens("red://host/x", "BROCK_TEST_SCHEME=blue"); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "there are plugins for blue://") || started != "red" {
		t.Errorf("started %q, %v; want what there is now", started, err)
	}
	r.wants("blue://host/x", "red", "BROCK_TEST_SCHEME=blue")

	d := with(t, Options{}, r.dirs...)
	running, err := d.Plugins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.ask(t.Context(), running, func(Plugin) (sdk.Description, bool) { return sdk.Description{Kind: "destination"}, true })
	if name := running[0].Description.Name; name != "red" {
		t.Errorf("of a plugin that runs something else was believed: that it is called %q", name)
	}
}

func TestTheCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	dir := copies(t, "brock-destination-red", "brock-destination-blue")
	appendTo(t, filepath.Join(dir, "brock-destination-blue"), "1")
	path := filepath.Join(dir, "brock-destination-blue")
	digest, err := digestOf(path)
	if err != nil {
		t.Fatal(err)
	}
	r := round{t, filepath.Join(t.TempDir(), "cache"), []string{dir}}
	r.wants("red://host/x", "blue red")
	for what, c := range map[string]struct {
		spoil   func(t *testing.T, cache, entry string) error
		started string
	}{
		"untouched": {func(*testing.T, string, string) error { return nil }, "red"},
		"gone":      {func(_ *testing.T, _, entry string) error { return os.Remove(entry) }, "blue red"},
		"empty":     {func(_ *testing.T, _, entry string) error { return os.Truncate(entry, 0) }, "blue red"},
		"half":      {func(_ *testing.T, _, entry string) error { return os.Truncate(entry, 100) }, "blue red"},
		"other format": {func(t *testing.T, _, entry string) error {
			appendTo(t, entry, "")
			data, err := os.ReadFile(entry)
			return errors.Join(err, os.WriteFile(entry, []byte(strings.Replace(string(data), `"format": 1`, `"format": 2`, 1)), 0o600))
		}, "blue red"},
		"others may write it":  {func(_ *testing.T, _, entry string) error { return os.Chmod(entry, 0o666) }, "blue red"},
		"others may write all": {func(_ *testing.T, cache, _ string) error { return os.Chmod(cache, 0o777) }, "blue red"},
		"a file": {func(_ *testing.T, cache, _ string) error {
			return errors.Join(os.RemoveAll(cache), os.WriteFile(cache, nil, 0o600))
		}, "blue red"},
		"of another digest": {func(_ *testing.T, cache, entry string) error { return os.Rename(other(cache, entry), entry) }, "blue red"},
		"a directory, not file": {func(_ *testing.T, _, entry string) error {
			return errors.Join(os.Remove(entry), os.Mkdir(entry, 0o700))
		}, "blue red"},
	} {
		cache := filepath.Join(t.TempDir(), "cache")
		if err := os.CopyFS(cache, os.DirFS(r.cache)); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(t, cache, filepath.Join(cache, digest.String()+".json")); err != nil {
			t.Fatal(err)
		}
		t.Run(what, func(t *testing.T) { round{t, cache, r.dirs}.wants("red://host/x", c.started) })
	}
}

// other returns the description of another plugin.
func other(cache, entry string) string {
	all, _ := filepath.Glob(filepath.Join(cache, strings.Repeat("[0-9a-f]", 64)+".json"))
	for _, e := range all {
		if e != entry {
			return e
		}
	}
	return ""
}

// A remembered digest is a convenience. Where a lock pins one, the file itself
// has to have it.
func TestARememberedDigestPinsNothing(t *testing.T) {
	t.Parallel()
	dir := copies(t, "brock-destination-red")
	path := filepath.Join(dir, "brock-destination-red")
	lockDir(t, dir)
	lock, err := readLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := round{t, filepath.Join(t.TempDir(), "cache"), []string{dir}}
	r.wants("red://host/x", "red")
	appendTo(t, path, "x")
	id, err := look(path)
	if err != nil {
		t.Fatal(err)
	}
	c := openCache(r.cache)
	defer c.close()
	if d, err := c.digest(path); err != nil || d == lock.Plugins[0].SHA256 {
		t.Fatalf("the file was not changed: %v", err)
	}
	c.write(fileEntry(path), entry{SHA256: lock.Plugins[0].SHA256, File: &id})
	if d, err := c.digest(path); err != nil || d != lock.Plugins[0].SHA256 {
		t.Fatalf("the cache does not lie: %v", err)
	}
	if started, err := r.opens("red://host/x"); err == nil || started != "" || !strings.Contains(sdk.Hint(err), "has changed") {
		t.Errorf("started %q, %v; want nothing, because the file has changed", started, err)
	}
}

func TestDigestsAreRememberedUntilTheFileChanges(t *testing.T) {
	t.Parallel()
	c := openCache(filepath.Join(t.TempDir(), "cache"))
	defer c.close()
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string, at time.Time) Digest {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
		d, err := digestOf(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	entries := func() int {
		all, err := fs.ReadDir(c.root.FS(), ".")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	at := time.Now().Add(-time.Hour)
	for _, text := range []string{"one", "two", "more"} {
		want := write(text, at)
		if got, err := c.digest(path); err != nil || got != want {
			t.Errorf("%s: digest %v, %v; want %v", text, got, err, want)
		}
	}
	if n := entries(); n != 0 {
		t.Errorf("%d entries for a file that has just been changed, and may change again within the same tick", n)
	}
	id, err := look(path)
	if err != nil {
		t.Fatal(err)
	}
	lie := Digest{1}
	c.write(fileEntry(path), entry{SHA256: lie, File: &id})
	if got, err := c.digest(path); err != nil || got != lie {
		t.Errorf("of a file that is as it was: %v, %v; want what is remembered", got, err)
	}
	want := write("MORE", at) // as long, and as old
	if got, err := c.digest(path); err != nil || got != want {
		t.Errorf("of a file that has changed: %v, %v; want %v", got, err, want)
	}
	old := identity{Changed: at.UnixNano(), Modified: at.UnixNano()}
	if !old.settled() || (identity{Changed: time.Now().UnixNano()}).settled() {
		t.Error("a file is settled when it has not changed for a while")
	}
}

func TestTheCacheIsPruned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(dir)
	defer c.close()
	var last Digest
	for i := range 2 * cacheLimit {
		last = Digest{byte(i), byte(i >> 8), 1}
		c.describe(last, sdk.Description{Kind: "destination"})
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) > cacheLimit || len(all) < cacheLimit/2 {
		t.Errorf("%d entries, %v; want at most %d", len(all), err, cacheLimit)
	}
	if _, ok := c.description(last); !ok {
		t.Error("the newest is gone")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v; want mode 0700", info.Mode(), err)
	}
	for _, e := range all {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", e.Name(), info.Mode(), err)
		}
	}
}

// A description comes back as it was, whatever it has.
func TestDescriptionsSurviveTheCache(t *testing.T) {
	t.Parallel()
	c := openCache(filepath.Join(t.TempDir(), "cache"))
	defer c.close()
	for i, want := range []sdk.Description{
		{},
		{Settings: []sdk.Setting{}, Capabilities: []string{}},
		{
			Plugin: sdk.Plugin{Name: "x", Version: "1", Doc: "d", Schemes: []string{"", "x"}, Limits: sdk.Limits{ConcurrentPuts: 1, ObjectSize: 2, PartSize: 3}},
			Kind:   "destination", Protocol: 1, ProtocolMinor: 2, Capabilities: []string{"replace"},
			Settings: []sdk.Setting{{Name: "n", Type: "t", Required: true, Secret: true, Default: "d", Env: "e", Example: "x", Doc: "d"}},
		},
	} {
		d := Digest{byte(i + 1)}
		c.describe(d, want)
		got, ok := c.description(d)
		if !ok || !same(got, want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			t.Errorf("%s, %t; want %s", a, ok, b)
		}
	}
}

func TestCacheDirNeedsAPlaceOfOurs(t *testing.T) {
	home := t.TempDir()
	t.Setenv(EnvCache, "")
	for _, c := range []struct{ home, xdg, env, want string }{
		{home, "", "", filepath.Join(home, ".cache", "brock", "plugins")},
		{home, filepath.Join(home, "x"), "", filepath.Join(home, "x", "brock", "plugins")},
		{home, "", filepath.Join(home, "y"), filepath.Join(home, "y", "plugins")},
		{"/nonexistent/home", "", "", ""},
		{"", "", "", ""},
	} {
		t.Setenv("HOME", c.home)
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		t.Setenv(EnvCache, c.env)
		if got := CacheDir(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if os.Geteuid() != 0 {
		return // nothing here belongs to anybody else
	}
	if err := os.Chown(home, 12345, -1); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	if got := CacheDir(); got != "" {
		t.Errorf("in somebody else's home: %q", got)
	}
}

// A plugin of a directory without a lock is executed from its file, and the log
// says once that nothing pins it.
func TestUnlockedPluginsAreNoticedOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	dir := plugins(t, "brock-destination-red", "brock-destination-blue", "brock-keyprovider-safe")
	logger := hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info})
	d := with(t, Options{Logger: logger}, dir)
	if _, err := d.Plugins(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if n := strings.Count(log.String(), "not locked"); n != 1 || !strings.Contains(log.String(), dir) {
		t.Errorf("%d notices, want one that names %s:\n%s", n, dir, &log)
	}
}

func TestPluginsAreRevived(t *testing.T) {
	t.Parallel()
	d := with(t, Options{}, plugins(t, "brock-destination-red"))
	opened, err := d.OpenDestination(t.Context(), "red://host/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := d.started[opened.Plugin.Path].s.Pid(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil || p.Kill() != nil {
		t.Fatal(err)
	}
	for range 100 { // until it has been noticed, operations may fail
		if err = opened.Destination.Delete(t.Context(), "a"); err == nil {
			break
		}
	}
	again, err2 := d.started[opened.Plugin.Path].s.Pid(t.Context())
	if err != nil || err2 != nil || again == pid {
		t.Errorf("after its end: process %d, %v, %v; want another one", again, err, err2)
	}
	if s := d.state(opened.Plugin); s != launch.Ready {
		t.Errorf("state %q", s)
	}
	want := Running{"brock-destination-red", launch.Ready, 1}
	if running := d.Running(); len(running) != 1 || running[0] != want {
		t.Errorf("running %+v; want %+v", running, want)
	}
}

// A plugin that serves more than it once said, because of what it runs with, is
// found all the same.
func TestADescriptionThatIsTooOldHidesNothing(t *testing.T) {
	t.Parallel()
	r := round{t, filepath.Join(t.TempDir(), "cache"), []string{plugins(t, "brock-destination-red")}}
	r.wants("red://host/x", "red")
	r.wants("blue://host/x", "red", "BROCK_TEST_SCHEME=blue")
}

// A log is a file of ours: nobody's link leads it into another one, and no pipe
// keeps a command waiting.
func TestALogIsAFileOfOurs(t *testing.T) {
	t.Parallel()
	for what, make := range map[string]func(path, victim string) error{
		"link": func(path, victim string) error { return os.Symlink(victim, path) },
		"pipe": func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
		path := logPath(dir, "brock-destination-x")
		if err := errors.Join(os.WriteFile(victim, nil, 0o600), make(path, victim)); err != nil {
			t.Fatal(err)
		}
		l := newLogFile(dir, "brock-destination-x")
		if _, err := l.Write([]byte("line\n")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if data, err := os.ReadFile(victim); err != nil || len(data) > 0 {
			t.Errorf("%s: %q was written through it, %v", what, data, err)
		}
		_, _ = LogLines(dir, "x", 1) // it returns
	}
}
