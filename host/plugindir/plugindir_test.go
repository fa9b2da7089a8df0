package plugindir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// TestMain lets the test binary be a plugin when it is linked under a
// plugin's name: what it serves follows from the rest of the name.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if strings.HasPrefix(name, "brock-") {
		prepare(name)
	}
	switch {
	case strings.HasSuffix(name, "-broken"):
		os.Exit(7)
	case strings.HasPrefix(name, "brock-destination-"), strings.HasSuffix(name, "-mislabelled"):
		serve(strings.TrimPrefix(name, "brock-destination-"))
	case strings.HasPrefix(name, "brock-keyprovider-"):
		serveKeys(strings.TrimPrefix(name, "brock-keyprovider-"))
	default:
		goleak.VerifyTestMain(m)
	}
}

// prepare leaves a mark in the directory BROCK_TEST_STARTS, and hangs if the
// plugin is the one that BROCK_TEST_HANG names.
func prepare(name string) {
	if dir := os.Getenv("BROCK_TEST_STARTS"); dir != "" {
		f, err := os.CreateTemp(dir, name+"+")
		if err != nil {
			os.Exit(1)
		}
		f.Close()
	}
	if os.Getenv("BROCK_TEST_HANG") == name {
		select {}
	}
}

type config struct {
	URI    string     `json:"uri"`
	Colour string     `json:"colour" env:"RED_COLOUR"`
	Secret sdk.Secret `json:"secret" env:"OTHERS_SECRET"`
}

// serve is a destination in memory that keeps, as an object, the settings it
// was opened with. Its schemes are the parts of its name.
func serve(name string) {
	schemes := strings.Split(name, "-")
	if other := os.Getenv("BROCK_TEST_SCHEME"); other != "" {
		schemes = []string{other}
	}
	sdk.ServeDestination(sdk.Plugin{Name: name, Version: "1", Schemes: schemes, Env: []string{"RED_TRACE", "AWS_TRACE", "LD_TRACE"}},
		func(ctx context.Context, c config) (sdk.Destination, error) {
			m := sdktest.NewMemory()
			return m, errors.Join(
				m.Put(ctx, "settings", strings.NewReader(c.URI+" "+c.Colour)),
				m.Put(ctx, "environment", strings.NewReader(strings.Join(os.Environ(), "\n"))))
		})
}

func serveKeys(name string) {
	sdk.ServeKeyProvider(sdk.Plugin{Name: name, Version: "1"}, func(_ context.Context, c struct {
		Path string `json:"path"`
	},
	) (plainKeys, error) {
		return plainKeys(c.Path), nil
	})
}

// plainKeys wraps nothing and exports its path.
type plainKeys string

func (plainKeys) Wrap(_ context.Context, k []byte) (sdk.WrappedKey, error) {
	return sdk.WrappedKey{Ciphertext: k}, nil
}

func (plainKeys) Unwrap(_ context.Context, w sdk.WrappedKey) ([]byte, error) {
	return w.Ciphertext, nil
}

func (k plainKeys) ExportKey(context.Context) (sdk.Secret, error) {
	return sdk.NewSecret(string(k)), nil
}

// plugins makes a plugin directory of copies of the test binary.
func plugins(t *testing.T, names ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the test binary cannot be linked under another name here")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if os.Link(self, path) != nil {
			copyFile(t, self, path)
		}
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dirs ...string) *Dirs {
	t.Helper()
	d := New(dirs, Options{})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestOpenDestinationHandsSettingsToThePluginOfTheScheme(t *testing.T) {
	d := open(t, plugins(t, "brock-destination-red", "brock-destination-blue-navy"))
	for uri, want := range map[string]string{
		"red://host/x":                          "red://host/x ",
		"navy://me:pw@host/y?colour=dark%20sea": "navy://me:pw@host/y dark sea",
	} {
		opened, err := d.OpenDestination(t.Context(), uri, nil)
		if err != nil {
			t.Errorf("OpenDestination(%s): %v", uri, err)
			continue
		}
		r, err := opened.Destination.Get(t.Context(), "settings", 0)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != want {
			t.Errorf("%s: settings %q, %v; want %q", uri, got, err, want)
		}
		if strings.Contains(opened.URI, "pw") {
			t.Errorf("URI for messages %q shows the password", opened.URI)
		}
	}
}

func TestOpenDestinationOfAnUnknownScheme(t *testing.T) {
	dir := plugins(t, "brock-destination-red", "brock-destination-blue-navy", "brock-destination-broken")
	d := open(t, dir, "/nonexistent")
	_, err := d.OpenDestination(t.Context(), "green://me:pw@host/x", nil)
	if !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("got %v, want an ErrInvalid", err)
	}
	for _, want := range []string{"green://", "blue://, navy://, red://", dir, "/nonexistent"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "pw") {
		t.Errorf("the error shows the password: %v", err)
	}
	var m *misuse
	if !errors.As(err, &m) || !strings.Contains(m.Hint(), "brock-destination-broken") {
		t.Errorf("the hint does not name the plugin that was set aside: %v", err)
	}
}

