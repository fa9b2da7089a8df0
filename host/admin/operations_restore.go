package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
)

// Restore replaces the store's data. Before anything of the store is touched, the chain of
// backups has been looked at; while the new data is written, reads go on. An error leaves
// the store as it was.
func (o *Operations) Restore(ctx context.Context, r RestoreRequest) (res *host.RestoreResult, err error) {
	done, err := o.takeTurn(ctx, "opRestore")
	if err != nil {
		return nil, err
	}
	defer done()
	began, name := time.Now(), o.name(ctx, r.From)
	o.log().Warn("restore begins: the database is replaced when it is complete", "location", name, "series", r.Series, "number", r.Number)
	res, err = o.restore(ctx, r)
	err = r.From.conceal(err)
	took := time.Since(began)
	o.Metrics.Restore(name, took, err)
	if err != nil {
		then := "the database is as it was"
		if o.Store.Failure() != nil {
			then = "the next start tells what there is"
		}
		o.log().Error("restore failed; "+then, "location", name, "took", took, "error", err)
		return nil, err
	}
	o.log().Warn("restore complete", "location", name, "backup", res.Backup, "groups", res.Groups, "entries", res.Entries, "took", took, "draining", r.IsPartial)
	return res, nil
}

func (o *Operations) restore(ctx context.Context, r RestoreRequest) (res *host.RestoreResult, err error) {
	from, closeLocation, err := o.open(ctx, r.From)
	if err != nil {
		return nil, err
	}
	defer closeLocation()
	key, closeKey, err := o.key(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	defer closeKey()
	if err := o.restorable(ctx, from, key, r); err != nil {
		return nil, err
	}
	if was := o.Store.Draining(); r.IsPartial && !was {
		o.Store.SetDraining(true) // first, so that nothing is written between the restore and this
		defer func() {
			if err != nil {
				o.Store.SetDraining(false)
			}
		}()
	}
	err = o.Store.Replace(ctx, func(ctx context.Context, dir string, version uint64) (err error) {
		res, err = o.engine(ctx).Restore(ctx, host.RestoreRequest{
			From: from, Key: key, Series: r.Series, Number: r.Number, Postings: dir, PostingsKey: o.PostingsKey, Version: version,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// CheckRestore finds out what would keep a restore from being complete, as far as that
// can be told without reading the backups themselves.
func (o *Operations) CheckRestore(ctx context.Context, r RestoreRequest) error {
	from, closeLocation, err := o.open(ctx, r.From)
	if err != nil {
		return r.From.conceal(err)
	}
	defer closeLocation()
	key, closeKey, err := o.key(ctx, r.Key)
	if err != nil {
		return err
	}
	defer closeKey()
	return r.From.conceal(o.restorable(ctx, from, key, r))
}

// restorable looks at the manifests of the chain, and at whether every object is there with
// a true seal. Its errors are Dgraph's, where Dgraph has one.
func (o *Operations) restorable(ctx context.Context, from host.Location, key *host.Key, r RestoreRequest) error {
	list, err := o.Engine.List(ctx, from)
	if err != nil {
		return fmt.Errorf("failed to verify backup: while retrieving manifests: %w", err)
	}
	all := make([]manifest.Manifest, len(list))
	for i := range list {
		all[i] = list[i].Manifest
	}
	chain, err := manifest.Chain(all, r.Series, 0)
	switch {
	case errors.Is(err, manifest.ErrNoBackup):
		return fmt.Errorf("failed to verify backup: No backups with the specified backup ID %s: %w", r.Series, err)
	case err == nil && r.Number > len(chain):
		return fmt.Errorf("failed to verify backup: while retrieving manifests: not enough backups to restore manifest with backupNum %d: %w", r.Number, manifest.ErrNoBackup)
	case err == nil && chain[0].Kind != manifest.KindDgraph:
		return fmt.Errorf("failed to verify backup: series %s holds a plain Badger database, which is not one of this kind: %w", chain[0].Series, host.ErrUsage)
	}
	report, err := o.Engine.Verify(ctx, host.VerifyRequest{From: from, Key: key, Series: r.Series, Number: r.Number})
	if err != nil {
		return fmt.Errorf("failed to verify backup: %w", err)
	}
	for _, b := range report.Backups {
		for _, p := range b.Problems {
			return fmt.Errorf("failed to verify backup: %s: %s: %s: %w", b.ID, p.Object, p.Text, host.ErrDamaged)
		}
	}
	return nil
}
