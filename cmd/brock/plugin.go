package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/sdk"
)

func (a *app) plugin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Show the plugins there are",
		Long: `Plugins are programs named brock-destination-NAME or brock-keyprovider-NAME. They
are looked for in the directories given with --plugin-dir, those in
BROCK_PLUGIN_DIR, the directory plugins beside brock, and
/usr/local/lib/brock/plugins.`,
		Example: "  brock plugin ls\n  brock plugin info nfs",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.pluginLs(), a.pluginInfo())
	return cmd
}

func (a *app) pluginLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the plugins",
		Long: `Ls starts every plugin, asks it what it is, and lists them. A file that cannot be
used is listed with the reason.`,
		Example: "  brock plugin ls\n  brock plugin ls --json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listPlugins(cmd.Context()) },
	}
}

// pluginView is a plugin in JSON results.
type pluginView struct {
	*sdk.Description        // nil where it was set aside
	Path             string `json:"path"`
	SetAside         string `json:"set_aside,omitempty"`
}

func viewPlugin(p plugindir.Plugin) pluginView {
	if p.Err != nil {
		return pluginView{Path: p.Path, SetAside: p.Err.Error()}
	}
	return pluginView{Description: &p.Description, Path: p.Path}
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
		fmt.Fprintln(t, "NAME\tKIND\tVERSION\tSERVES\tPATH")
		for _, p := range v {
			if p.SetAside != "" {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, p.Version, serves(p.Schemes), p.Path)
		}
		t.Flush()
		for _, p := range v {
			if p.SetAside != "" {
				fmt.Fprintf(w, "set aside: %s: %s\n", p.Path, p.SetAside)
			}
		}
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

func (a *app) pluginInfo() *cobra.Command {
	return &cobra.Command{
		Use:     "info NAME",
		Short:   "Show one plugin and its settings",
		Long:    "Info starts one plugin, asks it what it is, and shows its settings.",
		Example: "  brock plugin info nfs\n  brock plugin info keyfile --json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.describePlugin(cmd.Context(), args[0]) },
	}
}

func (a *app) describePlugin(ctx context.Context, name string) error {
	plugins, err := a.plugins.Plugins(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, p := range plugins {
		if p.Err == nil && p.Description.Name == name {
			v := viewPlugin(p)
			return a.result(v, func(w io.Writer) { showPlugin(w, v) })
		}
		if p.Err == nil {
			names = append(names, p.Description.Name)
		}
	}
	return usageError("brock plugin ls shows why a plugin was set aside", "no plugin is called %s; there are %s", name, strings.Join(names, ", "))
}

func showPlugin(w io.Writer, v pluginView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "name\t%s\nkind\t%s\nversion\t%s\nfile\t%s\n", v.Name, v.Kind, v.Version, v.Path)
	if len(v.Schemes) > 0 {
		fmt.Fprintf(t, "serves\t%s\n", serves(v.Schemes))
	}
	if len(v.Capabilities) > 0 {
		fmt.Fprintf(t, "can\t%s\n", strings.Join(v.Capabilities, ", "))
	}
	t.Flush()
	if v.Doc != "" {
		fmt.Fprintf(w, "\n%s\n", v.Doc)
	}
	if len(v.Settings) == 0 {
		return
	}
	fmt.Fprint(w, "\nSettings:\n")
	for _, s := range v.Settings {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", s.Name, s.Type, about(s))
	}
	t.Flush()
}

// about is a setting's doc and all else that is known of it, in one line.
func about(s sdk.Setting) string {
	var about []string
	if s.Doc != "" {
		about = append(about, s.Doc)
	}
	if s.Required {
		about = append(about, "required")
	}
	if s.Secret {
		about = append(about, "secret")
	}
	if s.Default != "" {
		about = append(about, "default "+s.Default)
	}
	if s.Env != "" {
		about = append(about, "or in "+s.Env)
	}
	if s.Example != "" {
		about = append(about, "for example "+s.Example)
	}
	return strings.Join(about, "; ")
}
