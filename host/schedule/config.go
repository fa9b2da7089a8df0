package schedule

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/go-hclog"
	"gopkg.in/yaml.v3"

	"github.com/brock-backup/brock/sdk"
)

// A Config is what brock.yaml says. Relative paths in it are below its directory.
type Config struct {
	Destinations    []Destination     `yaml:"destinations"`
	Key             *Key              `yaml:"key"` // of backups; nil: they are not encrypted
	PluginDirs      []string          `yaml:"plugin_dirs"`
	PluginTrust     string            `yaml:"plugin_trust"`      // open or locked; "" is open
	PluginEnv       []string          `yaml:"plugin_env"`        // names of variables that plugins see
	PluginLogLevels map[string]string `yaml:"plugin_log_levels"` // by plugin; default is for all others
	Schedules       []Schedule        `yaml:"schedules"`

	Path     string   `yaml:"-"` // of the file
	Warnings []string `yaml:"-"` // of what is not wrong, but unwise

	lines map[string]int // of its keys
}

// A Destination is a location by the name that schedules use.
type Destination struct {
	Name         string     `yaml:"name"`
	URI          sdk.Secret `yaml:"uri"` // may hold settings
	Settings     Settings   `yaml:"settings"`
	SettingsFile string     `yaml:"settings_file"` // with more of them, read whenever they are needed
	Anonymous    bool       `yaml:"anonymous"`
	Prove        bool       `yaml:"prove"` // incremental backups carry a fingerprint of the whole database

	line int
}

// A Key is that of backups: in a file, in Vault, or with any other key provider.
type Key struct {
	EncryptionKeyFile string   `yaml:"encryption_key_file"`
	Vault             Settings `yaml:"vault"` // of the plugin vaultkeys
	Provider          string   `yaml:"provider"`
	Settings          Settings `yaml:"settings"`
	SettingsFile      string   `yaml:"settings_file"`

	line int
}

// A Schedule says what is done when.
type Schedule struct {
	Name        string   `yaml:"name"`
	Destination string   `yaml:"destination"` // may be left out where there is one
	Cron        string   `yaml:"cron"`        // in local time, unless it begins with TZ=
	Do          Do       `yaml:"do"`
	Keep        Keep     `yaml:"keep"`    // of prune
	Verify      Mode     `yaml:"verify"`  // of verify
	Jitter      Duration `yaml:"jitter"`  // a run begins up to that much later
	Timeout     Duration `yaml:"timeout"` // of one attempt; 0: none

	slots slots
	line  int
}

// Do is what a schedule does.
type Do string

// What a schedule can do.
const (
	Full        Do = "full"
	Incremental Do = "incremental"
	Verify      Do = "verify"
	Prune       Do = "prune"
)

// order is that of what is due at the same time.
var order = []Do{Full, Incremental, Verify, Prune}

// Mode is how much a verification looks at.
type Mode string

// How much a verification looks at.
const (
	Shallow Mode = "shallow" // seals and sizes
	Deep    Mode = "deep"    // every byte of the latest chain
	Sample  Mode = "sample"  // every byte of a chain chosen by chance
	Restore Mode = "restore" // the latest chain is restored and compared
)

var modes = []Mode{Shallow, Deep, Sample, Restore}

// Keep says which backups a pruning leaves. With none of it, only rubbish goes.
type Keep struct {
	Last    int      `yaml:"last"`
	Hourly  int      `yaml:"hourly"`
	Daily   int      `yaml:"daily"`
	Weekly  int      `yaml:"weekly"`
	Monthly int      `yaml:"monthly"`
	Yearly  int      `yaml:"yearly"`
	Within  Duration `yaml:"within"`
}

// IsZero reports whether there are no rules.
func (k Keep) IsZero() bool { return k == Keep{} }

// maxConfig is how large a configuration may be.
const maxConfig = 1 << 20

// Load reads a configuration and examines it. All that is wrong is in one
// [ConfigError]. No error shows a setting.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &ConfigError{[]string{err.Error()}}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	p := &problems{file: path}
	if len(data) > maxConfig {
		p.add(0, "larger than %d bytes", maxConfig)
		return nil, p.err()
	}
	c := &Config{Path: abs}
	decode(p, data, c)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.check(p)
	if err := p.err(); err != nil {
		return nil, err
	}
	if c.secret() {
		c.mode(abs)
	}
	return c, nil
}

// Destination returns the one of that name, or nil.
func (c *Config) Destination(name string) *Destination {
	for i := range c.Destinations {
		if c.Destinations[i].Name == name {
			return &c.Destinations[i]
		}
	}
	return nil
}

// LogLevels are those of the plugins, as plugindir.Options wants them.
func (c *Config) LogLevels() map[string]hclog.Level {
	levels := map[string]hclog.Level{}
	for name, text := range c.PluginLogLevels {
		if name == "default" {
			name = ""
		}
		levels[name] = hclog.LevelFromString(text)
	}
	return levels
}

// secret reports whether the file itself holds what others should not read.
func (c *Config) secret() bool {
	if k := c.Key; k != nil && (!k.Settings.IsZero() || !k.Vault.IsZero()) {
		return true
	}
	for i := range c.Destinations {
		d := &c.Destinations[i]
		if uri := d.URI.RevealString(); !d.Settings.IsZero() || hasScheme.MatchString(uri) && d.Location() != uri {
			return true
		}
	}
	return false
}

// mode warns of a file that others may read.
func (c *Config) mode(file string) {
	info, err := os.Stat(file)
	if err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("others may read the settings in %s, whose mode is %04o: chmod 0600 the file", file, info.Mode().Perm()))
	}
}

// UnmarshalYAML remembers the line.
func (d *Destination) UnmarshalYAML(n *yaml.Node) error {
	type plain Destination
	err := n.Decode((*plain)(d))
	d.line = n.Line
	return err
}

// UnmarshalYAML remembers the line.
func (k *Key) UnmarshalYAML(n *yaml.Node) error {
	type plain Key
	err := n.Decode((*plain)(k))
	k.line = n.Line
	return err
}

// UnmarshalYAML remembers the line.
func (s *Schedule) UnmarshalYAML(n *yaml.Node) error {
	type plain Schedule
	err := n.Decode((*plain)(s))
	s.line = n.Line
	return err
}
