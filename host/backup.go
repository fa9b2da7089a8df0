package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A BackupRequest says what to back up, and how.
type BackupRequest struct {
	Source Source
	To     Location
	Key    *Key // nil: not encrypted

	// Continues reports whether all that has changed in the database since a backup can
	// be told by its timestamps. nil: of any backup.
	Continues func(last *manifest.Manifest) bool

	ForceFull bool            // begin a new series even if there is one
	AutoFull  bool            // begin a new series where an incremental would be unsound
	Compat    manifest.Compat // whose backups these look like; v23 if empty
	Codec     string          // the form's own if empty
	Prove     bool            // fingerprint the whole database in an incremental, too
}

// A BackupResult describes a backup that exists.
type BackupResult struct {
	Manifest *manifest.Manifest
	Bytes    int64 // stored
	Entries  int64
	Damaged  []string // keys that were left out because they could not be read
	Warning  string   // the backup is complete, but something else is not

	// Stages tell how long each took: "plan" looks at the location and the database,
	// "objects" writes the data, "commit" makes the backup exist, "publish" tells Dgraph.
	Stages map[string]time.Duration
}

// A stopwatch takes the times of stages that follow one another.
type stopwatch struct {
	last   time.Time
	stages map[string]time.Duration
}

func newStopwatch() *stopwatch {
	return &stopwatch{time.Now(), map[string]time.Duration{}}
}

// done ends a stage; the next begins.
func (w *stopwatch) done(stage string) {
	now := time.Now()
	w.stages[stage], w.last = now.Sub(w.last), now
}

// Backup takes one backup. It is incremental if the location has a series to
// continue, and full otherwise. The backup becomes visible all at once when its
// commit record is written; an error means that nothing of it is visible.
func (e *Engine) Backup(ctx context.Context, req BackupRequest) (*BackupResult, error) {
	ctx = e.withLog(ctx)
	watch := newStopwatch()
	c, err := e.catalogue(ctx, req.To)
	if errors.Is(err, ErrNoLocation) {
		e.log().Info("the location is new", "location", req.To.URI)
		c, err = &catalogue{loc: req.To}, nil // nothing is there
	}
	if err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	p, err := e.plan(ctx, c, req)
	if err != nil {
		return nil, err
	}
	defer clear(p.dataKey)
	watch.done("plan")
	res := &BackupResult{Manifest: p.m, Stages: watch.stages}
	err = e.writeObjects(ctx, p, res)
	if res.Damaged = req.Source.Damaged(); err == nil && len(res.Damaged) > 0 {
		err = p.writeDamaged(ctx, res.Damaged)
	}
	if err == nil {
		err = p.alone(ctx)
	}
	if err != nil {
		e.discard(ctx, c.loc.Destination, p)
		return nil, fmt.Errorf("backup %s: %w", p.m.ID(), err)
	}
	watch.done("objects")
	if err := e.commit(ctx, c.loc.Destination, p); err != nil {
		return nil, fmt.Errorf("backup %s: %w", p.m.ID(), err)
	}
	watch.done("commit")
	c.all = append(c.all, *p.m)
	if err := c.publish(ctx); err != nil {
		res.Warning = fmt.Sprintf("backup %s is complete, but Dgraph's own manifest could not be updated (%v): the next backup or ls repairs it", p.m.ID(), err)
		e.log().Warn(res.Warning)
	}
	watch.done("publish")
	return res, nil
}

// writeObjects stores every group's file and seal.
func (e *Engine) writeObjects(ctx context.Context, p *plan, res *BackupResult) error {
	meter := e.meter("backup")
	defer meter.stop()
	for _, g := range sorted(p.m.Groups) {
		o, entries, err := e.writeGroup(ctx, p, g, meter)
		if err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
		p.m.Record.Objects = append(p.m.Record.Objects, o)
		res.Bytes += o.Size
		res.Entries += entries
	}
	return nil
}

// writeDamaged stores the list of keys that could not be read beside the
// backup's files, one per line.
func (p *plan) writeDamaged(ctx context.Context, keys []string) error {
	name := p.m.Path + "/damaged.txt"
	if err := putNew(ctx, p.req.To.Destination, name, []byte(strings.Join(keys, "\n")+"\n")); err != nil {
		return err
	}
	p.written = append(p.written, name)
	p.m.Record.Damaged = name
	return nil
}

