package launch

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk"
)

func init() {
	roles["leaky"] = func() {
		sdk.ServeDestination(sdk.Plugin{Name: "leaky", Version: "1", Schemes: []string{"leaky"}}, openLeaky)
	}
	roles["leaky keys"] = func() { sdk.ServeKeyProvider(sdk.Plugin{Name: "leaky", Version: "1"}, openLeakyKeys) }
}

// leakyConfig has every way in which a secret reaches a plugin.
type leakyConfig struct {
	URI      string                  `json:"uri"`
	Token    sdk.Secret              `json:"token"`
	Variable sdk.Secret              `json:"variable" env:"CANARY_VARIABLE"`
	Accounts map[string]leakyAccount `json:"accounts"`
	Refuse   bool                    `json:"refuse"`
	Region   string                  `json:"region" env:"CANARY_REGION"`
}

type leakyAccount struct {
	Keys []sdk.Secret `json:"keys"`
}

// secrets are those of the settings, and of the environment.
func (c leakyConfig) secrets() []string {
	all := []string{c.Token.RevealString(), c.Variable.RevealString(), os.Getenv("CANARY_LIBRARY")}
	if u, err := url.Parse(c.URI); err == nil {
		password, _ := u.User.Password()
		all = append(all, c.URI, password)
	}
	for _, a := range c.Accounts {
		for _, k := range a.Keys {
			all = append(all, k.RevealString())
		}
	}
	return all
}

// leak does with secrets what no plugin should.
func leak(deed string, secrets []string) error {
	all := strings.Join(secrets, " ")
	switch deed {
	case "print":
		for _, s := range secrets {
			quoted, _ := json.Marshal(s)
			fmt.Fprintf(os.Stderr, "%s %q %s %x %X %v\n", s, s, quoted, s, s, []byte(s))
			fmt.Fprintln(os.Stderr, base64.StdEncoding.EncodeToString([]byte(s)), url.QueryEscape(s), url.PathEscape(s))
			fmt.Fprintf(os.Stderr, `{"@level":"error","@message":%s,"k":{"nested":[%s]}}`+"\n", quoted, quoted)
			sdk.Logger().Error(s, s, s, "error", errors.New(s))
			print(s)
		}
	case "fail":
		return sdk.WithHint(fmt.Errorf("fails with %s: %w", all, sdk.ErrPermission), "hint with "+all)
	case "panic":
		panic(all)
	case "panic error":
		panic(errors.New(all))
	case "crash":
		go panic(all)
		select {}
	case "exit":
		fmt.Fprintln(os.Stderr, all)
		os.Exit(3)
	}
	return nil
}

type leaky struct {
	*memory
	config leakyConfig
}

func openLeaky(_ context.Context, c leakyConfig) (*leaky, error) {
	if c.Refuse {
		return nil, leak("fail", c.secrets())
	}
	return &leaky{&memory{objects: map[string][]byte{}}, c}, nil
}

// Version does the deed that the object is called after.
func (l *leaky) Version(_ context.Context, deed string) (string, error) {
	return "", leak(deed, l.config.secrets())
}

type leakyKeys struct{ config leakyConfig }

func openLeakyKeys(_ context.Context, c leakyConfig) (*leakyKeys, error) { return &leakyKeys{c}, nil }

// Wrap does the deed that the data key ends with. The key's id says whether the
// process can be dumped.
func (k *leakyKeys) Wrap(_ context.Context, key []byte) (sdk.WrappedKey, error) {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	_, deed, _ := strings.Cut(string(key), "|")
	return sdk.WrappedKey{KeyID: strconv.Itoa(dumpable), Ciphertext: []byte(hex.EncodeToString(key))},
		leak(deed, append(k.config.secrets(), string(key)))
}

// Unwrap and ExportKey print what the host does not know before they return.
func (k *leakyKeys) Unwrap(_ context.Context, w sdk.WrappedKey) ([]byte, error) {
	key, err := hex.DecodeString(string(w.Ciphertext))
	return key, errors.Join(err, leak("print", []string{string(key)}))
}

func (k *leakyKeys) ExportKey(context.Context) (sdk.Secret, error) {
	return k.config.Token, leak("print", []string{k.config.Token.RevealString()})
}

// A coop has the canaries of one test, and everything that is said where they
// could be seen.
type coop struct {
	t              *testing.T
	canaries       []string
	stderr, logged buffer
	said           strings.Builder
	process        *Process
	trace          string
}

// hatch returns a new canary. It has characters that are escaped here and there.
func (c *coop) hatch() string {
	s := rand.Text() + ` <"&ü/%` + rand.Text()
	c.canaries = append(c.canaries, s)
	return s
}

func (c *coop) start(role string, env ...string) {
	c.trace = c.t.TempDir()
	c.process = start(c.t, role, Options{
		Env: env, Stderr: &c.stderr, TraceDir: c.trace,
		Logger: hclog.New(&hclog.LoggerOptions{Output: &c.logged, Level: hclog.Trace}),
	})
}

// settings has canaries wherever a user can write secrets.
func (c *coop) settings() map[string]any {
	return map[string]any{
		"uri":   (&url.URL{Scheme: "leaky", Host: "host", User: url.UserPassword("user", c.hatch())}).String(),
		"token": c.hatch(), // as it comes out of a URI's query
		"accounts": map[string]any{
			"a": map[string]any{"keys": []any{sdk.NewSecret(c.hatch()), c.hatch()}},
			"b": struct {
				Keys []string `json:"keys"`
			}{[]string{c.hatch()}},
		},
	}
}