// A host lives for months: what kept a plugin from starting is not the last word.
func TestAStartThatFailedIsTriedAgainAfterAWhile(t *testing.T) {
	dir := plugins(t, "brock-destination-red")
	path := filepath.Join(dir, "brock-destination-red")
	works := path + ".works"
	if err := errors.Join(os.Rename(path, works), os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	now := time.Now()
	d.now = func() time.Time { return now }
	if _, err := d.OpenDestination(t.Context(), "red://x", nil); err == nil {
		t.Fatal("a plugin that ends at once was opened")
	}
	if err := os.Rename(works, path); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenDestination(t.Context(), "red://x", nil); err == nil {
		t.Error("it was tried again at once")
	}
	now = now.Add(failedFor + 1)
	if _, err := d.OpenDestination(t.Context(), "red://x", nil); err != nil {
		t.Error(err)
	}
}

// Where no plugin can be started, or not the one that is called like the scheme, the
// cause is the error: it is not a matter of what the user asked for.
func TestPluginThatFailsIsTheCause(t *testing.T) {
	for uri, names := range map[string][]string{
		"/plain/path":      {"brock-destination-broken"},
		"broken://somehow": {"brock-destination-broken", "brock-destination-red"},
	} {
		_, err := open(t, plugins(t, names...)).OpenDestination(t.Context(), uri, nil)
		if err == nil || errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "brock-destination-broken") || strings.Contains(err.Error(), "no plugin") {
			t.Errorf("%s: %v, want why the plugin did not start", uri, err)
		}
	}
}

func TestTwoPluginsOfOneSchemeAreRefused(t *testing.T) {
	dir := plugins(t, "brock-destination-red", "brock-destination-red-blue")
	_, err := open(t, dir).OpenDestination(t.Context(), "red://host/x", nil)
	if !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("got %v, want an ErrInvalid", err)
	}
	for _, name := range []string{"brock-destination-red,", "brock-destination-red-blue"} {
		if path := filepath.Join(dir, strings.Trim(name, ",")); !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name %s: %v", path, err)
		}
	}
}

func TestUnknownSettingIsNamed(t *testing.T) {
	_, err := open(t, plugins(t, "brock-destination-red")).OpenDestination(t.Context(), "red://host/x?color=dark", nil)
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "color") {
		t.Errorf("got %v, want an ErrInvalid that names color", err)
	}
}

