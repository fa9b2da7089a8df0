package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "brock.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(configFile(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const everything = `
destinations:
  - name: near
    uri: backups
  - name: far
    uri: s3:///acme-dr/dgraph?secretKey=canary-in-uri
    settings: { accessKey: AKIA, secretKey: canary-in-settings, part_size: 64MiB, path_style: true }
    settings_file: s3.yaml
  - { name: read, uri: /srv/x, anonymous: true }
key:
  vault: { addr: "http://localhost:8200", role_id_file: role_id, secret_id_file: /etc/secret_id, field: enc_key }
plugin_dirs: [plugins, /usr/lib/brock]
plugin_trust: locked
plugin_env: [HTTPS_PROXY]
plugin_log_levels: { default: warn, s3: debug }
schedules:
  - { name: weekly, destination: far, do: full, cron: "0 2 * * sun", jitter: 10m, timeout: 12h }
  - { name: hourly, destination: far, do: incremental, cron: "@hourly" }
  - { name: nightly, destination: far, do: verify, verify: restore, cron: "TZ=Europe/Berlin 30 3 * * *" }
  - { name: sample, destination: near, do: verify, cron: "@daily" }
  - name: tidy
    destination: far
    do: prune
    cron: "0 5 * * *"
    keep: { last: 2, daily: 7, weekly: 4, monthly: 12, yearly: 3, hourly: 24, within: 2w1d12h }
