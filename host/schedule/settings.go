package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/brock-backup/brock/sdk"
)

// Settings are those of one plugin. They may be secret, and print as "[secret]".
type Settings struct {
	reveal func() map[string]any // which fmt does not call
}

// Reveal returns a copy of them.
func (s Settings) Reveal() map[string]any {
	if s.reveal == nil {
		return map[string]any{}
	}
	return maps.Clone(s.reveal())
}

// IsZero reports whether there are none.
func (s Settings) IsZero() bool { return s.reveal == nil || len(s.reveal()) == 0 }

// String returns "[secret]".
func (s Settings) String() string { return sdk.Secret{}.String() }

// Format prints "[secret]" for every verb.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText returns "[secret]".
func (s Settings) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalYAML takes names and values of any kind.
func (s *Settings) UnmarshalYAML(n *yaml.Node) error {
	m, err := settingsOf(n)
	if err != nil {
		return &valueError{n.Line, err.Error()}
	}
	s.reveal = func() map[string]any { return m }
	return nil
}

// A valueError says what is wrong with a value, without showing it.
type valueError struct {
	line int
	text string
}

func (e *valueError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

func settingsOf(n *yaml.Node) (map[string]any, error) {
	var m map[string]any
	if n.Decode(&m) != nil {
		return nil, errors.New("settings are names and values, as in \"path: /srv\"")
	}
	if _, err := json.Marshal(m); err != nil { // which is how a plugin gets them
		return nil, errors.New("the names of settings are text, and their values text, numbers, true, false, lists or such settings")
	}
	return m, nil
}

// readSettings returns the settings in a file of YAML or JSON. No error shows any.
func readSettings(file string) (map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if yaml.Unmarshal(data, &n) != nil {
		return nil, fmt.Errorf("%s is neither YAML nor JSON: %w", file, sdk.ErrInvalid)
	}
	if len(n.Content) == 0 {
		return map[string]any{}, nil
	}
	m, err := settingsOf(n.Content[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", file, err, sdk.ErrInvalid)
	}
	return m, nil
}

// joined returns the settings of a file, and those beside it, which come first.
func joined(file string, beside Settings) (map[string]any, error) {
	all := map[string]any{}
	if file != "" {
		var err error
		if all, err = readSettings(file); err != nil {
			return nil, err
		}
	}
	maps.Copy(all, beside.Reveal())
	return all, nil
}

// Open returns the settings, with what is in the file now.
func (d *Destination) Open() (map[string]any, error) {
	all, err := joined(d.SettingsFile, d.Settings)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", d.Name, err)
	}
	return all, nil
}

// A scheme has two letters or more, so that a drive letter is none.
var hasScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:/`)

// Location is the URI without user, password and settings.
func (d *Destination) Location() string { return Public(d.URI.RevealString()) }

// Public returns a location as messages and metrics may show it: a URI without user,
// password and settings, or a path.
func Public(uri string) string {
	if !hasScheme.MatchString(uri) {
		return uri
	}
	u, err := url.Parse(uri)
	if err != nil {
		scheme, _, _ := strings.Cut(uri, ":")
		return strings.ToLower(scheme) + "://"
	}
	u.Scheme, u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), nil, "", false, "", ""
	return u.String()
}

// Open returns the name of the key provider, and its settings.
func (k *Key) Open() (provider string, settings map[string]any, err error) {
	switch {
	case k.EncryptionKeyFile != "":
		return "keyfile", map[string]any{"path": k.EncryptionKeyFile}, nil
	case !k.Vault.IsZero():
		return "vaultkeys", k.Vault.Reveal(), nil
	}
	settings, err = joined(k.SettingsFile, k.Settings)
	if err != nil {
		return "", nil, fmt.Errorf("key: %w", err)
	}
	return k.Provider, settings, nil
}

// below makes the path of a file absolute.
func (c *Config) below(path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(filepath.Dir(c.Path), *path)
	}
}

// A Duration is one of [time.ParseDuration], or of days, weeks and years of 365 days, as 30d, 1w12h or 2y.
type Duration time.Duration

var longer = regexp.MustCompile(`^(?:(\d{1,5})y)?(?:(\d{1,5})w)?(?:(\d{1,5})d)?(.*)$`)

// UnmarshalYAML reads it.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	var text string
	wrong := &valueError{n.Line, "a duration is wanted, as 90m, 12h, 30d, 2w or 1y"}
	if n.Kind != yaml.ScalarNode || n.Decode(&text) != nil || text == "" {
		return wrong
	}
	m := longer.FindStringSubmatch(text)
	var sum time.Duration
	for i, unit := range []time.Duration{365 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour} {
		if m[i+1] != "" {
			count, _ := strconv.Atoi(m[i+1])
			sum += min(time.Duration(count), math.MaxInt64/unit) * unit
		}
	}
	if m[4] != "" {
		rest, err := time.ParseDuration(m[4])
		if err != nil || rest < 0 {
			return wrong
		}
		sum += rest
	}
	if sum < 0 {
		return wrong
	}
	*d = Duration(sum)
	return nil
}

// String is the duration as it may be written.
func (d Duration) String() string {
	if day := 24 * time.Hour; d > 0 && time.Duration(d)%day == 0 {
		return fmt.Sprintf("%dd", time.Duration(d)/day)
	}
	return time.Duration(d).String()
}
