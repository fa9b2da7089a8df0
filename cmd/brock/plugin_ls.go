package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/sdk"
)

func (a *app) pluginLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the plugins",
		Long: `Ls asks every plugin what it is, and lists them. A file that cannot be used is
listed with the reason. A plugin is trusted because a lock pins its digest
("locked"), or because there is no lock ("open"). One that somebody else runs is
"attached".`,
		Example: "  brock plugin ls\n  brock plugin ls --json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listPlugins(cmd.Context()) },
	}
}

// pluginView is a plugin in JSON results.
type pluginView struct {
	*sdk.Description        // nil where it was set aside
	Path             string `json:"path"`
	State            string `json:"state"`               // "ready", "attached" or "set aside"
	SetAside         string `json:"set_aside,omitempty"` // why
	Attached         string `json:"attached,omitempty"`  // file of a plugin that runs already
	Trust            string `json:"trust"`               // "open", "locked" or "refused"
	Digest           string `json:"sha256,omitempty"`
}

func viewPlugin(p plugindir.Plugin) pluginView {
	v := pluginView{Path: p.Path, Attached: p.Attached, Trust: string(p.Trust), State: string(p.State)}
	if p.Digest != (plugindir.Digest{}) {
		v.Digest = p.Digest.String()
	}
	switch {
	case p.Err != nil:
		v.State, v.SetAside = string(plugindir.SetAside), p.Err.Error()
		return v
	case p.Attached != "":
		v.State = "attached"
	}
	v.Description = &p.Description
	return v
}

func (a *app) listPlugins(ctx context.Context) error {
	plugins, err := a.plugins.Plugins(ctx)
	if err != nil {
		return err
	}
	v := make([]pluginView, len(plugins))
	for i, p := range plugins {
		v[i] = viewPlugin(p)
	}
	return a.result(v, func(w io.Writer) {
		if len(v) == 0 {
			fmt.Fprintf(w, "no plugins in %s\n", strings.Join(a.plugins.Searched(), ", "))
			return
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tKIND\tVERSION\tSERVES\tTRUST\tSTATE\tPATH")
		for _, p := range v {
			if p.SetAside != "" {
				reason, _, _ := strings.Cut(p.SetAside, "\n")
				name, kind := named(p.Path)
				fmt.Fprintf(t, "%s\t%s\t-\t-\t%s\tset aside\t%s: %s\n", name, kind, p.Trust, p.Path, reason)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, p.Version, serves(p.Schemes), p.Trust, p.State, cmp.Or(p.Attached, p.Path))
		}
		t.Flush()
		for _, twice := range contested(v) {
			fmt.Fprintln(w, twice)
		}
		for _, dir := range unlocked(plugins) {
			fmt.Fprintf(w, "not locked: %s (brock plugin lock pins what is there now)\n", dir)
		}
	})
}

// named returns what the name of a plugin's file says of it: all that is known of
// one that was not asked.
func named(path string) (name, kind string) {
	if kind, name = plugindir.Named(path); kind == "" {
		return "-", "-"
	}
	return name, kind
}

// contested says which locations have two plugins: nothing works there until one
// of them is taken away.
func contested(plugins []pluginView) (says []string) {
	first := map[string]string{} // by scheme
	for _, p := range plugins {
		if p.SetAside != "" {
			continue
		}
		path := cmp.Or(p.Attached, p.Path)
		var twice []string
		by := ""
		for _, s := range p.Schemes {
			if other, ok := first[s]; ok {
				by, twice = other, append(twice, s)
				continue
			}
			first[s] = path
		}
		if len(twice) > 0 {
			says = append(says, fmt.Sprintf("%s: served by two plugins, %s and %s (take one of them away)", serves(twice), by, path))
		}
	}
	return says
}

// unlocked returns the directories whose plugins nothing pins.
func unlocked(plugins []plugindir.Plugin) []string {
	var dirs []string
	for _, p := range plugins {
		if dir := filepath.Dir(p.Path); p.Trust == plugindir.Open && p.Attached == "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// serves shows schemes as a user writes them.
func serves(schemes []string) string {
	if len(schemes) == 0 {
		return "-"
	}
	shown := make([]string, len(schemes))
	for i, s := range schemes {
		shown[i] = "paths"
		if s != "" {
			shown[i] = s + "://"
		}
	}
	return strings.Join(shown, " ")
}
