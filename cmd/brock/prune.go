package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brock-backup/brock/host"
)

// pruneOptions are the flags of brock prune.
type pruneOptions struct {
	location  locationFlag
	rules     host.KeepRules
	within    string
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
		Long: `Prune removes whole series: a full backup and the incremental ones after it. A
series goes if nothing that is asked for keeps it. Rules count backups, from the
latest one back: --keep-daily 7 picks the last backup of each of the last seven
days that have one, and the series of a backup that is picked stays. Days, ISO
weeks, months and years are those of UTC. --keep-within counts from the latest
backup, --older-than from now. Of backups that cannot be restored none takes the
place of one that can.

Whatever is asked for, the series of the latest backup stays, the latest series
that can be restored, and what is pinned (brock pin). Without a rule only rubbish
goes: what backups have left that were begun a week ago or more and never
finished, and what is left of series that are gone.

Prune may run while backups do, and can be interrupted at any time: what is still
listed can still be restored, and the next prune does the rest. A damaged
location is left alone. --dry-run writes nothing, and tells what would go and why
the rest stays.`,
		Example: `  brock prune -l ./backups --keep-hourly 24 --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  brock prune -l ./backups --keep 4 --older-than 30d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	o.location.add(cmd)
	f := cmd.Flags()
	f.SortFlags = false
	o.addRules(f)
	f.IntVar(&o.keep, "keep", 0, "the latest `N` series stay that can be restored")
	f.StringVar(&o.olderThan, "older-than", "", "series stay whose last backup is not older than `AGE`, as in 30d or 12h")
	f.StringVar(&o.abandoned, "abandoned-after", "7d", "rubbish goes after `AGE`: longer than any backup takes")
	f.BoolVar(&o.dryRun, "dry-run", false, "only tell what would go, and why the rest stays")
	return cmd
}

func (o *pruneOptions) addRules(f *pflag.FlagSet) {
	f.IntVar(&o.rules.Last, "keep-last", 0, "the latest `N` backups stay")
	f.IntVar(&o.rules.Hourly, "keep-hourly", 0, "the last backup of each of the latest `N` hours that have one stays")
	f.IntVar(&o.rules.Daily, "keep-daily", 0, "likewise of `N` days")
	f.IntVar(&o.rules.Weekly, "keep-weekly", 0, "likewise of `N` weeks")
	f.IntVar(&o.rules.Monthly, "keep-monthly", 0, "likewise of `N` months")
	f.IntVar(&o.rules.Yearly, "keep-yearly", 0, "likewise of `N` years")
	f.StringVar(&o.within, "keep-within", "", "backups stay that are not older than the latest one by more than `AGE`, as in 30d")
}

func (o *pruneOptions) run(ctx context.Context, a *app) error {
	if o.keep < 0 {
		return usageError("to keep the latest series alone, write --keep 1", "--keep %d", o.keep)
	}
	req := host.PruneRequest{Rules: o.rules, Keep: o.keep, DryRun: o.dryRun}
	for _, age := range []struct {
		flag, text string
		to         *time.Duration
	}{{"--keep-within", o.within, &req.Rules.Within}, {"--older-than", o.olderThan, &req.OlderThan}, {"--abandoned-after", o.abandoned, &req.Abandoned}} {
		if age.text == "" {
			continue
		}
		d, err := host.ParseAge(age.text)
		if err != nil {
			return usageError(host.Hint(err), "%s %v", age.flag, err)
		}
		*age.to = d
	}
	if err := req.Rules.Check(); err != nil {
		return usageError(host.Hint(err), "--%v", err)
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

// pruneView is what went, and what stays.
type pruneView struct {
	Location  string         `json:"location"`
	DryRun    bool           `json:"dry_run"`
	Series    []prunedSeries `json:"series"`
	Kept      []keptSeries   `json:"kept"`
	Abandoned []string       `json:"abandoned"`
	Leftovers []string       `json:"leftovers"`
	Objects   int            `json:"objects"`
	Size      int64          `json:"size"`
}

type prunedSeries struct {
	ID      string `json:"backup_id"`
	Backups int    `json:"backups"`
	Last    string `json:"last_backup,omitempty"`
	Size    int64  `json:"size"`
}

type keptSeries struct {
	prunedSeries
	Reasons []string     `json:"reasons"`
	Picked  []keptBackup `json:"picked"`
}

type keptBackup struct {
	Number  int      `json:"backup_num"`
	Time    string   `json:"time,omitempty"`
	Reasons []string `json:"reasons"`
}

func newPruneView(uri string, dryRun bool, res *host.PruneResult) *pruneView {
	v := &pruneView{
		Location: uri, DryRun: dryRun, Series: []prunedSeries{}, Kept: []keptSeries{},
		Abandoned: append([]string{}, res.Abandoned...), Leftovers: append([]string{}, res.Leftovers...), Objects: res.Objects, Size: res.Bytes,
	}
	for _, s := range res.Series {
		v.Series = append(v.Series, prunedSeries{s.ID, s.Backups, inUTC(s.Last), s.Bytes})
	}
	for _, s := range res.Kept {
		k := keptSeries{prunedSeries{s.ID, s.Backups, inUTC(s.Last), s.Bytes}, append([]string{}, s.Reasons...), []keptBackup{}}
		for _, b := range s.Picked {
			k.Picked = append(k.Picked, keptBackup{b.Number, inUTC(b.Taken), b.Reasons})
		}
		v.Kept = append(v.Kept, k)
	}
	return v
}

// inUTC is "" of a time that nobody knows.
func inUTC(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (v *pruneView) show(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if v.Objects > 0 {
		fmt.Fprintln(t, "SERIES\tBACKUPS\tLAST BACKUP\tSIZE")
	}
	for _, s := range v.Series {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", s.ID, s.Backups, s.Last, size(s.Size))
	}
	for _, dir := range v.Abandoned {
		fmt.Fprintf(t, "(never finished: %s)\t-\t-\t-\n", dir)
	}
	for _, name := range v.Leftovers {
		fmt.Fprintf(t, "(left over: %s)\t-\t-\t-\n", name)
	}
	t.Flush()
	v.showKept(w)
	switch {
	case v.Objects == 0:
		fmt.Fprintf(w, "%s: nothing to remove\n", v.Location)
	case v.DryRun:
		fmt.Fprintf(w, "%s: would remove %d objects, %s\n", v.Location, v.Objects, size(v.Size))
	default:
		fmt.Fprintf(w, "%s: removed %d objects, %s\n", v.Location, v.Objects, size(v.Size))
	}
}

// showKept tells why series stay, unless nothing was asked for.
func (v *pruneView) showKept(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, s := range v.Kept {
		if s.because() == "" {
			continue
		}
		if i == 0 {
			fmt.Fprintln(t, "STAYS\tBACKUPS\tLAST BACKUP\tSIZE\tBECAUSE OF")
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", s.ID, s.Backups, s.Last, size(s.Size), s.because())
	}
	t.Flush()
}

// because is "" where there was no rule by which a series could have gone.
func (s *keptSeries) because() string {
	const most = 5
	if slices.Contains(s.Reasons, host.StaysAll) {
		return ""
	}
	texts := slices.Clone(s.Reasons)
	for i, b := range slices.Backward(s.Picked) {
		if len(s.Picked)-i > most {
			texts = append(texts, fmt.Sprintf("and %d more", i+1))
			break
		}
		texts = append(texts, fmt.Sprintf("backup %d (%s)", b.Number, strings.Join(b.Reasons, " ")))
	}
	return strings.Join(texts, ", ")
}