// note keeps an error in every way that it may be shown.
func (c *coop) note(err error) {
	c.t.Helper()
	if err == nil {
		c.t.Error("no error")
		return
	}
	fmt.Fprintf(&c.said, "%v\n%+v\n%#v\n%s\n", err, err, err, sdk.Hint(err))
}

// hunt looks for the canaries everywhere.
func (c *coop) hunt() {
	c.t.Helper()
	places := map[string]string{
		"the errors":                 c.said.String(),
		"standard error":             c.stderr.String(),
		"the host's log":             c.logged.String(),
		"the last words":             strings.Join(c.process.Stderr(), "\n"),
		"what the processes can see": processes(c.t),
		"the run directory":          files(c.t, c.process.runner.dir),
		"the trace":                  files(c.t, c.trace),
	}
	if !strings.Contains(places["the trace"], "Open") {
		c.t.Errorf("nothing was traced: %.200q", places["the trace"])
	}
	for place, text := range places {
		for _, canary := range c.canaries {
			first, last := canary[:26], canary[len(canary)-26:] // what no escape changes
			for _, form := range []string{
				first, last, hex.EncodeToString([]byte(first)), strings.ToUpper(hex.EncodeToString([]byte(first))),
				base64.StdEncoding.EncodeToString([]byte(first[:24])),
			} {
				if i := strings.Index(text, form); i >= 0 {
					c.t.Errorf("a canary is in %s: %q", place, text[max(0, i-100):min(len(text), i+100)])
					break
				}
			}
		}
	}
}

// processes returns the arguments and the environment of every process there
// is, except for the variables that the user named for the plugin.
func processes(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"cmdline", "environ"} {
		paths, err := filepath.Glob("/proc/[0-9]*/" + name)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%d processes, %v", len(paths), err)
		}
		for _, path := range paths {
			data, _ := os.ReadFile(path) // it may be gone, or closed to us and so to all others
			for v := range strings.SplitSeq(string(data), "\x00") {
				if !strings.HasPrefix(v, "CANARY_") {
					all.WriteString(v + "\n")
				}
			}
		}
	}
	return all.String()
}

// files returns the names and the contents of all files in a directory. It may
// be gone.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		all.WriteString(path + "\n")
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// coreless reports whether a process may dump no core.
func (c *coop) coreless() {
	c.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.process.Pid()))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); f[0] != "0" || f[1] != "0" {
				c.t.Errorf("limits of a core: %s", rest)
			}
			return
		}
	}
	c.t.Error("nothing limits a core")
}

func TestNoCanaryOfADestinationEscapes(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"crash", "exit"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			c := &coop{t: t}
			c.start("leaky", "CANARY_VARIABLE="+c.hatch(), "CANARY_LIBRARY="+c.hatch(), "CANARY_REGION=eu-west-1")
			c.coreless()
			settings := c.settings()
			d := openDestination(t, c.process, settings).(sdk.Replacer)
			for _, deed := range []string{"print", "fail", "panic", "panic error", end} {
				if _, err := d.Version(t.Context(), deed); deed != "print" {
					c.note(err)
				}
			}
			c.hunt()
			c.start("leaky", "CANARY_VARIABLE="+c.canaries[0], "CANARY_LIBRARY="+c.canaries[1])
			settings["refuse"] = true
			_, err := c.process.OpenDestination(t.Context(), settings)
			c.note(err)
			c.hunt()
		})
	}
}

func TestNoCanaryOfAKeyProviderEscapes(t *testing.T) {
	t.Parallel()
	c := &coop{t: t}
	c.start("leaky keys", "CANARY_VARIABLE="+c.hatch())
	c.coreless()
	k, err := c.process.OpenKeyProvider(t.Context(), c.settings())
	if err != nil {
		t.Fatal(err)
	}
	w, err := k.Wrap(t.Context(), []byte(c.hatch()+"|print"))
	if err != nil {
		t.Fatal(err)
	}
	if w.KeyID != "0" {
		t.Errorf("dumpable is %s in a key provider; want 0", w.KeyID)
	}
	for _, key := range []string{c.hatch(), c.hatch()} { // the host sees them only when they come back
		w.Ciphertext = []byte(hex.EncodeToString([]byte(key)))
		if _, err := k.Unwrap(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.(sdk.KeyExporter).ExportKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, deed := range []string{"fail", "panic", "crash"} {
		_, err := k.Wrap(t.Context(), []byte(c.hatch()+"|"+deed))
		c.note(err)
	}
	c.hunt()
}

// What the plugin says before it has described itself is the host's business,
// too.
func TestNoCanaryEscapesBeforeTheDescription(t *testing.T) {
	t.Parallel()
	c := &coop{t: t}
	secret := c.hatch()
	for _, role := range []string{"canary early", "canary noise"} {
		_, err := try(t, role, Options{
			Env: []string{"CANARY_VARIABLE=" + secret}, Stderr: &c.stderr,
			Logger: hclog.New(&hclog.LoggerOptions{Output: &c.logged, Level: hclog.Trace}),
		})
		c.note(err)
	}
	all := c.said.String() + c.stderr.String() + c.logged.String()
	if !strings.Contains(all, "variable is [secret]") {
		t.Errorf("it did not say what it should: %.300q", all)
	}
	if strings.Contains(all, secret[:26]) {
		t.Errorf("a canary escaped: %.500q", all)
	}
}

func init() {
	roles["canary early"] = func() {
		fmt.Fprintln(os.Stderr, "variable is", os.Getenv("CANARY_VARIABLE"))
		os.Exit(1)
	}
	roles["canary noise"] = func() { print("variable is", os.Getenv("CANARY_VARIABLE")) }
}
