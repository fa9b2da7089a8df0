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
would read but does not see. A plugin sees a few variables that are no secrets;
of those that it reads, the ones that begin with its own name or with that of one
of its schemes, as MINIO_ does for minio, or AWS_ for s3, GS_ and GOOGLE_ for gs,
and VAULT_ for vaultkeys; and those that are named with --plugin-env. It sees them
when it is used, not when it is only asked what it is. Values are never shown.`,
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

// variables are those that the plugin names, those that are permitted, and of
// those that every plugin sees the ones that are set.
func (a *app) variables(p plugindir.Plugin) (all []variable) {
	for _, v := range plugindir.Variables(p.Description, a.pluginEnv) {
		_, set := os.LookupEnv(v.Name)
		one := variable{Name: v.Name, Set: set, Seen: set && v.Seen, Why: v.Why}
		if !set && slices.Contains(plugindir.EveryPluginSees(), v.Name) && v.Setting == nil {
			continue
		}
		if s := v.Setting; s != nil {
			one.Setting, one.Secret, one.Why = s.Name, s.Secret, "gives setting "+s.Name
			if s.Secret {
				one.Why += ", a secret"
			}
			one.Why += "; " + v.Why
		}
		all = append(all, one)
	}
	return all
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
