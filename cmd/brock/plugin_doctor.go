package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/doctor"
	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginDoctor() *cobra.Command {
	var at locationFlag
	cmd := &cobra.Command{
		Use:   "doctor LOCATION",
		Short: "Find out what is wrong with a location",
		Long: `Doctor finds the plugin of a location, starts it, and tries the location step by
step, as a backup would: it lists, stores a small object below a name that begins
with "brock-doctor-", reads it, tries to overwrite it, and removes it again. Of
what is wrong it tells what can be done. The last lines are what the plugin itself
has found out: where its credentials are from, say, or what the storage honours.
What is weak works in part: not as it should, or not with these credentials. Those
that may only take backups, or only restore, are weak. With --verbose it also shows
the settings that are not given.

The exit code is 0 if nothing is worse than weak, 1 if the location cannot be used as it is, and
3 if the plugin breaks a promise that backups rely on.`,
		Example: "  brock plugin doctor ./backups\n  brock plugin doctor ./backups --json",
		Args:    exactArg("location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at.uri = args[0]
			return a.examine(cmd.Context(), &at)
		},
	}
	at.addSettings(cmd)
	return cmd
}

// An examination is what the doctor found.
type examination struct {
	Location string        `json:"location"`
	Plugin   string        `json:"plugin,omitempty"` // path of its file
	Settings []settingUse  `json:"settings,omitempty"`
	Steps    []doctor.Step `json:"steps"`
}

// A settingUse is where a setting comes from. Its value is nobody's business.
type settingUse struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	Secret bool   `json:"secret,omitempty"`
	unset  bool   // nobody has said anything about it
}

func (a *app) examine(ctx context.Context, at *locationFlag) error {
	settings, err := at.settings(a)
	if err != nil {
		return err
	}
	v := &examination{Steps: []doctor.Step{}}
	a.steps(ctx, at.uri, settings, v)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := a.result(v, func(io.Writer) {}); err != nil {
		return err
	}
	for _, code := range []int{exitDamage, exitFailed} {
		for _, s := range v.Steps {
			if s.Status == doctor.Failed && s.Broken == (code == exitDamage) {
				return &problem{fmt.Sprintf("%s: step %q failed", v.Location, s.Name), s.Hint, code}
			}
		}
	}
	return nil
}

// steps goes through all that can be wrong, and ends where nothing can follow.
func (a *app) steps(ctx context.Context, uri string, given map[string]any, v *examination) {
	add := func(s doctor.Step) bool {
		v.Steps = append(v.Steps, s)
		a.showStep(s)
		return s.Status != doctor.Failed
	}
	timed := func(name string, try func() error) bool {
		a.screen.status(name)
		began := time.Now()
		s := doctor.Result(name, try())
		s.Seconds = time.Since(began).Seconds()
		return add(s)
	}
	v.Location = "the location"
	var found plugindir.Resolved
	if !timed("plugin found", func() (err error) {
		found, err = a.plugins.Resolve(ctx, uri, given)
		return err
	}) {
		return
	}
	v.Location, v.Plugin = found.URI, found.Plugin.Path
	v.Settings = a.settingsInUse(found)
	if !timed("plugin started", func() error {
		_, err := a.plugins.Pid(ctx, found.Plugin)
		return err
	}) {
		return
	}
	a.showSettings(v)
	var opened *plugindir.Opened
	if !timed("settings accepted", func() (err error) {
		opened, err = a.plugins.OpenDestination(ctx, uri, given)
		return err
	}) {
		return
	}
	for s := range doctor.Examine(ctx, opened.Destination) {
		add(s)
	}
}

func (a *app) showStep(s doctor.Step) {
	if a.json {
		return
	}
	a.screen.clear()
	line := fmt.Sprintf("%s  %-20s", marks[s.Status], harmless(s.Name))
	if s.Detail != "" {
		line += "  " + strings.ReplaceAll(harmless(s.Detail), "\n", "\n           ")
	}
	fmt.Fprintln(a.stdout, strings.TrimRight(line, " "))
	if s.Hint != "" && s.Status != doctor.Skipped {
		fmt.Fprintf(a.stdout, "         what to do: %s\n", harmless(s.Hint))
	}
}

func (a *app) showSettings(v *examination) {
	if a.json {
		return
	}
	for _, s := range v.Settings {
		if s.unset && !a.verbose {
			continue
		}
		secret := ""
		if s.Secret {
			secret = " (secret)"
		}
		fmt.Fprintf(a.stdout, "           setting %s%s: %s\n", s.Name, secret, s.From)
	}
}

// settingsInUse says of every setting of the plugin where its value comes from,
// if it has one.
func (a *app) settingsInUse(found plugindir.Resolved) (uses []settingUse) {
	for _, s := range found.Plugin.Description.Settings {
		u := settingUse{Name: s.Name, Secret: s.Secret}
		switch {
		case slices.Contains(found.Settings, s.Name):
			u.From = "from the location"
		case slices.Contains(found.Request, s.Name):
			u.From = "from --location-settings"
		case s.Env != "" && os.Getenv(s.Env) != "" && a.sees(found.Plugin, s.Env):
			u.From = "from the environment variable " + s.Env
		case s.Env != "" && os.Getenv(s.Env) != "":
			u.From = "not given: " + s.Env + " is set, but the plugin does not see it: --plugin-env " + s.Env + " would show it"
		case s.Default != "":
			u.From, u.unset = "the default", true
		default:
			u.From, u.unset = "not given", true
		}
		uses = append(uses, u)
	}
	return uses
}

// sees reports whether a plugin sees an environment variable.
func (a *app) sees(p plugindir.Plugin, name string) bool {
	return slices.ContainsFunc(plugindir.Variables(p.Description, a.pluginEnv), func(v plugindir.Variable) bool {
		return v.Name == name && v.Seen
	})
}
