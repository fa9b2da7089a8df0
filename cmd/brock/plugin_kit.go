package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/sdk/conformance"
)

// kitFlags are those of "brock plugin test".
type kitFlags struct {
	settings            string
	denied, readOnly    string // files of settings, as those after them
	missing, full       string
	throttled, other    string
	set, only, profiles []string
	env                 []string
	junit, explain      string
	list                bool
}

func (a *app) pluginTest() *cobra.Command {
	var f kitFlags
	cmd := &cobra.Command{
		Use:   "test PLUGIN",
		Short: "Find out whether a plugin keeps its promises",
		Long: `Test runs a plugin, in whatever language it is written, and checks that it keeps
every promise that brock relies on. PLUGIN is the path of an executable, with a
slash in it, or the name of an installed plugin.

The settings are those of a place that the plugin may use: the checks store
objects below a name that begins with "kit-", and remove them again. Secrets are
read from the settings file or from variables named with --env, and never shown.

The exit code is 0 if every promise was kept, 3 if one was broken, and 1 if the
plugin could not be started.`,
		Example: `  brock plugin test nfs --setting uri=$PWD/place --only "put and get every size"
  brock plugin test --list
  brock plugin test --explain "put never overwrites"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if (f.list || f.explain != "") && len(args) == 0 {
				return nil
			}
			return exactArg("plugin")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.list:
				return a.listChecks()
			case f.explain != "":
				return a.explainCheck(f.explain)
			}
			return a.testPlugin(cmd.Context(), args[0], &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.settings, "settings", "", "read the plugin's settings from `FILE`, in YAML or JSON")
	fl.StringArrayVar(&f.set, "setting", nil, "a setting, as `NAME=VALUE` (repeatable); not for secrets")
	fl.StringVar(&f.denied, "denied", "", "settings of a place that a destination may neither read nor write, in `FILE`")
	fl.StringVar(&f.readOnly, "read-only", "", "settings of a place that it may read, and not write, in `FILE`")
	fl.StringVar(&f.missing, "missing", "", "settings of a place that is not there, in `FILE`")
	fl.StringVar(&f.full, "full", "", "settings of a place with room for less than 32 MiB, in `FILE`")
	fl.StringVar(&f.throttled, "throttled", "", "settings of a place that turns every request away, in `FILE`")
	fl.StringVar(&f.other, "other", "", "settings of another key of a key provider, in `FILE`")
	fl.StringArrayVar(&f.env, "env", nil, "let the plugin see the environment variable `NAME` (repeatable)")
	fl.StringArrayVar(&f.only, "only", nil, "run the check `NAME` only (repeatable)")
	fl.StringArrayVar(&f.profiles, "profile", nil, "run the checks of profile `P` only, which must be reached (repeatable)")
	fl.StringVar(&f.junit, "junit", "", "write a report for a CI server to `FILE`")
	fl.StringVar(&f.explain, "explain", "", "explain the check `NAME`, or all")
	fl.BoolVar(&f.list, "list", false, "list the checks there are")
	return cmd
}

// pluginKinds are in the order in which people think of them.
var pluginKinds = []string{"destination", "keyprovider"}

// A checkView is a check in JSON results.
type checkView struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Group   string `json:"group"`
	Profile string `json:"profile"`
	Explain string `json:"explain"`
}

func allChecks() (all []checkView) {
	for _, kind := range pluginKinds {
		for _, c := range conformance.Checks(kind) {
			all = append(all, checkView{kind, c.Name, c.Group, c.Profile, c.Explain})
		}
	}
	return all
}

func (a *app) listChecks() error {
	v := allChecks()
	return a.result(v, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "KIND\tGROUP\tPROFILE\tCHECK")
		for _, c := range v {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Kind, c.Group, c.Profile, c.Name)
		}
		t.Flush()
	})
}

// explainCheck explains one check, which may be one of both kinds of plugin, or
// all.
func (a *app) explainCheck(name string) error {
	v := slices.CompactFunc(allChecks(), func(x, y checkView) bool { return x.Name == y.Name })
	if name != "all" {
		if err := known("check", []string{name}, checkNames()); err != nil {
			return err
		}
		v = slices.DeleteFunc(v, func(c checkView) bool { return c.Name != name })[:1]
	}
	return a.result(v, func(w io.Writer) {
		for i, c := range v {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s (%s, profile %s)\n%s\n", c.Name, c.Group, c.Profile, wrap(c.Explain, 80))
		}
	})
}

func checkNames() (names []string) {
	for _, c := range allChecks() {
		names = append(names, c.Name)
	}
	return names
}

func profileNames() []string {
	profiles := map[string]bool{}
	for _, c := range allChecks() {
		profiles[c.Profile] = true
	}
	return slices.Sorted(maps.Keys(profiles))
}

// known refuses words that are not among those that there are, and says which
// were probably meant.
func known(what string, words, there []string) error {
	for _, word := range words {
		if slices.Contains(there, word) {
			continue
		}
		if near := near(word, there); len(near) > 0 {
			return usageError("there is "+strings.Join(near, "; "), "there is no %s %q", what, word)
		}
		return usageError("brock plugin test --list shows them", "there is no %s %q", what, word)
	}
	return nil
}

// near returns the names that share words, or beginnings of words, with what was
// asked for; those that share most.
func near(asked string, names []string) (best []string) {
	most := 0
	for _, name := range names {
		shared := 0
		for word := range strings.FieldsSeq(strings.ToLower(name)) {
			if len(word) < 3 && asked != word {
				continue
			}
			for w := range strings.FieldsSeq(strings.ToLower(asked)) {
				switch {
				case w == word:
					shared += 2
				case len(w) >= 4 && len(word) >= 4 && w[:4] == word[:4], strings.Contains(word, w):
					shared++
				}
			}
		}
		if shared > most {
			most, best = shared, nil
		}
		if shared == most && shared > 0 && !slices.Contains(best, name) {
			best = append(best, name)
		}
	}
	return best
}

// wrap breaks text into lines of at most width bytes, where that can be.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column > 0 && column+1+len(word) > width {
			b.WriteByte('\n')
			column = 0
		}
		if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// subject is the plugin to be tested, as the user described it.
func (a *app) subject(ctx context.Context, plugin string, f *kitFlags) (conformance.Subject, error) {
	s := conformance.Subject{Env: permitted(append(slices.Clone(a.pluginEnv), f.env...)), Settings: map[string]any{}}
	if f.settings == "" && len(f.set) == 0 {
		return s, usageError("for example --settings FILE, or --setting uri=/tmp/place", "no settings: say what the plugin may use")
	}
	for _, c := range []struct {
		file string
		to   **conformance.Variant // nil: the settings themselves
	}{
		{f.settings, nil},
		{f.denied, &s.Denied},
		{f.readOnly, &s.ReadOnly},
		{f.missing, &s.Missing},
		{f.full, &s.Full},
		{f.throttled, &s.Throttled},
		{f.other, &s.Other},
	} {
		if c.file == "" {
			continue
		}
		settings, err := readSettings(c.file)
		if err != nil {
			return s, err
		}
		if c.to == nil {
			s.Settings = settings
		} else {
			*c.to = &conformance.Variant{Settings: settings}
		}
	}
	if err := setSettings(s.Settings, f.set); err != nil {
		return s, usageError("", "%v", err)
	}
	if err := errors.Join(known("check", f.only, checkNames()), known("profile", f.profiles, profileNames())); err != nil {
		return s, err
	}
	s.Only = f.only
	for _, c := range allChecks() {
		if slices.Contains(f.profiles, c.Profile) && (len(f.only) == 0 || slices.Contains(f.only, c.Name)) {
			s.Only = append(s.Only, c.Name)
		}
	}
	var err error
	s.Path, err = a.executable(ctx, plugin)
	return s, err
}

// executable returns the path of an executable, or of the plugin of that name.
func (a *app) executable(ctx context.Context, plugin string) (string, error) {
	if strings.ContainsRune(plugin, '/') || strings.ContainsRune(plugin, filepath.Separator) {
		if _, err := os.Stat(plugin); errors.Is(err, fs.ErrNotExist) {
			return "", usageError("PLUGIN is the path of an executable, or the name of an installed plugin", "%v", err)
		}
		return filepath.Abs(plugin)
	}
	p, err := a.findPlugin(ctx, plugin)
	if err == nil && p.Attached != "" {
		err = usageError("leave out --plugin-reattach", "%s is attached: the checks start processes of their own", plugin)
	}
	return p.Path, err
}
