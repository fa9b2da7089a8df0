// Package admin is what a running host answers over HTTP: Dgraph's paths for data, the
// GraphQL of /admin, health, state and metrics.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk"
)

// Operations are what a running host does for /admin, the schedule and the command. At most
// one backup or restore runs at a time; another one waits for its turn.
type Operations struct {
	Store   *store.Store
	Engine  *host.Engine
	Plugins *plugindir.Dirs
	Key     KeyFunc // of backups; nil: they are not encrypted
	Logger  hclog.Logger
	Metrics *Metrics // may be nil

	// PostingsKey is the key that the store itself is encrypted with, if it is: what
	// is restored must be, too.
	PostingsKey sdk.Secret

	// Refuse says why no backup goes to a location, as to one inside the store: a restore
	// would take it away. Nil: backups go anywhere.
	Refuse func(uri string) error

	mu      sync.Mutex
	ongoing map[string]int // "opBackup", "opRestore", ...
	turn    chan struct{}  // holds an element while a backup or restore runs
}

// A KeyFunc opens the key of backups. The request is that of a restore, which may name
// another key; it is nil for backups. A provider that is opened for a request is closed
// after use, if it is an [io.Closer].
type KeyFunc func(ctx context.Context, r *KeyRequest) (*host.Key, error)

// A KeyRequest names a key as Dgraph's restore does.
type KeyRequest struct {
	EncryptionKeyFile                                                                 string
	VaultAddr, VaultRoleIDFile, VaultSecretIDFile, VaultPath, VaultField, VaultFormat string
}

// A BackupRequest asks for one backup of the store.
type BackupRequest struct {
	To        LocationRequest
	ForceFull bool
	Prove     bool // an incremental one carries a fingerprint of the whole database, too
}

// A RestoreRequest asks for the store to become what a backup holds.
type RestoreRequest struct {
	From      LocationRequest
	Series    string
	Number    int
	Key       *KeyRequest // nil: that of the host
	IsPartial bool        // writes stay refused afterwards
}

// What a backup that does not fit its location's latest one is told, in the words
// that Dgraph has for it.
var (
	errWasPlain     = errors.New(`latest manifest indicates the last backup was not encrypted but this instance has encryption turned on. Try "forceFull" flag.`) //nolint:revive,staticcheck // Dgraph's words
	errWasEncrypted = errors.New(`latest manifest indicates the last backup was encrypted but this instance has encryption turned off. Try "forceFull" flag.`)    //nolint:revive,staticcheck // Dgraph's words
)

// Backup takes one backup. It is incremental if the location has a series to continue.
func (o *Operations) Backup(ctx context.Context, r BackupRequest) (res *host.BackupResult, err error) {
	done, err := o.takeTurn(ctx, "opBackup")
	if err != nil {
		return nil, err
	}
	defer done()
	began, name := time.Now(), o.name(ctx, r.To)
	o.log().Info("backup begins", "location", name, "force_full", r.ForceFull)
	res, err = o.backup(ctx, r)
	err = r.To.conceal(err)
	took := time.Since(began)
	o.Metrics.Backup(name, res, took, err)
	if err != nil {
		o.log().Error("backup failed", "location", name, "took", took, "error", err)
		return nil, err
	}
	o.log().Info("backup complete", "location", name, "backup", res.Manifest.ID(), "full", res.Manifest.Full,
		"read_ts", res.Manifest.ReadTs, "bytes", res.Bytes, "entries", res.Entries, "took", took)
	return res, nil
}

func (o *Operations) backup(ctx context.Context, r BackupRequest) (res *host.BackupResult, err error) {
	if r.To.URI == "" {
		return nil, errNoDestination
	}
	if o.Refuse != nil {
		if err := o.Refuse(r.To.URI); err != nil {
			return nil, err
		}
	}
	to, closeLocation, err := o.open(ctx, r.To)
	if err != nil {
		return nil, err
	}
	defer closeLocation()
	key, closeKey, err := o.key(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer closeKey()
	src, err := o.Store.Source(ctx, badgerdb.Options{Logger: o.log(), Memory: o.Engine.Memory, Kind: manifest.KindDgraph})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := src.Close(); err != nil { // the backup is what it is
			o.log().Warn("what was backed up did not close well", "error", err)
		}
	}()
	res, err = o.engine(ctx).Backup(ctx, host.BackupRequest{
		Source: src, To: to, Key: key, ForceFull: r.ForceFull, AutoFull: !r.ForceFull, Prove: r.Prove,
		Continues: func(last *manifest.Manifest) bool { return o.Store.HasTaken(last.Series, last.Number, last.ReadTs) },
	})
	switch {
	case errors.Is(err, host.ErrKeyGiven):
		return nil, fmt.Errorf("%w (%w)", errWasPlain, err)
	case errors.Is(err, host.ErrKeyMissing):
		return nil, fmt.Errorf("%w (%w)", errWasEncrypted, err)
	case err != nil:
		return nil, err
	}
	m := res.Manifest
	if err := o.Store.Took(m.Series, m.Number, m.ReadTs); err != nil {
		o.log().Warn("the backup is complete, but the next one will be a full one", "backup", m.ID(), "error", err)
	}
	return res, nil
}

