package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

// pruneOptions are the flags of brock prune.
type pruneOptions struct {
	location  locationFlag
	keep      int
	olderThan string
	abandoned string
	dryRun    bool
}

func (a *app) prune() *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove old series of backups, and what was never finished",
		Long: `Prune removes whole series: a full backup and the incremental ones after it. The
series of the latest backup always stays. With both --keep and --older-than a
series must be beyond the one and older than the other to go; with neither, only
the objects of backups go that were begun and never finished, a week ago or more.

It can be interrupted at any time: what is still listed can still be restored, and
the next prune does the rest. A damaged location is left alone.`,
		Example: `  brock prune -l ./backups --keep 4 --dry-run
  brock prune -l ./backups --keep 4 --older-than 30d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	o.location.add(cmd)
	f := cmd.Flags()
	f.IntVar(&o.keep, "keep", 0, "the latest `N` series stay")
	f.StringVar(&o.olderThan, "older-than", "", "series go whose last backup is older than `AGE`, as in 30d or 12h")
	f.StringVar(&o.abandoned, "abandoned-after", "7d", "what was never finished goes after `AGE`")
	f.BoolVar(&o.dryRun, "dry-run", false, "only tell what would go")
	return cmd
}

func (o *pruneOptions) run(ctx context.Context, a *app) error {
	if o.keep < 0 {
		return usageError("to keep the latest series alone, write --keep 1", "--keep %d", o.keep)
	}
	req := host.PruneRequest{Keep: o.keep, DryRun: o.dryRun}
	for _, age := range []struct {
		flag, text string
		to         *time.Duration
	}{{"--older-than", o.olderThan, &req.OlderThan}, {"--abandoned-after", o.abandoned, &req.Abandoned}} {
		d, ok := parseAge(age.text)
		if !ok {
			return usageError("an age is a number of days or hours, as in 30d or 12h", "%s %s is no age", age.flag, age.text)
		}
		*age.to = d
	}
	var err error
	if req.At, err = o.location.open(ctx, a); err != nil {
		return err
	}
	res, err := a.engine.Prune(ctx, req)
	if err != nil {
		return err
	}
	v := newPruneView(req.At.URI, o.dryRun, res)
	return a.result(v, v.show)
}

var inDays = regexp.MustCompile(`^[0-9]{1,5}d$`)

// parseAge reads days as well as what time.ParseDuration does. None is 0.
func parseAge(s string) (time.Duration, bool) {
	if s == "" {
		return 0, true
	}
	if inDays.MatchString(s) {
		n, err := strconv.Atoi(s[:len(s)-1])
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// pruneView is what went.
type pruneView struct {
	Location  string         `json:"location"`
	DryRun    bool           `json:"dry_run"`
	Series    []prunedSeries `json:"series"`
	Abandoned []string       `json:"abandoned"`
	Objects   int            `json:"objects"`
	Size      int64          `json:"size"`
}

type prunedSeries struct {
	ID      string `json:"backup_id"`
	Backups int    `json:"backups"`
	Last    string `json:"last_backup,omitempty"`
	Size    int64  `json:"size"`
}

func newPruneView(uri string, dryRun bool, res *host.PruneResult) *pruneView {
	v := &pruneView{uri, dryRun, []prunedSeries{}, append([]string{}, res.Abandoned...), res.Objects, res.Bytes}
	for _, s := range res.Series {
		last := ""
		if !s.Last.IsZero() {
			last = s.Last.UTC().Format(time.RFC3339)
		}
		v.Series = append(v.Series, prunedSeries{s.ID, s.Backups, last, s.Bytes})
	}
	return v
}

func (v *pruneView) show(w io.Writer) {
	verb := "removed"
	if v.DryRun {
		verb = "would remove"
	}
	if v.Objects == 0 {
		fmt.Fprintf(w, "%s: nothing to remove\n", v.Location)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERIES\tBACKUPS\tLAST BACKUP\tSIZE")
	for _, s := range v.Series {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", s.ID, s.Backups, s.Last, size(s.Size))
	}
	for _, dir := range v.Abandoned {
		fmt.Fprintf(t, "(never finished: %s)\t-\t-\t-\n", dir)
	}
	t.Flush()
	fmt.Fprintf(w, "%s: %s %d objects, %s\n", v.Location, verb, v.Objects, size(v.Size))
}
