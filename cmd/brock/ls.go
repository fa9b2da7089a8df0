package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

func (a *app) ls() *cobra.Command {
	var location locationFlag
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"lsbackup"},
		Short:   "List the backups of a location",
		Long: `Ls lists the backups of a location, oldest first. A backup is sealed if Brock
made it: then every block of it can be verified. One that lacks objects is
listed as damaged, and the exit code is 3; so is a manifest or a commit record
that cannot be read. The others can be restored by --backup_id and --backup_num.
What is pinned is told below the list.`,
		Example: `  brock ls -l ./backups
  brock lsbackup -l ./backups --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return list(cmd.Context(), a, &location) },
	}
	location.add(cmd)
	return cmd
}

func list(ctx context.Context, a *app, location *locationFlag) error {
	at, err := location.open(ctx, a)
	if err != nil {
		return err
	}
	backups, err := a.engine.List(ctx, at)
	if err != nil {
		return err
	}
	type listed struct {
		summary
		Sealed  bool     `json:"sealed"`
		Missing []string `json:"missing,omitempty"`
		Pinned  bool     `json:"pinned,omitempty"`
		Pin     string   `json:"pin_reason,omitempty"`
	}
	v := make([]listed, len(backups))
	var lost []string
	for i, b := range backups {
		v[i] = listed{summary: summarize(&b.Manifest, b.Size), Sealed: b.Sealed, Missing: b.Missing}
		if b.Pin != nil {
			v[i].Pinned, v[i].Pin = true, b.Pin.Reason
		}
		lost = append(lost, b.Missing...)
	}
	if err := a.result(v, func(w io.Writer) { table(w, at, backups) }); err != nil {
		return err
	}
	if len(lost) > 0 {
		return &problem{"missing or broken: " + strings.Join(lost, ", "), "brock verify tells which backups can still be restored", exitDamage}
	}
	return nil
}

func table(w io.Writer, at host.Location, backups []host.Listing) {
	if len(backups) == 0 {
		fmt.Fprintf(w, "no backups at %s\n", at.URI)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BACKUP\tTYPE\tTIME\tREAD TS\tGROUPS\tSIZE\tKEY\tSEAL\tPATH")
	for _, b := range backups {
		m := &b.Manifest
		when, seal, key := "-", "unsealed", "plain"
		if taken, ok := takenAt(m); ok {
			when = taken.Format("2006-01-02 15:04:05")
		}
		if b.Sealed {
			seal = "sealed"
		}
		if len(b.Missing) > 0 {
			seal = "damaged"
		}
		if m.Encrypted {
			key = "encrypted"
		}
		if m.ReadTs == 0 { // broken: only a name is known
			id, dash := "-", "-"
			if m.Series != "" {
				id = m.ID()
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", id, dash, dash, dash, dash, dash, dash, seal, m.Path)
			continue
		}
		groups := strings.Trim(fmt.Sprint(groupNumbers(m)), "[]")
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n",
			m.ID(), fullOrIncremental(m), when, m.ReadTs, strings.ReplaceAll(groups, " ", ","), size(b.Size), key, seal, m.Path)
	}
	t.Flush()
	for i, b := range backups { // each pin once, below the last backup that it holds
		if b.Pin != nil && (i+1 == len(backups) || backups[i+1].Pin == nil || *backups[i+1].Pin != *b.Pin) {
			text := pinned(b.Pin.Series, b.Pin.Number) + " is pinned"
			if b.Pin.Reason != "" {
				text += ": " + b.Pin.Reason
			}
			fmt.Fprintln(w, text)
		}
	}
}