// alone makes sure that no other backup, begun in the same millisecond, writes to the same
// directory. Whoever looks last, after its own objects are there, sees those of the
// other; two records that name one directory would contradict each other for good. And it
// makes sure that no prune has taken the backup for one that was never finished, and that
// every file has the size it was written with: who lists the backup would find it damaged.
func (p *plan) alone(ctx context.Context) error {
	return retry(ctx, func() error {
		there := 0
		for obj, err := range p.req.To.Destination.List(ctx, p.m.Path+"/") {
			if err != nil {
				return err
			}
			if !slices.Contains(p.written, obj.Name) {
				return &failure{fmt.Errorf("%s: %w", obj.Name, ErrConflict), ErrConflict, "run the backup again"}
			}
			if i := slices.IndexFunc(p.m.Record.Objects, func(o manifest.Object) bool { return o.Name == obj.Name }); i >= 0 && obj.Size != p.m.Record.Objects[i].Size {
				return damaged("the storage, or its plugin, does not keep what it is given: brock plugin doctor tries it",
					"%s: %d bytes were stored, and %d are listed", obj.Name, p.m.Record.Objects[i].Size, obj.Size)
			}
			there++
		}
		if there < len(p.written) {
			return damaged("a prune takes what is older than --abandoned-after for rubbish: make that longer than a backup takes, and run the backup again",
				"%s: %d of %d objects are gone before they were committed", p.m.Path, len(p.written)-there, len(p.written))
		}
		return nil
	})
}

// discard removes the objects of a backup that was never committed. What it
// cannot remove is rubbish without a manifest, which nobody ever reads.
func (e *Engine) discard(ctx context.Context, d sdk.Destination, p *plan) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for _, name := range p.written {
		if err := d.Delete(ctx, name); err != nil && !errors.Is(err, sdk.ErrNotExist) {
			e.log().Warn("an object of the failed backup is left behind", "object", name, "error", err)
		}
	}
}

// commit makes the backup exist. From here on a cancel comes too late: a commit
// that was asked for may happen, whoever still listens.
func (e *Engine) commit(ctx context.Context, d sdk.Destination, p *plan) error {
	data, err := manifest.EncodeRecord(p.m)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.discard(ctx, d, p)
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	name := manifest.RecordName(p.m.Series, p.m.Number)
	if err = putNew(ctx, d, name, data); err == nil {
		return nil
	}
	return e.settle(ctx, d, p, name, data, err)
}

// commitTime is how long the Put of a commit record may take.
const commitTime = 2 * time.Minute

// settle finds out whether a commit that failed is there all the same. Only
// when it surely is not are the backup's objects removed; else they stay, for
// they may be those of a backup.
func (e *Engine) settle(ctx context.Context, d sdk.Destination, p *plan, name string, data []byte, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	there, err := getAll(ctx, d, name)
	late := errors.Is(cause, sdk.ErrUnavailable) || errors.Is(cause, context.DeadlineExceeded)
	switch {
	case err == nil && bytes.Equal(there, data):
		return nil
	case err == nil:
		e.discard(ctx, d, p)
		if manifest.IsClosing(there) {
			return &failure{
				fmt.Errorf("%s: a prune removes series %s, which is not the latest any more: %w", name, p.m.Series, ErrConflict), ErrConflict,
				"run the backup again: it will continue the latest series",
			}
		}
		return &failure{fmt.Errorf("%s: %w", name, ErrConflict), ErrConflict, "run the backup again: it will continue after the other one"}
	case errors.Is(err, sdk.ErrNotExist) && !late:
		e.discard(ctx, d, p)
		return cause
	}
	return &failure{
		fmt.Errorf("%w (whether the commit record was stored is not known)", cause), ErrUnknown,
		"look with brock ls when the destination answers again: the backup is complete if it is listed",
	}
}

// repair publishes committed backups that Dgraph cannot see, because the
// command that took them was killed. A location that cannot be written is left
// as it is.
func (e *Engine) repair(ctx context.Context, c *catalogue) {
	one := func(m manifest.Manifest) bool { return c.unpublished(&m) }
	if !slices.ContainsFunc(c.all, one) || c.continuable() != nil {
		return
	}
	if err := c.publish(ctx); err != nil {
		e.log().Warn("committed backups are not in Dgraph's manifest yet", "location", c.loc.URI, "error", err)
	}
}

// unpublished reports whether Dgraph is to be told of m. Of what is going away it is not.
func (c *catalogue) unpublished(m *manifest.Manifest) bool {
	return !m.Published && m.Kind == manifest.KindDgraph && !c.closed(m)
}
