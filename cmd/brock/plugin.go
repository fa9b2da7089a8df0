package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) plugin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "See, test and examine plugins",
		Long: `Plugins are programs named brock-destination-NAME or brock-keyprovider-NAME. They
are looked for in the directories given with --plugin-dir, those in
BROCK_PLUGIN_DIR, the directory plugins beside brock, and
/usr/local/lib/brock/plugins.

Where a location does not work, "brock plugin doctor" tries it step by step.`,
		Example: "  brock plugin ls\n  brock plugin info nfs\n  brock plugin doctor ./backups",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.pluginLs(), a.pluginInfo(), a.pluginNew(), a.pluginDoctor(), a.pluginBench(), a.pluginEnvironment(), a.pluginLogs(), a.pluginTest(), a.pluginLock(), a.pluginVerify(), a.pluginInstall())
	return cmd
}

// exactArg makes sure that there is one argument, which is called what.
func exactArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return usageError(cmd.CommandPath()+" --help shows examples", "no %s", what)
		}
		return usageError(cmd.CommandPath()+" --help shows examples", "unexpected argument %q", args[1])
	}
}

// findPlugin returns the one plugin of that name, or with that file name.
func (a *app) findPlugin(ctx context.Context, name string) (plugindir.Plugin, error) {
	plugins, err := a.plugins.Plugins(ctx)
	if err != nil {
		return plugindir.Plugin{}, err
	}
	var found, aside []plugindir.Plugin
	var names []string
	for _, p := range plugins {
		switch ours := p.Description.Name == name || programName(p.Path) == name; {
		case p.Err != nil && (programName(p.Path) == name || strings.HasSuffix(programName(p.Path), "-"+name)):
			aside = append(aside, p)
		case p.Err == nil && ours:
			found = append(found, p)
		}
		if p.Err == nil {
			names = append(names, p.Description.Name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return plugindir.Plugin{}, usageError("write "+programName(found[0].Path)+" or "+programName(found[1].Path),
			"two plugins are called %s: %s and %s", name, found[0].Path, found[1].Path)
	case len(aside) > 0:
		return plugindir.Plugin{}, &problem{fmt.Sprintf("%s was set aside: %v", aside[0].Path, aside[0].Err), hintFor(aside[0].Err), exitFailed}
	}
	return plugindir.Plugin{}, usageError("brock plugin ls shows why a plugin was set aside", "no plugin is called %s; there are %s", name, strings.Join(names, ", "))
}

func programName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".exe") }
