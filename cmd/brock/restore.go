package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
)

// restoreOptions are the flags of brock restore.
type restoreOptions struct {
	location     locationFlag
	backup       backupFlags
	key          keyFlags
	postings     string
	postingsKey  string
	zero         string
	forceZero    bool
	overwrite    bool
	keepVersions bool
	compat       string
}

func (a *app) restore() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Restore a backup into a database directory",
		Long: `Restore builds the database that a backup shows: one Badger directory per group,
p1, p2, ... below the given directory, or the directory itself for a plain Badger
database. The whole chain of the series is checked
while it is read, and the directories appear only when all of them are complete;
what was there before is kept until then.

Give each directory to one alpha of its group in a new cluster, as its p. The
cluster's Zero must first be told the timestamp and the uid that restore prints.`,
		Example: `  brock restore -l ./backups -p ./data
  brock restore -l ./backups -p ./earlier --backup_num 1
  brock restore -l ./encrypted -p ./secret --encryption_key_file ./key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	o.location.add(cmd)
	f.StringVarP(&o.postings, "postings", "p", "", "write p1, p2, ... below `DIR`")
	o.backup.add(cmd)
	o.key.add(cmd)
	f.StringVar(&o.postingsKey, "postings-encryption-key-file", "", "encrypt the restored directories with the key in `FILE`")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace directories that are there")
	f.BoolVar(&o.keepVersions, "keep-versions", false, "keep the backups' timestamps instead of writing all at 1, so that incremental backups can go on")
	f.StringVar(&o.compat, "compat", "v23", "write what this `VERSION` of Dgraph opens: v23 (to 25), v21 or v20")
	f.StringVarP(&o.zero, "zero", "z", "", "tell the Zero at `ADDRESS` (not possible yet: prints what to assign by hand)")
	f.BoolVar(&o.forceZero, "force-zero", true, "fail if the Zero given with -z cannot be told")
	return cmd
}

func (o *restoreOptions) run(ctx context.Context, a *app) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	if req.From, err = o.location.open(ctx, a); err != nil {
		return err
	}
	if req.Key, err = o.key.open(ctx, a); err != nil {
		return err
	}
	if req.PostingsKey, err = a.postingsKey(ctx, o.postingsKey); err != nil {
		return err
	}
	res, err := a.engine.Restore(ctx, req)
	if err != nil {
		return err
	}
	if err := o.show(a, res); err != nil {
		return err
	}
	if o.zero == "" {
		return nil
	}
	untold := fmt.Sprintf("the data is restored, but the Zero at %s was not told: this brock does not talk to Zero", o.zero)
	hint := "assign by hand, before the first alpha starts:\n" + assignments(o.zero, res)
	if o.forceZero {
		return &problem{untold, hint, exitFailed}
	}
	a.screen.warn(untold, hint)
	return nil
}

func (o *restoreOptions) request() (host.RestoreRequest, error) {
	if o.postings == "" {
		return host.RestoreRequest{}, usageError("for example -p ./data", "no target: say which directory to restore into with -p")
	}
	if err := o.backup.check(); err != nil {
		return host.RestoreRequest{}, err
	}
	compat, err := manifest.ParseCompat(o.compat)
	if err != nil {
		return host.RestoreRequest{}, usageError("", "--compat: %v", err)
	}
	return host.RestoreRequest{
		Series: o.backup.series, Number: o.backup.number, Postings: o.postings,
		Overwrite: o.overwrite, KeepVersions: o.keepVersions, Compat: compat,
	}, nil
}

func (o *restoreOptions) show(a *app, res *host.RestoreResult) error {
	v := struct {
		Backup   string   `json:"backup"`
		Postings string   `json:"postings"`
		Version  uint64   `json:"restore_version"`
		MaxUID   uint64   `json:"max_uid"`
		MaxNs    uint64   `json:"max_namespace"`
		Groups   []uint32 `json:"groups"`
		Entries  int64    `json:"entries"`
	}{res.Backup, o.postings, res.Version, res.MaxUID, res.MaxNs, res.Groups, res.Entries}
	return a.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "backup %s is restored in %s: %s, %s entries\n", res.Backup, o.postings, count(len(res.Groups), "group"), comma(res.Entries))
		fmt.Fprintf(w, "Restore version: %d\nRestore max uid: %d\n", res.Version, res.MaxUID)
		if res.MaxNs > 0 {
			fmt.Fprintf(w, "Restore max namespace: %d\n", res.MaxNs)
		}
	})
}
