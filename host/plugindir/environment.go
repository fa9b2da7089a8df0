package plugindir

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// A Variable is one of the environment, as a plugin gets it.
type Variable struct {
	Name    string
	Setting *sdk.Setting // that it gives; nil if it gives none
	Seen    bool         // the plugin gets it where it is set
	Why     string       // it is seen, or not
}

// Variables returns those that a plugin names, first those of its settings, then
// those that permit names beyond them, and then those that every plugin sees. A
// plugin sees no others.
func Variables(d sdk.Description, permit []string) []Variable {
	var all []Variable
	add := func(name string, s *sdk.Setting) {
		if name == "" || slices.ContainsFunc(all, func(v Variable) bool { return v.Name == name }) {
			return
		}
		v := Variable{Name: name, Setting: s}
		prefix := permitted(d, name)
		named := s != nil || slices.Contains(d.Env, name)
		switch {
		case slices.Contains(everybodys(), name):
			v.Seen, v.Why = true, "every plugin sees it"
		case slices.Contains(permit, name):
			v.Seen, v.Why = true, "named with --plugin-env"
		case named && prefix != "":
			v.Seen, v.Why = true, fmt.Sprintf("%s sees what it reads of %s*", d.Name, prefix)
		default:
			v.Why = "--plugin-env " + name + " would show it"
		}
		all = append(all, v)
	}
	for i := range d.Settings {
		add(d.Settings[i].Env, &d.Settings[i])
	}
	for _, name := range slices.Concat(d.Env, permit, everybodys()) {
		add(name, nil)
	}
	return all
}

// everybodys are the variables that every plugin sees: those that launch gives to
// all, and PATH, which is no secret, and which the programs that a plugin starts
// are found with.
func everybodys() []string { return append(launch.Environment(), "PATH") }

// conventions are beginnings of variables that many programs know, by the scheme
// that a destination serves for them, or by the name of a key provider.
var conventions = map[string]map[string][]string{
	"destination": {
		"azure": {"IDENTITY_", "IMDS_", "MSI_"}, // managed identities
		"gs":    {"GS_", "GOOGLE_"},
		"s3":    {"AWS_"},
	},
	"keyprovider": {"vaultkeys": {"VAULT_"}},
}

// permitted returns what a variable that a plugin names begins with, if it is
// the plugin's without anybody's saying so: its own name, or one of its schemes,
// or what convention has for them.
func permitted(d sdk.Description, name string) string {
	own := append([]string{d.Name}, d.Schemes...)
	var prefixes []string
	for i, word := range own {
		if known := conventions[d.Kind][word]; i > 0 || d.Kind == "keyprovider" {
			prefixes = append(prefixes, known...)
		}
		if word != "" {
			prefixes = append(prefixes, shouted(word)+"_")
		}
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(name, prefix) && len(name) > len(prefix) && !slices.Contains(notTheirs, prefix) {
			return prefix
		}
	}
	return ""
}

// notTheirs are the beginnings of variables that mean something to the start of
// a process, whatever a plugin may be called.
var notTheirs = []string{"BROCK_", "PLUGIN_", "LD_", "DYLD_"}

// shouted is a word as names of variables have it.
func shouted(word string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, word)
}

// environment returns the variables that a plugin which describes itself like
// that gets besides those that every plugin gets, as NAME=value.
func (d *Dirs) environment(desc sdk.Description) []string {
	env := slices.Clone(d.opts.Env)
	for _, v := range Variables(desc, nil) {
		given := func(e string) bool { return strings.HasPrefix(e, v.Name+"=") }
		value, ok := os.LookupEnv(v.Name)
		if !v.Seen || !ok || slices.ContainsFunc(env, given) || slices.Contains(launch.Environment(), v.Name) {
			continue
		}
		env = append(env, v.Name+"="+value)
	}
	return env
}

// startToUse returns the running plugin with the variables that it may see. Where
// nothing was known of it, it was started without them, to be asked what it is:
// then it is started once more.
func (d *Dirs) startToUse(ctx context.Context, p Plugin) (*process, error) {
	proc, err := d.start(ctx, p)
	if err != nil || p.Attached != "" {
		return proc, err
	}
	d.restart.Lock()
	defer d.restart.Unlock()
	if proc, err = d.start(ctx, p); err != nil { // by now it may be another
		return nil, err
	}
	if slices.Equal(proc.env, d.environment(proc.desc)) {
		return proc, nil
	}
	d.mu.Lock()
	delete(d.started, p.Path)
	d.mu.Unlock()
	if err := proc.s.Close(); err != nil {
		d.opts.Logger.Warn("a plugin did not end well", "error", err)
	}
	p.Description = proc.desc
	again, err := d.start(ctx, p)
	if err != nil {
		return nil, err
	}
	if !same(again.desc, proc.desc) {
		return nil, fmt.Errorf("plugin %s describes itself differently with the environment variables that it named", p.Path)
	}
	return again, nil
}
