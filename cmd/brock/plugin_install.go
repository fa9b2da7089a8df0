package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginInstall() *cobra.Command {
	var sum, rollback string
	cmd := &cobra.Command{
		Use:   "install FILE",
		Short: "Put a plugin into a plugin directory",
		Long: `Install checks a plugin's file, asks it what it is, and copies it to the plugin
directory under the name that it must have there. If its directory has a lock,
the lock pins the new file. The file that it replaces is kept: --rollback puts it
back.

Say with --sha256 which file you mean: then nothing else is installed, wherever
it comes from. Without --plugin-dir the first plugin directory that exists is
taken.`,
		Example: "  brock plugin install downloads/tape --plugin-dir plugins\n" +
			"  brock plugin install downloads/tape --plugin-dir plugins --sha256 $(sha256sum < downloads/tape | cut -c 1-64)",
		Args: func(cmd *cobra.Command, args []string) error {
			if rollback != "" {
				return noArgs(cmd, args)
			}
			return exactArg("file")(cmd, args)
		},
		PreRunE: exclusive("sha256", "rollback"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rollback != "" {
				return a.rollbackPlugin(cmd.Context(), rollback)
			}
			var want plugindir.Digest // zero: any
			if cmd.Flags().Changed("sha256") {
				var err error
				if want, err = plugindir.ParseDigest(sum); err != nil {
					return usageError("sha256sum prints it", "--sha256: %v", err)
				}
			}
			return a.installPlugin(cmd.Context(), args[0], want)
		},
	}
	cmd.Flags().StringVar(&sum, "sha256", "", "refuse a file that has another digest than `HEX`")
	cmd.Flags().StringVar(&rollback, "rollback", "", "put back the file of plugin `NAME` that was replaced last")
	return cmd
}

func (a *app) installPlugin(ctx context.Context, file string, want plugindir.Digest) error {
	dir, err := a.installDir()
	if err != nil {
		return err
	}
	res, err := a.plugins.Install(ctx, file, dir, want)
	if errors.Is(err, plugindir.ErrDigest) {
		return &problem{err.Error(), "get the file again, or find out which of the two is right", exitDamage}
	}
	if err != nil {
		return err
	}
	return a.showInstallation(res, "installed")
}

func (a *app) rollbackPlugin(ctx context.Context, name string) error {
	dir, err := a.installDir()
	if err != nil {
		return err
	}
	res, err := a.plugins.Rollback(ctx, name, dir)
	if err != nil {
		return err
	}
	return a.showInstallation(res, "put back")
}

// installDir is the one that --plugin-dir names, or the first that exists.
func (a *app) installDir() (string, error) {
	if len(a.pluginDirs) > 0 {
		return a.oneDir(a.pluginDirs)
	}
	for _, dir := range a.plugins.Searched() {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", usageError("name one with --plugin-dir: it will be made", "there is no plugin directory")
}

func (a *app) showInstallation(res plugindir.Installation, what string) error {
	return a.result(res, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s %s, %s: %s\n", what, res.Description.Kind, res.Description.Name, res.Description.Version, res.Path)
		fmt.Fprintf(w, "SHA-256 %s\n", res.Digest)
		if res.Backup != "" {
			fmt.Fprintf(w, "before  %s, kept: brock plugin install --rollback %s --plugin-dir %s puts it back\n",
				res.Was, filepath.Base(res.Path), filepath.Dir(res.Path))
		}
		if res.Lock != "" {
			fmt.Fprintf(w, "pinned in %s\n", res.Lock)
		}
	})
}
