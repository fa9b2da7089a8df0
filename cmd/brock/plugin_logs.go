package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginLogs() *cobra.Command {
	n := 0
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a plugin said",
		Long: `Logs shows the last lines that a plugin wrote to standard error, in this and in
earlier runs of brock, without secrets. Each begins with its time and the process
id of the brock that kept it. They are kept in brock/plugins below XDG_STATE_HOME,
or else below ~/.local/state: about two MiB for each plugin.`,
		Example: "  brock plugin logs nfs\n  brock plugin logs nfs -n 5 --json",
		Args:    exactArg("plugin"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.showLogs(args[0], n) },
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 50, "show the last `N` lines")
	return cmd
}

func (a *app) showLogs(name string, n int) error {
	if n < 0 {
		return usageError("", "-n %d", n)
	}
	dir := plugindir.LogDir()
	if dir == "" {
		return usageError("set XDG_STATE_HOME to a directory of yours", "there is no place where logs are kept: neither XDG_STATE_HOME nor HOME names a directory of yours")
	}
	lines, err := plugindir.LogLines(dir, name, n)
	if errors.Is(err, fs.ErrNotExist) {
		if err := a.knows(name); err != nil {
			return err
		}
		lines, err = []string{}, nil // it has said nothing yet
	}
	if err != nil {
		return err
	}
	return a.result(lines, func(w io.Writer) {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		if len(lines) == 0 {
			fmt.Fprintf(a.screen, "no plugin called %s has said anything yet (logs are in %s)\n", name, dir)
		}
	})
}

// knows refuses a name that is no plugin's, nor that of its file.
func (a *app) knows(name string) error {
	names := a.plugins.Names()
	if _, short := plugindir.Named(name); slices.Contains(names, name) || short != "" && slices.Contains(names, short) {
		return nil
	}
	if len(names) == 0 {
		return usageError("brock plugin ls shows where plugins are looked for", "no plugin is called %s: there are none", name)
	}
	return usageError("brock plugin ls shows them all", "no plugin is called %s; there are %s", name, strings.Join(names, ", "))
}