// List returns the backups of a location, oldest first.
func (o *Operations) List(ctx context.Context, at LocationRequest) ([]manifest.Manifest, error) {
	loc, closeLocation, err := o.open(ctx, at)
	if err != nil {
		return nil, at.conceal(err)
	}
	defer closeLocation()
	list, err := o.Engine.List(ctx, loc)
	if err != nil {
		return nil, at.conceal(err)
	}
	var all []manifest.Manifest
	for i := range list {
		if m := &list[i].Manifest; len(m.Groups) > 0 { // else nothing but a broken record tells of it
			all = append(all, *m)
		}
	}
	return all, nil
}

// Verify examines a location's backups. Where r has no key, that of the host is used.
func (o *Operations) Verify(ctx context.Context, at LocationRequest, r host.VerifyRequest) (report *host.VerifyReport, err error) {
	o.note("opVerify", 1)
	defer o.note("opVerify", -1)
	began, name := time.Now(), o.name(ctx, at)
	defer func() {
		err = at.conceal(err)
		o.Metrics.Verify(name, report, time.Since(began), err)
		switch {
		case err != nil:
			o.log().Error("verification failed", "location", name, "error", err)
		case !report.OK():
			o.log().Error("verification found damage", "location", name, "backups", len(report.Backups))
		default:
			o.log().Info("verification complete", "location", name, "backups", len(report.Backups), "took", time.Since(began))
		}
	}()
	loc, closeLocation, err := o.open(ctx, at)
	if err != nil {
		return nil, err
	}
	defer closeLocation()
	if r.Key == nil {
		key, closeKey, err := o.key(ctx, nil)
		if err != nil {
			return nil, err
		}
		defer closeKey()
		r.Key = key
	}
	r.From = loc
	return o.engine(ctx).Verify(ctx, r)
}

// Prune removes what the rules let go.
func (o *Operations) Prune(ctx context.Context, at LocationRequest, r host.PruneRequest) (res *host.PruneResult, err error) {
	o.note("opPrune", 1)
	defer o.note("opPrune", -1)
	began, name := time.Now(), o.name(ctx, at)
	defer func() {
		err = at.conceal(err)
		if !r.DryRun {
			o.Metrics.Prune(name, res, time.Since(began), err)
		}
		if err != nil {
			o.log().Error("prune failed", "location", name, "error", err)
			return
		}
		o.log().Info("prune complete", "location", name, "dry_run", r.DryRun, "series", len(res.Series), "objects", res.Objects, "bytes", res.Bytes)
	}()
	loc, closeLocation, err := o.open(ctx, at)
	if err != nil {
		return nil, err
	}
	defer closeLocation()
	r.At = loc
	return o.engine(ctx).Prune(ctx, r)
}

// Ongoing names what is under way, as Dgraph's health does: opBackup, opRestore; and
// opVerify and opPrune, which Dgraph has not.
func (o *Operations) Ongoing() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.ongoing))
}

func (o *Operations) note(op string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ongoing == nil {
		o.ongoing = map[string]int{}
	}
	if o.ongoing[op] += n; o.ongoing[op] == 0 {
		delete(o.ongoing, op)
	}
}

// takeTurn waits until no other backup or restore runs.
func (o *Operations) takeTurn(ctx context.Context, op string) (done func(), err error) {
	o.mu.Lock()
	if o.turn == nil {
		o.turn = make(chan struct{}, 1)
	}
	turn := o.turn
	o.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	o.note(op, 1)
	return func() {
		o.note(op, -1)
		<-turn
	}, nil
}

// key opens a key; there is none where the host has none.
func (o *Operations) key(ctx context.Context, r *KeyRequest) (key *host.Key, closeKey func(), err error) {
	if o.Key == nil && r == nil {
		return nil, func() {}, nil
	}
	if o.Key == nil {
		return nil, nil, fmt.Errorf("a key was named, and this host opens none: %w", sdk.ErrInvalid)
	}
	if key, err = o.Key(ctx, r); err != nil {
		return nil, nil, err
	}
	return key, func() {
		if r == nil || key == nil {
			return
		}
		if c, ok := key.Provider.(io.Closer); ok {
			if err := c.Close(); err != nil {
				o.log().Warn("the key provider of a request did not close", "error", err)
			}
		}
	}, nil
}

type progressKey struct{}

// withProgress has f told how far the operations under ctx have come.
func withProgress(ctx context.Context, f func(host.Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

// engine is the engine whose progress is that of ctx as well.
func (o *Operations) engine(ctx context.Context) *host.Engine {
	f, ok := ctx.Value(progressKey{}).(func(host.Progress))
	if !ok {
		return o.Engine
	}
	e := *o.Engine
	if also := e.Progress; also != nil {
		e.Progress = func(p host.Progress) { also(p); f(p) }
	} else {
		e.Progress = f
	}
	return &e
}

func (o *Operations) log() hclog.Logger {
	return cmp.Or[hclog.Logger](o.Logger, nullLogger)
}

var nullLogger = hclog.NewNullLogger()