func TestUntrustedFilesAreSetAside(t *testing.T) {
	chmod := func(mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(make func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := make(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(t *testing.T, path string)
		want   string
	}{
		{"group may write", chmod(0o775), "writable by group or others"},
		{"others may write", chmod(0o757), "writable by group or others"},
		{"sticky and writable", chmod(0o777 | fs.ModeSticky), "writable by group or others"},
		{"not executable", chmod(0o644), "not executable"},
		{"directory", replace(func(p string) error { return os.Mkdir(p, 0o755) }), "not a regular file"},
		{"symbolic link", replace(func(p string) error { return os.Symlink("/bin/true", p) }), "not a regular file"},
		{"not a program", replace(func(p string) error { return os.WriteFile(p, []byte("hello"), 0o755) }), ""},
		{"directory others may write", func(t *testing.T, p string) { chmod(0o777)(t, filepath.Dir(p)) }, "its directory is writable"},
	}
	if os.Geteuid() == 0 {
		tests = append(tests, struct {
			name   string
			change func(t *testing.T, path string)
			want   string
		}{"another owner", func(t *testing.T, p string) {
			if err := os.Chown(p, 12345, 0); err != nil {
				t.Fatal(err)
			}
		}, "owned by user 12345"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "brock-destination-red")
			copyFile(t, "/bin/true", path)
			tt.change(t, path)
			got, err := open(t, dir).Plugins(t.Context())
			if err != nil || len(got) != 1 {
				t.Fatalf("Plugins = %v, %v; want one", got, err)
			}
			if got[0].Err == nil || !strings.Contains(got[0].Err.Error(), tt.want) {
				t.Errorf("set aside because of %v, want %q", got[0].Err, tt.want)
			}
		})
	}
}

// A list of directories with an empty one in it comes from a variable that was
// not set, and must not let plugins of the working directory run.
func TestAnEmptyDirectoryIsNone(t *testing.T) {
	if got, want := New([]string{"", "a", "", "."}, Options{}).Searched(), []string{"a", "."}; !slices.Equal(got, want) {
		t.Errorf("searched are %q, want %q", got, want)
	}
}

func TestPluginsTellsWhatEachIs(t *testing.T) {
	dir := plugins(t, "brock-destination-red", "brock-keyprovider-safe", "brock-keyprovider-mislabelled", "brock-destination-broken", "brock-other-thing")
	second := plugins(t, "brock-destination-red")
	got, err := open(t, dir, second, dir).Plugins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range got {
		line := filepath.Base(p.Path) + " " + p.Description.Kind + " " + p.Description.Name
		switch {
		case p.Err != nil && filepath.Base(p.Path) == "brock-destination-broken":
			line = filepath.Base(p.Path) + " does not start"
		case p.Err != nil:
			line = filepath.Base(p.Path) + " " + strings.ReplaceAll(p.Err.Error(), dir, "DIR")
		}
		lines = append(lines, line)
	}
	want := []string{
		"brock-destination-broken does not start",
		"brock-destination-red destination red",
		"brock-keyprovider-mislabelled named as a keyprovider, but it is a destination",
		"brock-keyprovider-safe keyprovider safe",
		"brock-destination-red hidden by DIR/brock-destination-red",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestOpenKeyProvider(t *testing.T) {
	dir := plugins(t, "brock-keyprovider-safe", "brock-keyprovider-other")
	d := open(t, dir)
	p, err := d.OpenKeyProvider(t.Context(), "safe", map[string]any{"path": "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	x, ok := p.(sdk.KeyExporter)
	if !ok {
		t.Fatal("the key provider exports its key, and what was opened does not")
	}
	secret, err := x.ExportKey(t.Context())
	if err != nil || secret.RevealString() != "0123456789abcdef" {
		t.Errorf("ExportKey = %d bytes, %v", len(secret.Reveal()), err)
	}
	if _, err := d.OpenKeyProvider(t.Context(), "vault", nil); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "other, safe") {
		t.Errorf("unknown provider: %v, want an ErrInvalid that names those there are", err)
	}
}

func TestAPluginIsStartedOnce(t *testing.T) {
	d := open(t, plugins(t, "brock-destination-red"))
	for range 3 {
		if _, err := d.OpenDestination(t.Context(), "red://host/x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.started) != 1 {
		t.Errorf("%d processes, want 1", len(d.started))
	}
}

func TestAnInterruptedStartIsTriedAgain(t *testing.T) {
	d := open(t, plugins(t, "brock-destination-red"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.OpenDestination(ctx, "red://host/x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v, want context.Canceled", err)
	}
	if _, err := d.OpenDestination(t.Context(), "red://host/x", nil); err != nil {
		t.Errorf("the next time: %v", err)
	}
}

// What is closed is of no use any more, and its plugin and other locations still are: a
// host that runs for months opens one for every request.
func TestAnOpenedLocationIsClosed(t *testing.T) {
	d := open(t, plugins(t, "brock-destination-red"))
	var all []*Opened
	for range 2 {
		opened, err := d.OpenDestination(t.Context(), "red://host/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, opened)
	}
	if err := all[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Destination.Get(t.Context(), "settings", 0); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("Get of the one that is closed: %v, want %v", err, sdk.ErrInvalid)
	}
	r, err := all[1].Destination.Get(t.Context(), "settings", 0)
	if err != nil {
		t.Fatalf("Get of the other one: %v", err)
	}
	r.Close()
}
