package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginLock() *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Pin the plugins of a directory",
		Long: `Lock asks every plugin of one directory what it is, and writes their SHA-256 to
the file plugins.lock there. From then on brock sets aside what the lock does not
list and what has changed since, and executes exactly the bytes that have the
digest. It says what differs from the lock before: look at that, it is what you
are about to trust.

Without --plugin-dir it is the one directory that has plugins. With
--plugin-trust=locked, brock runs nothing from a directory without a lock.`,
		Example: "  brock plugin lock --plugin-dir plugins\n  brock plugin ls --plugin-dir plugins",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.lockPlugins(cmd.Context()) },
	}
}

func (a *app) lockPlugins(ctx context.Context) error {
	dir, err := a.oneDir(a.plugins.Inhabited())
	if err != nil {
		return err
	}
	changes, err := plugindir.MakeLock(ctx, dir, a.options)
	if err != nil {
		return err
	}
	v := struct {
		Lock    string             `json:"lock"`
		Changes []plugindir.Change `json:"changes"`
	}{filepath.Join(dir, plugindir.LockFile), changes}
	return a.result(v, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range changes {
			switch c.Change {
			case "removed":
				fmt.Fprintf(t, "%s\t%s\t%s\n", c.Change, c.File, c.Was)
			case "changed":
				fmt.Fprintf(t, "%s\t%s\t%s\n\t\twas %s\n", c.Change, c.File, c.Now, c.Was)
			default:
				fmt.Fprintf(t, "%s\t%s\t%s\n", c.Change, c.File, c.Now)
			}
		}
		t.Flush()
		fmt.Fprintf(w, "written: %s\n", v.Lock)
	})
}

// oneDir returns the directory that --plugin-dir names, or else the only one of
// some.
func (a *app) oneDir(dirs []string) (string, error) {
	if len(a.pluginDirs) > 0 {
		dirs = a.pluginDirs
	}
	switch len(dirs) {
	case 1:
		return dirs[0], nil
	case 0:
		return "", usageError("name the directory with --plugin-dir", "there are no plugins in %s", strings.Join(a.plugins.Searched(), ", "))
	}
	return "", usageError("name one of them with --plugin-dir", "which directory: %s?", strings.Join(dirs, ", "))
}
