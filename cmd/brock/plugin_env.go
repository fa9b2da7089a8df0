package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginEnvironment() *cobra.Command {
	return &cobra.Command{
		Use:   "env NAME",
		Short: "Show which environment variables a plugin sees",
		Long: `Env shows which variables of the environment a plugin sees, and which ones it
would read but does not see. A plugin sees a few variables that are no secrets,
and those that are named with --plugin-env. Values are never shown.`,
		Example: "  brock plugin env nfs\n  brock plugin env keyfile --plugin-env TZ --json",
		Args:    exactArg("plugin"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.showEnv(cmd.Context(), args[0]) },
	}
}

// A variable is one of the environment, as a plugin sees it.
type variable struct {
	Name    string `json:"name"`
	Set     bool   `json:"set"`  // in the environment of brock
	Seen    bool   `json:"seen"` // by the plugin
	Setting string `json:"setting,omitempty"`
	Secret  bool   `json:"secret,omitempty"`
	Why     string `json:"why"`
}

func (a *app) showEnv(ctx context.Context, name string) error {
	p, err := a.findPlugin(ctx, name)
	if err != nil {
		return err
	}
	v := a.variables(p)
	return a.result(v, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "VARIABLE\tSET\tSEEN\tWHY")
		for _, e := range v {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Name, yesNo(e.Set), yesNo(e.Seen), e.Why)
		}
		t.Flush()
	})
}

// variables are those that are set and every plugin sees, those that are
// permitted, and those that give a setting of the plugin.
func (a *app) variables(p plugindir.Plugin) (all []variable) {
	add := func(v variable) {
		_, v.Set = os.LookupEnv(v.Name)
		v.Seen = v.Set && a.sees(v.Name)
		all = append(all, v)
	}
	var named []string
	for _, s := range p.Description.Settings {
		if s.Env == "" {
			continue
		}
		named = append(named, s.Env)
		v := variable{Name: s.Env, Setting: s.Name, Secret: s.Secret, Why: "gives setting " + s.Name}
		if s.Secret {
			v.Why += ", a secret"
		}
		if _, set := os.LookupEnv(s.Env); !a.sees(s.Env) {
			v.Why += "; let the plugin see it with --plugin-env " + s.Env
			if !set {
				v.Why = "would give setting " + s.Name + "; set it, and name it with --plugin-env " + s.Env
			}
		}
		add(v)
	}
	for _, name := range a.pluginEnv {
		if !slices.Contains(named, name) {
			named = append(named, name)
			add(variable{Name: name, Why: "named with --plugin-env"})
		}
	}
	for _, name := range plugindir.EveryPluginSees() {
		if _, set := os.LookupEnv(name); set && !slices.Contains(named, name) {
			add(variable{Name: name, Why: "every plugin sees it"})
		}
	}
	return all
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
