package schedule

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Names are also labels of metrics and keys of the state file.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// maxSchedules bounds the metrics, and the work of a scheduler.
const maxSchedules = 256

// check examines what was read, and makes paths absolute.
func (c *Config) check(p *problems) {
	for i := range c.PluginDirs {
		c.below(&c.PluginDirs[i])
	}
	if c.PluginTrust != "" && c.PluginTrust != "open" && c.PluginTrust != "locked" {
		p.add(c.lines["plugin_trust"], "plugin_trust is open or locked")
	}
	for name, level := range c.PluginLogLevels {
		if hclog.LevelFromString(level) == hclog.NoLevel {
			p.add(c.lines["plugin_log_levels"], "plugin_log_levels: %s: there are trace, debug, info, warn, error and off", name)
		}
	}
	c.checkDestinations(p)
	if c.Key != nil {
		c.checkKey(p, c.Key)
	}
	if len(c.Schedules) > maxSchedules {
		p.add(c.lines["schedules"], "%d schedules; there may be %d", len(c.Schedules), maxSchedules)
		return
	}
	names := map[string]bool{}
	for i := range c.Schedules {
		s := &c.Schedules[i]
		if names[s.Name] {
			p.add(s.line, "there are two schedules called %s", s.Name)
		}
		names[s.Name] = true
		for _, text := range c.wrong(s) {
			p.add(s.line, "schedule %s: %s", cmp.Or(s.Name, "without a name"), text)
		}
	}
}

func (c *Config) checkDestinations(p *problems) {
	names := map[string]bool{}
	for i := range c.Destinations {
		d := &c.Destinations[i]
		uri := d.URI.RevealString()
		switch {
		case !validName.MatchString(d.Name):
			p.add(d.line, "a destination needs a name of letters, digits, dots and dashes")
		case names[d.Name]:
			p.add(d.line, "there are two destinations called %s", d.Name)
		case uri == "":
			p.add(d.line, "destination %s has no uri", d.Name)
		}
		names[d.Name] = true
		if uri != "" && !hasScheme.MatchString(uri) {
			c.below(&uri)
			_ = d.URI.UnmarshalText([]byte(uri)) // it always can
		}
		c.settingsFile(&d.SettingsFile)
	}
}

// settingsFile warns of a file of settings that others may read.
func (c *Config) settingsFile(path *string) {
	if *path != "" {
		c.below(path)
		c.mode(*path)
	}
}

func (c *Config) checkKey(p *problems, k *Key) {
	given := 0
	for _, is := range []bool{k.EncryptionKeyFile != "", !k.Vault.IsZero(), k.Provider != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		p.add(k.line, "a key is one of encryption_key_file, vault and provider")
	}
	if k.Provider == "" && (!k.Settings.IsZero() || k.SettingsFile != "") {
		p.add(k.line, "key: settings are those of a provider, and none is named")
	}
	if k.EncryptionKeyFile != "" {
		c.below(&k.EncryptionKeyFile)
		c.mode(k.EncryptionKeyFile)
	}
	c.settingsFile(&k.SettingsFile)
	vault := k.Vault.Reveal()
	for _, name := range []string{"role_id_file", "secret_id_file"} { // the plugin has its own working directory
		if file, ok := vault[name].(string); ok {
			c.below(&file)
			vault[name] = file
		}
	}
	k.Vault.reveal = func() map[string]any { return vault }
}

// wrong tells what is wrong with one schedule.
func (c *Config) wrong(s *Schedule) (texts []string) {
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	if !validName.MatchString(s.Name) {
		say("a name has letters, digits, dots and dashes")
	}
	switch {
	case s.Destination == "" && len(c.Destinations) == 1:
		s.Destination = c.Destinations[0].Name
	case s.Destination == "":
		say("name its destination")
	case c.Destination(s.Destination) == nil:
		say("there is no destination called %.60q", s.Destination)
	}
	if !slices.Contains(order, s.Do) {
		say("do is one of full, incremental, verify and prune")
	}
	if s.Do != Verify && s.Verify != "" {
		say("how to verify is said of what does verify")
	}
	if s.Do == Verify && !slices.Contains(modes, cmp.Or(s.Verify, Deep)) {
		say("verify is one of shallow, deep, sample and restore")
	}
	if s.Do == Verify {
		s.Verify = cmp.Or(s.Verify, Deep)
	}
	if s.Do != Prune && !s.Keep.IsZero() {
		say("what to keep is said of what does prune")
	}
	if k := s.Keep; min(k.Last, k.Hourly, k.Daily, k.Weekly, k.Monthly, k.Yearly) < 0 {
		say("so many backups cannot be kept")
	}
	var err error
	if s.slots, err = parseCron(s.Cron); err != nil {
		say("cron: %v", err)
	} else if gap := s.slots.shortest(time.Now()); time.Duration(s.Jitter) >= gap {
		say("a jitter of %v is no shorter than the %v between two runs", s.Jitter, gap)
	}
	return texts
}
