package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/brock-backup/brock/host/manifest"
)

// DefaultAbandoned is how old the objects of a backup must be that was never
// committed, for them to be rubbish: a backup that takes longer loses them, and fails.
const DefaultAbandoned = 7 * 24 * time.Hour

// A PruneRequest says what may go. A series goes if neither Rules nor Keep nor OlderThan
// keep it; with none of them, no backup goes. Whatever they say, what is pinned
// stays, the series of the latest backup, and the latest one that can be restored.
type PruneRequest struct {
	At        Location
	Rules     KeepRules     // a series stays if they pick one of its backups
	Keep      int           // so many series stay, the latest ones that can be restored
	OlderThan time.Duration // a series stays if its last backup is younger
	Abandoned time.Duration // age of rubbish; DefaultAbandoned if 0
	DryRun    bool          // tell what would go, and write nothing
}

// A PruneResult says what went, or would go, and why the rest stays.
type PruneResult struct {
	Series    []PrunedSeries
	Kept      []KeptSeries
	Abandoned []string // directories of backups that were never committed, or of which only a manifest is left
	Leftovers []string // keys, pins and closings of series that are gone
	Objects   int
	Bytes     int64
}

// A PrunedSeries is a full backup and its incrementals, all of which went.
type PrunedSeries struct {
	ID      string
	Backups int
	Last    time.Time // when the last of them was taken
	Bytes   int64
}

// A KeptSeries is a series that stays, with all its backups: each is needed by those
// after it.
type KeptSeries struct {
	ID      string
	Backups int
	Last    time.Time
	Bytes   int64
	Reasons []string     // of the series as a whole: see the constants
	Picked  []KeptBackup // by rules or pins, oldest first
}

// A KeptBackup is one for which a series stays.
type KeptBackup struct {
	Number  int
	Taken   time.Time
	Reasons []string // last, hourly, daily, weekly, monthly, yearly, within: the rules; StaysPinned
}

// Reasons why a series stays, other than rules.
const (
	StaysLatest   = "latest"    // it has the latest backup, which the next one continues
	StaysLastGood = "last-good" // it is the latest that can be restored, or comes after that
	StaysPinned   = "pin"
	StaysKeep     = "keep"    // PruneRequest.Keep
	StaysYoung    = "young"   // PruneRequest.OlderThan
	StaysUndated  = "undated" // nobody knows how old it is
	StaysInRoot   = "root"    // its objects are not in a directory of their own
	StaysGrown    = "grown"   // a backup has continued it while Prune ran
	StaysAll      = "all"     // there is no rule
)

// Prune removes whole series, the objects of backups that were never committed, and what
// is left of series that are gone. A series is closed first, so that no backup continues
// it; then Dgraph's manifest forgets it, and then its backups go, the latest
// first and each beginning with its commit record: whenever Prune is cut short,
// what is still listed can still be restored, and the next Prune does the rest. Objects that
// no backup is known to have made are left alone.
func (e *Engine) Prune(ctx context.Context, req PruneRequest) (*PruneResult, error) {
	if err := req.Rules.Check(); err != nil {
		return nil, err
	}
	ctx = e.withLog(ctx)
	c, err := e.catalogue(ctx, req.At)
	if err != nil {
		return nil, err
	}
	if err := c.whole(); err != nil {
		return nil, err
	}
	if !req.DryRun {
		e.repair(ctx, c)
	}
	abandoned := req.Abandoned
	if abandoned <= 0 {
		abandoned = DefaultAbandoned
	}
	p := &pruning{e: e, c: c, res: &PruneResult{}}
	for _, v := range c.judge(req, e.now()) {
		if v.stays() {
			p.res.Kept = append(p.res.Kept, c.keptSeries(v))
		} else {
			p.series = append(p.series, p.removal(v))
		}
	}
	before := e.now().Add(-abandoned)
	p.abandoned(before)
	p.leftovers(before)
	if req.DryRun {
		return p.foretell(), nil
	}
	if err := p.run(ctx); err != nil {
		e.unforget(context.WithoutCancel(ctx), c)
		return nil, fmt.Errorf("%s: %w", req.At.URI, err)
	}
	return p.res, nil
}

// unforget publishes again what is still there after a prune that has failed. Of what
// Dgraph has made nothing but c, from before, still tells.
func (e *Engine) unforget(ctx context.Context, before *catalogue) {
	c, err := look(ctx, before.loc)
	if err != nil {
		e.log().Warn("Dgraph's manifest may have forgotten backups that are still there", "location", before.loc.URI, "error", err)
		return
	}
	if _, master := before.sizes[manifest.MasterName]; master {
		there := c.all
		c.all = nil
		for i := range before.all {
			m := before.all[i]
			same := func(o manifest.Manifest) bool { return o.Path == m.Path }
			if at := slices.IndexFunc(there, same); at >= 0 {
				c.all = append(c.all, there[at])
				there = slices.Delete(there, at, at+1)
			} else if m.Record == nil && len(c.missing(&m)) == 0 {
				c.all = append(c.all, m)
			}
		}
		c.all = append(c.all, there...)
		err = c.extendMaster(ctx, func(ms []*manifest.Manifest) ([]*manifest.Manifest, error) { return ms, nil })
	}
	for i := range c.all {
		m := &c.all[i]
		if m.Record != nil && !m.Published && m.Kind == manifest.KindDgraph && manifest.Compat(m.Record.Compat) == manifest.CompatV20 && err == nil {
			err = c.publishSingle(ctx, m)
		}
	}
	if err != nil {
		e.log().Warn("Dgraph's manifest has forgotten backups that are still there", "location", c.loc.URI, "error", err)
	}
}

// whole refuses a location with a manifest or a record that is broken: what it
// tells of might be what must stay.
func (c *catalogue) whole() error {
	for _, name := range sorted(c.broken) {
		return fmt.Errorf("%s: %w", c.loc.URI, &failure{
			c.broken[name], ErrDamaged, "nothing is removed from a location that is damaged; bring the object back from another copy",
		})
	}
	return nil
}
