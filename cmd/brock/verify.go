package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

// verifyOptions are the flags of brock verify.
type verifyOptions struct {
	location locationFlag
	backup   backupFlags
	key      keyFlags
	deep     bool
	restore  bool
}

func (a *app) verify() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that backups can be restored",
		Long: `Verify checks the chain of one backup: that every object is there, has its size
and a seal that is whole. With --deep it reads every byte and checks it against
the seals. With --restore it restores the chain into a scratch directory and
compares the result with the fingerprint taken when the backup was made.

Backups made by Dgraph itself have no seals: of these, shallow verification sees
that the objects are there, and --deep that every entry can be read.`,
		Example: `  brock verify -l ./backups
  brock verify -l ./backups --deep
  brock verify -l ./encrypted --restore --encryption_key_file ./key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	o.location.add(cmd)
	o.backup.add(cmd)
	o.key.add(cmd)
	cmd.Flags().BoolVar(&o.deep, "deep", false, "read and check every byte")
	cmd.Flags().BoolVar(&o.restore, "restore", false, "restore to a scratch directory and compare fingerprints")
	cmd.PreRunE = exclusive("deep", "restore")
	return cmd
}

func (o *verifyOptions) run(ctx context.Context, a *app) error {
	if err := o.backup.check(); err != nil {
		return err
	}
	req := host.VerifyRequest{Series: o.backup.series, Number: o.backup.number, Mode: o.mode()}
	var err error
	if req.From, err = o.location.open(ctx, a); err != nil {
		return err
	}
	if req.Key, err = o.key.open(ctx, a); err != nil {
		return err
	}
	report, err := a.engine.Verify(ctx, req)
	if err != nil {
		return err
	}
	if err := showReport(a, report); err != nil {
		return err
	}
	if !report.OK() {
		return &problem{req.From.URI + " is damaged", "restore an earlier backup with --backup_num, or bring the objects back from another copy", exitDamage}
	}
	return nil
}

func (o *verifyOptions) mode() host.VerifyMode {
	switch {
	case o.restore:
		return host.VerifyRestore
	case o.deep:
		return host.VerifyDeep
	}
	return host.VerifyShallow
}

func showReport(a *app, report *host.VerifyReport) error {
	type found struct {
		Object  string `json:"object"`
		Problem string `json:"problem"`
	}
	type checked struct {
		Backup   string  `json:"backup"`
		Path     string  `json:"path"`
		Sealed   bool    `json:"sealed"`
		Objects  int     `json:"objects"`
		Blocks   int     `json:"blocks"`
		Entries  int64   `json:"entries"`
		Bytes    int64   `json:"bytes"`
		Problems []found `json:"problems"`
	}
	v := struct {
		OK      bool      `json:"ok"`
		Proved  bool      `json:"proved"`
		Doubt   string    `json:"doubt,omitempty"`
		Backups []checked `json:"backups"`
	}{report.OK(), report.Proved, report.Doubt, []checked{}}
	for _, b := range report.Backups {
		c := checked{b.ID, b.Path, b.Sealed, b.Objects, b.Blocks, b.Entries, b.Bytes, []found{}}
		for _, p := range b.Problems {
			c.Problems = append(c.Problems, found{p.Object, p.Text})
		}
		v.Backups = append(v.Backups, c)
	}
	return a.result(v, func(w io.Writer) {
		for _, c := range v.Backups {
			verdict, seal := "ok", "sealed"
			if len(c.Problems) > 0 {
				verdict = "DAMAGED"
			}
			if !c.Sealed {
				seal = "unsealed"
			}
			fmt.Fprintf(w, "%s  %s  %s  %s  %s", verdict, c.Backup, seal, count(c.Objects, "object"), size(c.Bytes))
			if c.Blocks > 0 {
				fmt.Fprintf(w, "  %s", count(c.Blocks, "block"))
			}
			if c.Entries > 0 {
				fmt.Fprintf(w, "  %s entries", comma(c.Entries))
			}
			fmt.Fprintln(w)
			for _, p := range c.Problems {
				fmt.Fprintf(w, "  %s: %s\n", p.Object, p.Problem)
			}
		}
		if report.Proved {
			fmt.Fprintln(w, "proved: the restored database is the one that was backed up")
		} else if report.Doubt != "" {
			fmt.Fprintf(w, "restored as the backups say, but not proved: %s\n", report.Doubt)
		}
	})
}