`

func TestLoad(t *testing.T) {
	file := configFile(t, everything)
	dir := filepath.Dir(file)
	if err := os.WriteFile(filepath.Join(dir, "s3.yaml"), []byte("secretKey: canary-in-file\nregion: eu-central-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
	if uri := c.Destination("near").URI.RevealString(); uri != filepath.Join(dir, "backups") {
		t.Errorf("a path is relative to the file: %s", uri)
	}
	far := c.Destination("far")
	got, err := far.Open()
	want := map[string]any{"accessKey": "AKIA", "secretKey": "canary-in-settings", "part_size": "64MiB", "path_style": true, "region": "eu-central-1"}
	if err != nil || !reflect.DeepEqual(got, want) || far.Location() != "s3:///acme-dr/dgraph" {
		t.Errorf("far: %v, %v at %s; want %v", got, err, far.Location(), want)
	}
	if !c.Destination("read").Anonymous || c.Destination("nowhere") != nil {
		t.Error("destinations are wrong")
	}
	provider, settings, err := c.Key.Open()
	if err != nil || provider != "vaultkeys" || settings["role_id_file"] != filepath.Join(dir, "role_id") || settings["secret_id_file"] != "/etc/secret_id" || settings["field"] != "enc_key" {
		t.Errorf("key: %s, %v, %v", provider, settings, err)
	}
	if !reflect.DeepEqual(c.PluginDirs, []string{filepath.Join(dir, "plugins"), "/usr/lib/brock"}) || c.PluginTrust != "locked" || c.PluginEnv[0] != "HTTPS_PROXY" {
		t.Errorf("plugins: %q, %s, %q", c.PluginDirs, c.PluginTrust, c.PluginEnv)
	}
	if levels := c.LogLevels(); levels[""] != hclog.Warn || levels["s3"] != hclog.Debug || len(levels) != 2 {
		t.Errorf("levels %v", levels)
	}
	if s := c.Schedules[0]; s.Do != Full || time.Duration(s.Jitter) != 10*time.Minute || time.Duration(s.Timeout) != 12*time.Hour {
		t.Errorf("weekly: %+v", s)
	}
	if c.Schedules[2].Verify != Restore || c.Schedules[3].Verify != Deep {
		t.Errorf("verify %q and %q", c.Schedules[2].Verify, c.Schedules[3].Verify)
	}
	keep := Keep{Last: 2, Hourly: 24, Daily: 7, Weekly: 4, Monthly: 12, Yearly: 3, Within: Duration((15*24 + 12) * time.Hour)}
	if c.Schedules[4].Keep != keep {
		t.Errorf("keep %+v; want %+v", c.Schedules[4].Keep, keep)
	}
}

// Nothing that prints a configuration prints its secrets.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := load(t, strings.ReplaceAll(everything, "    settings_file: s3.yaml\n", "")+"\n")
	c.Key.Settings, c.Key.Vault = c.Destinations[1].Settings, c.Destinations[1].Settings
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(data), fmt.Sprintf("%v %+v %#v %v", c, *c, c.Destinations, c.Destinations[1]), fmt.Sprint(c.Key.Settings, *c.Key), fmt.Sprintf("%+v", *c.Key),
	} {
		if strings.Contains(text, "canary") || strings.Contains(text, "AKIA") {
			t.Errorf("a secret is printed: %s", text)
		}
	}
	var b strings.Builder
	if err := Check(&b, c, filepath.Join(t.TempDir(), "state"), time.Now()); err != nil || strings.Contains(b.String(), "canary") {
		t.Errorf("%v:\n%s", err, &b)
	}
}

func TestLoadRefuses(t *testing.T) {
	const d = "destinations: [{name: d, uri: /d}]\n"
	for text, want := range map[string]string{
		"destnations: []":                                      `:1: unknown key "destnations" in the configuration, did you mean "destinations"? (known: destinations, key, plugin_dirs,`,
		"a: 1\nb: 2":                                           `:2: unknown key "b"`,
		d + "schedules:\n- name: a\n  crn: x":                  `:4: unknown key "crn" in "schedules", did you mean "cron"?`,
		d + "schedules:\n- keep: {weeks: 3}":                   `:3: unknown key "weeks" in "keep"`,
		d + "schedules:\n- keep: {dailly: 3}":                  `did you mean "daily"?`,
		"x: &x {uri: a}\ndestinations: [{<<: *x}]":             `:1: unknown key "x"`,
		"destinations: {name: d}":                              ":1: a list is wanted",
		"destinations: [d]":                                    ":1: names and values are wanted",
		"key: text":                                            ":1: names and values are wanted",
		"just text":                                            ":1: names and values are wanted",
		d + "---\n" + d:                                        "one document is wanted",
		"key: {provider: a}\nkey: {provider: b}":               ":2: a key stands there for the second time",
		"destinations:\n\t- name: x":                           "not YAML",
		"plugin_trust: maybe":                                  ":1: plugin_trust is open or locked",
		"\nplugin_log_levels: {s3: loud}":                      ":2: plugin_log_levels: s3: there are trace",
		"destinations: [{uri: /d}]":                            ":1: a destination needs a name",
		"destinations: [{name: ../x, uri: /d}]":                ":1: a destination needs a name",
		"destinations: [{name: d}]":                            ":1: destination d has no uri",
		"destinations: [{name: d, uri: /d, settings: canary}]": ":1: settings are names and values",
		"destinations: [{name: d, uri: /d, settings: {1: canary, [x]: y}}]": ":1: ",
		"destinations: [{name: d, uri: /d},\n {name: d, uri: /e}]":          ":2: there are two destinations called d",
		"key: {}": ":1: a key is one of",
		"key: {provider: a, encryption_key_file: b}":                                                   ":1: a key is one of",
		"key: {encryption_key_file: b, settings: {a: canary}}":                                         "settings are those of a provider",
		d + "schedules: [{name: a}]":                                                                   "schedule a: do is one of full, incremental, verify and prune\n",
		d + "schedules: [{do: full, cron: '@daily'}]":                                                  "schedule without a name: a name has",
		"schedules: [{name: a, do: full, cron: '@daily'}]":                                             "name its destination",
		d + "schedules: [{name: a, do: full, cron: '@daily', destination: e}]":                         `there is no destination called "e"`,
		d + "schedules: [{name: a, do: full, cron: 'daily'}]":                                          "cron: expected exactly 5 fields",
		d + "schedules: [{name: a, do: full, cron: '0 0 31 2 *'}]":                                     "cron: that day never comes",
		d + "schedules: [{name: a, do: full, cron: '@hourly', jitter: 1h}]":                            "a jitter of 1h0m0s is no shorter than the 1h0m0s between two runs",
		d + "schedules: [{name: a, do: full, cron: '@hourly', jitter: -1h}]":                           "a duration is wanted",
		d + "schedules: [{name: a, do: full, cron: '@hourly', timeout: 5}]":                            "a duration is wanted",
		d + "schedules: [{name: a, do: full, cron: '@hourly', keep: {last: 1}}]":                       "what to keep is said of what does prune",
		d + "schedules: [{name: a, do: full, cron: '@hourly', verify: deep}]":                          "how to verify is said of what does verify",
		d + "schedules: [{name: a, do: verify, cron: '@hourly', verify: glance}]":                      "verify is one of shallow, deep, sample and restore",
		d + "schedules: [{name: a, do: prune, cron: '@hourly', keep: {last: -1}}]":                     "so many backups cannot be kept",
		d + "schedules: [{name: a, do: prune, cron: '@hourly', keep: {last: canary}}]":                 ":2: a number is wanted",
		d + "schedules: [{name: a, do: prune, cron: '@hourly', keep: {last: 1.5}}]":                    ":2: a whole number is wanted",
		d + "schedules:\n- {name: a, do: full, cron: '@daily'}\n- {name: a, do: full, cron: '@daily'}": ":4: there are two schedules called a",
	} {
		_, err := Load(configFile(t, text))
		switch {
		case err == nil:
			t.Errorf("%s: no error", text)
		case !strings.Contains(err.Error()+"\n", want) || !errors.Is(err, sdk.ErrInvalid) || sdk.Hint(err) == "":
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		case strings.Contains(err.Error(), "canary"):
			t.Errorf("%s: the error shows a value: %v", text, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(configFile(t, strings.Repeat("#", maxConfig+1))); err == nil {
		t.Error("too large: no error")
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "30d": 30 * day, "1w12h": 7*day + 12*time.Hour, "2y": 730 * day, "1y1w1d1h": 373*day + time.Hour,
		"30501w": math.MaxInt64 / (7 * day) * 7 * day, // for ever
	} {
		c := load(t, "destinations: [{name: d, uri: /d}]\nschedules: [{name: a, do: prune, cron: '@hourly', keep: {within: "+text+"}}]\n")
		if got := time.Duration(c.Schedules[0].Keep.Within); got != want {
			t.Errorf("%s is %v; want %v", text, got, want)
		}
	}
}

func TestLoadTakes(t *testing.T) {
	for _, text := range []string{
		"", "# nothing\n", "destinations: []", "plugin_dirs:", "key:", "schedules: []",
		"destinations:\n- &d {name: d, uri: /d}\n- {<<: *d, name: e}\n",
		`{"destinations": [{"name": "d", "uri": "/d"}]}`,
	} {
		if _, err := Load(configFile(t, text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFilesThatOthersMayRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chmod(file, 0o644)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	settings, key := write("s3.yaml", "a: b"), write("key", "k")
	for text, want := range map[string]string{
		"destinations: [{name: d, uri: /d}]":                           "",
		"destinations: [{name: d, uri: 's3:///b'}]":                    "",
		"destinations: [{name: d, uri: 's3:///b?a=b'}]":                "brock.yaml",
		"destinations: [{name: d, uri: 's3://a:b@c/b'}]":               "brock.yaml",
		"destinations: [{name: d, uri: /d, settings: {a: b}}]":         "brock.yaml",
		"key: {provider: p, settings: {a: b}}":                         "brock.yaml",
		"key: {provider: p, settings_file: s3.yaml}":                   settings,
		"destinations: [{name: d, uri: /d, settings_file: ./s3.yaml}]": settings,
		"key: {encryption_key_file: key}":                              key,
	} {
		c, err := Load(write("brock.yaml", text))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(c.Warnings, "\n")
		if want == "" && got != "" || !strings.Contains(got, want) || want != "" && (len(c.Warnings) != 1 || !strings.Contains(got, "0644")) {
			t.Errorf("%s: warnings %q; want one of %q", text, got, want)
		}
	}
}

func TestSettingsFileThatIsNone(t *testing.T) {
	file := configFile(t, "destinations: [{name: d, uri: /d, settings_file: s.yaml}]")
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"canary", "[canary]", "a: [canary", "{canary: {[1]: 2}}"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), "s.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Destinations[0].Open(); err == nil || strings.Contains(err.Error(), "canary") || !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if err := os.Remove(filepath.Join(filepath.Dir(file), "s.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Destinations[0].Open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestPublic(t *testing.T) {
	for uri, want := range map[string]string{
		"/srv/a?b":                           "/srv/a?b", // a path is what it is
		"S3://u:p@host/b/p?secretKey=x#frag": "s3://host/b/p",
		"s3:///bucket":                       "s3:///bucket",
		"https://a.b/c?sig=x":                "https://a.b/c",
		"s3://u:p%@host/%zz?x=y":             "s3://",
	} {
		if got := Public(uri); got != want {
			t.Errorf("Public(%s) = %s; want %s", uri, got, want)
		}
	}
}
