package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/sdk"
)

func (a *app) pluginInfo() *cobra.Command {
	return &cobra.Command{
		Use:     "info NAME",
		Short:   "Show one plugin and its settings",
		Long:    "Info asks one plugin what it is, and shows what it can do and its settings.",
		Example: "  brock plugin info nfs\n  brock plugin info keyfile --json",
		Args:    exactArg("plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.findPlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			v := viewPlugin(p)
			return a.result(v, func(w io.Writer) { showPlugin(w, v) })
		},
	}
}

func showPlugin(w io.Writer, v pluginView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "name\t%s\nkind\t%s\nversion\t%s\nfile\t%s\n", v.Name, v.Kind, v.Version, v.Path)
	if v.Attached != "" {
		fmt.Fprintf(t, "attached\t%s\n", v.Attached)
	}
	fmt.Fprintf(t, "trust\t%s\n", v.Trust)
	if v.Digest != "" {
		fmt.Fprintf(t, "sha256\t%s\n", v.Digest)
	}
	fmt.Fprintf(t, "protocol\t%d.%d\n", v.Protocol, v.ProtocolMinor)
	if len(v.Schemes) > 0 {
		fmt.Fprintf(t, "serves\t%s\n", serves(v.Schemes))
	}
	if len(v.Capabilities) > 0 {
		fmt.Fprintf(t, "can\t%s\n", strings.Join(v.Capabilities, ", "))
	}
	if limits := limitsOf(v.Limits); limits != "" {
		fmt.Fprintf(t, "limits\t%s\n", limits)
	}
	if len(v.Env) > 0 {
		fmt.Fprintf(t, "reads\t%s\n", strings.Join(v.Env, ", "))
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

// limitsOf is a sentence on what a plugin takes at once; empty if that is
// anything.
func limitsOf(l sdk.Limits) string {
	var limits []string
	if l.ConcurrentPuts > 0 {
		limits = append(limits, fmt.Sprintf("%d objects stored at once", l.ConcurrentPuts))
	}
	if l.ObjectSize > 0 {
		limits = append(limits, "objects of at most "+size(l.ObjectSize))
	}
	if l.PartSize > 0 {
		limits = append(limits, "stored in parts of "+size(l.PartSize))
	}
	return strings.Join(limits, ", ")
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
