package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/plugindir"
)

func (a *app) pluginVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare the plugins with their locks",
		Long: `Verify reads every plugin file and compares it with the plugins.lock of its
directory. It starts none. Exit code 3 means that something is not as it was
locked: a file has changed, is missing, is not listed, or may be changed by
others. Plugins of a directory without a lock count only with
--plugin-trust=locked.`,
		Example: "  brock plugin lock --plugin-dir plugins\n  brock plugin verify\n  brock plugin verify --json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.verifyPlugins() },
	}
}

func (a *app) verifyPlugins() error {
	verdicts := a.plugins.Verify()
	if len(verdicts) == 0 {
		return usageError("name the directory with --plugin-dir", "there are no plugins in %s", strings.Join(a.plugins.Searched(), ", "))
	}
	bad, unlocked := 0, 0
	for _, v := range verdicts {
		switch v.Status {
		case plugindir.Same:
		case plugindir.Unlocked:
			unlocked++
		default:
			bad++
		}
	}
	if err := a.result(verdicts, func(w io.Writer) { showVerdicts(w, verdicts) }); err != nil {
		return err
	}
	switch {
	case bad > 0:
		return &problem{
			fmt.Sprintf("%d of %d files are not as they were locked", bad, len(verdicts)),
			"find out who changed them; brock plugin lock trusts what is there now", exitDamage,
		}
	case unlocked > 0 && plugindir.Trust(a.trust) == plugindir.Locked:
		return &problem{fmt.Sprintf("%d of %d files are not locked", unlocked, len(verdicts)), "brock plugin lock pins what is there now", exitDamage}
	case unlocked == len(verdicts):
		return usageError("brock plugin lock pins what is there now", "there is nothing to compare with: no directory has a lock")
	}
	return nil
}

func showVerdicts(w io.Writer, verdicts []plugindir.Verdict) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STATUS\tSHA-256\tPATH")
	for _, v := range verdicts {
		digest := "-"
		if v.Found != (plugindir.Digest{}) {
			digest = v.Found.String()
		}
		path := v.Path
		if v.Reason != "" {
			path += ": " + v.Reason
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", v.Status, digest, path)
		if v.Status == plugindir.Changed || v.Status == plugindir.Missing {
			fmt.Fprintf(t, "\t%s\tis pinned\n", v.Pinned)
		}
	}
	t.Flush()
}
