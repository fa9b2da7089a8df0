package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
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
listed with the reason. The state is ready for a plugin that has been started and
answers, idle for one that was not needed, and attached for one that somebody
else runs.`,
		Example: "  brock plugin ls\n  brock plugin ls --json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listPlugins(cmd.Context()) },
	}
}

// pluginView is a plugin in JSON results.
type pluginView struct {
	*sdk.Description        // nil where it was set aside
	Path             string `json:"path"`
	State            string `json:"state"`              // "ready", "attached" or "set aside"
	SetAside         string `json:"set_aside,omitempty"` // why
	Attached         string `json:"attached,omitempty"`  // file of a plugin that runs already
}

func viewPlugin(p plugindir.Plugin) pluginView {
	v := pluginView{Path: p.Path, Attached: p.Attached, State: "ready"}
	switch {
	case p.Err != nil:
		v.State, v.SetAside = "set aside", p.Err.Error()
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
		fmt.Fprintln(t, "NAME\tKIND\tVERSION\tSERVES\tSTATE\tPATH")
		for _, p := range v {
			if p.SetAside != "" {
				reason, _, _ := strings.Cut(p.SetAside, "\n")
				fmt.Fprintf(t, "-\t-\t-\t-\tset aside\t%s: %s\n", p.Path, reason)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, p.Version, serves(p.Schemes), p.State, cmp.Or(p.Attached, p.Path))
		}
		t.Flush()
	})
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
