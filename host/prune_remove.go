package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A pruning is what is going to be removed.
type pruning struct {
	e       *Engine
	c       *catalogue
	res     *PruneResult
	series  []*removal
	dirs    []*removal // of backups that were never committed
	remains *removal   // of series that are gone

	total, done int // objects
}

// A removal is a number of objects that go together.
type removal struct {
	v     *verdict // nil if it is no series
	dir   string   // of a backup that was never committed
	names []string // in the order in which they go
}

func (r *removal) bytes(c *catalogue) (n int64) {
	for _, name := range r.names {
		n += c.sizes[name]
	}
	return n
}

// removal lists what belongs to a series.
func (p *pruning) removal(v *verdict) *removal {
	r := &removal{v: v}
	for _, m := range slices.Backward(v.backups) {
		r.names = append(r.names, p.c.objects(m)...)
	}
	if series := v.last().Series; p.c.alone(series, len(v.backups)) { // Dgraph may have given another one the name
		for _, n := range sorted(p.c.keys[series]) {
			r.names = append(r.names, manifest.KeyRecordName(series, n))
		}
	}
	return r
}

// objects lists what belongs to a backup, in the order in which it goes.
func (c *catalogue) objects(m *manifest.Manifest) []string {
	names := slices.DeleteFunc(c.below(m.Path), func(name string) bool {
		return path.Dir(name) != m.Path || !manifest.IsObject(name) && path.Base(name) != manifest.MasterName
	})
	own := m.Path + "/" + manifest.MasterName // of Dgraph 20.x: a record without it is published again
	at := slices.Index(names, own)
	if at >= 0 {
		names = append([]string{own}, slices.Delete(names, at, at+1)...)
	}
	if m.Record != nil {
		names = slices.Insert(names, min(at+1, 1), manifest.RecordName(m.Series, m.Number))
	}
	return names
}

// alone reports whether so many backups are all that there are of that name.
func (c *catalogue) alone(series string, backups int) bool {
	for i := range c.all {
		if c.all[i].Series == series {
			backups--
		}
	}
	return backups == 0
}

// below lists the objects of a directory.
func (c *catalogue) below(dir string) (names []string) {
	for _, name := range sorted(c.sizes) {
		if strings.HasPrefix(name, dir+"/") {
			names = append(names, name)
		}
	}
	return names
}

// told adds a removal to the result.
func (p *pruning) told(r *removal) {
	p.res.Objects += len(r.names)
	p.res.Bytes += r.bytes(p.c)
	switch {
	case r.v != nil:
		p.res.Series = append(p.res.Series, PrunedSeries{r.v.last().Series, len(r.v.backups), r.v.last().Taken(), r.bytes(p.c)})
	case r.dir != "":
		p.res.Abandoned = append(p.res.Abandoned, r.dir)
	default:
		p.res.Leftovers = append(p.res.Leftovers, r.names...)
	}
}

// foretell tells what run would remove.
func (p *pruning) foretell() *PruneResult {
	for _, r := range slices.Concat(p.series, p.dirs, []*removal{p.remains}) {
		p.told(r)
	}
	return p.res
}

// run removes what was chosen. What is left of series that are gone comes last: a closing
// must not go before what a late backup has written.
func (p *pruning) run(ctx context.Context) error {
	for _, r := range slices.Concat(p.series, p.dirs, []*removal{p.remains}) {
		p.total += len(r.names)
	}
	for _, r := range p.series {
		why, err := p.spared(ctx, r.v)
		if err != nil {
			return err
		}
		if why != "" {
			r.v.reasons = append(r.v.reasons, why)
			p.res.Kept = append(p.res.Kept, p.c.keptSeries(r.v))
			continue
		}
		if err := p.forget(ctx, r.v.backups); err != nil {
			return err
		}
		if err := p.remove(ctx, r); err != nil {
			return err
		}
	}
	if err := p.forget(ctx, p.c.leftoversOf()); err != nil {
		return err
	}
	dirs, err := p.stillAbandoned(ctx)
	if err != nil {
		return err
	}
	for _, r := range append(dirs, p.remains) {
		if err := p.remove(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// spared closes a series and looks whether it may still go: nobody has pinned it since it
// was listed, and no backup has continued it.
func (p *pruning) spared(ctx context.Context, v *verdict) (why string, err error) {
	closed, err := p.e.closeSeries(ctx, p.c, v.backups)
	if errors.Is(err, sdk.ErrPermission) && p.done == 0 {
		return "", &failure{fmt.Errorf("%w: nothing was removed", err), sdk.ErrPermission, sdk.Hint(err)}
	}
	if err != nil {
		return "", err
	}
	if !closed {
		return StaysGrown, nil
	}
	names, err := p.c.listDir(ctx, path.Dir(manifest.RecordName(v.last().Series, 1)))
	if err != nil {
		return "", err
	}
	for name := range names {
		if _, pinned := manifest.IsPin(name); pinned {
			return StaysPinned, nil
		}
	}
	return "", nil
}

// remove deletes objects.
func (p *pruning) remove(ctx context.Context, r *removal) error {
	d := p.c.loc.Destination
	for _, name := range r.names {
		if err := retry(ctx, func() error { return d.Delete(ctx, name) }); err != nil {
			err = about(name, err)
			if errors.Is(err, sdk.ErrPermission) && p.done == 0 {
				return &failure{fmt.Errorf("%w: nothing was removed", err), sdk.ErrPermission, sdk.Hint(err)}
			}
			return fmt.Errorf("%w: %d of %d objects were removed before", err, p.done, p.total)
		}
		p.done++
	}
	p.told(r)
	return nil
}

// forget takes backups out of the master manifest.
func (p *pruning) forget(ctx context.Context, ms []*manifest.Manifest) error {
	if _, ok := p.c.sizes[manifest.MasterName]; !ok || len(ms) == 0 {
		return nil
	}
	replacer, ok := p.c.loc.Destination.(sdk.Replacer)
	if !ok {
		return fmt.Errorf("%s: the destination cannot replace objects: %w", manifest.MasterName, sdk.ErrUnsupported)
	}
	return p.c.changeMaster(ctx, replacer, func(old []byte) ([]byte, error) {
		return manifest.RemoveMaster(old, func(path string) bool {
			return slices.ContainsFunc(ms, func(m *manifest.Manifest) bool { return m.Path == path })
		})
	})
}
