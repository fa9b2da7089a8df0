package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

// pinOptions are the flags of brock pin.
type pinOptions struct {
	location locationFlag
	backup   backupFlags
	reason   string
	remove   bool
}

func (a *app) pin() *cobra.Command {
	var o pinOptions
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Keep a backup, whatever prune is told",
		Long: `Pin keeps a backup and what must be restored before it, until it is unpinned: no
prune removes its series. Without --backup-num it pins the whole series, without
--backup-id that of the latest backup. The pin is a small object of its own at
the location; Dgraph does not see it. brock ls shows what is pinned.

With --remove it takes pins away: that of one backup, or without --backup-num
every one of the series. Nothing else is removed before the next prune.`,
		Example: `  brock pin -l ./backups --backup_id keen_leakey6 --backup_num 3 --reason "before the migration"
  brock pin -l ./backups --backup_id keen_leakey6 --remove`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	o.location.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.backup.series, "backup-id", "", "the series with this `ID` (default: the latest)")
	f.IntVar(&o.backup.number, "backup-num", 0, "backup number `N` of the series (default: the whole series)")
	f.StringVar(&o.reason, "reason", "", "why, as one line of `TEXT`")
	f.BoolVar(&o.remove, "remove", false, "take the pin away")
	cmd.PreRunE = exclusive("reason", "remove")
	return cmd
}

// pinView is what was pinned, or unpinned.
type pinView struct {
	Location string `json:"location"`
	Series   string `json:"backup_id"`
	Number   int    `json:"backup_num,omitempty"`
	Since    string `json:"since,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Removed  int    `json:"removed,omitempty"`
}

func (o *pinOptions) run(ctx context.Context, a *app) error {
	if err := o.backup.check(); err != nil {
		return err
	}
	at, err := o.location.open(ctx, a)
	if err != nil {
		return err
	}
	v := &pinView{Location: at.URI, Series: o.backup.series, Number: o.backup.number}
	if o.remove {
		v.Removed, err = a.engine.Unpin(ctx, at, v.Series, v.Number)
	} else {
		err = o.pin(ctx, a, at, v)
	}
	if err != nil {
		return err
	}
	return a.result(v, v.show)
}

func (o *pinOptions) pin(ctx context.Context, a *app, at host.Location, v *pinView) error {
	pin, err := a.engine.Pin(ctx, host.PinRequest{At: at, Series: v.Series, Number: v.Number, Reason: o.reason})
	if err != nil {
		return err
	}
	v.Series, v.Since, v.Reason = pin.Series, pin.Created.UTC().Format(time.RFC3339), pin.Reason
	return nil
}

func (v *pinView) show(w io.Writer) {
	switch what := pinned(v.Series, v.Number); {
	case v.Removed == 1:
		fmt.Fprintf(w, "%s: a pin was taken away from %s\n", v.Location, what)
	case v.Removed > 1:
		fmt.Fprintf(w, "%s: %d pins were taken away from %s\n", v.Location, v.Removed, what)
	case v.Reason != "":
		fmt.Fprintf(w, "%s: %s is pinned since %s: %s\n", v.Location, what, v.Since, v.Reason)
	default:
		fmt.Fprintf(w, "%s: %s is pinned since %s\n", v.Location, what, v.Since)
	}
}

// pinned names what a pin holds.
func pinned(series string, number int) string {
	switch {
	case series == "":
		return "the latest series"
	case number == 0:
		return "series " + series
	}
	return fmt.Sprintf("backup %s/%d", series, number)
}
