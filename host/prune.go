package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// DefaultAbandoned is how old the objects of a backup must be that was never
// committed, for them to be rubbish: a backup that takes longer loses them.
const DefaultAbandoned = 7 * 24 * time.Hour

// A PruneRequest says what may go. With neither Keep nor OlderThan, no backup
// does. The series of the latest backup always stays, and the latest one that can
// be restored.
type PruneRequest struct {
	At        Location
	Keep      int           // so many series stay, the latest ones that can be restored; 0 asks OlderThan alone
	OlderThan time.Duration // a series goes only if its last backup is older; 0 asks Keep alone
	Abandoned time.Duration // age of rubbish; DefaultAbandoned if 0
	DryRun    bool          // tell what would go
}

// A PruneResult says what went, or would go.
type PruneResult struct {
	Series    []PrunedSeries
	Abandoned []string // directories of backups that were never committed
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

// Prune removes whole series, and the objects of backups that were never
// committed. Of a series, first Dgraph's manifest forgets it, and then its backups go, the latest
// first and each beginning with its commit record: whenever Prune is cut short,
// what is still listed can still be restored. Objects that no backup is known to have made are left alone.
func (e *Engine) Prune(ctx context.Context, req PruneRequest) (*PruneResult, error) {
	ctx = e.withLog(ctx)
	c, err := e.catalogue(ctx, req.At)
	if err != nil {
		return nil, err
	}
	if err := c.whole(); err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	p := &pruning{c: c, res: &PruneResult{}}
	for _, s := range c.outdated(req, e.now()) {
		p.series(s)
	}
	abandoned := req.Abandoned
	if abandoned <= 0 {
		abandoned = DefaultAbandoned
	}
	p.abandoned(e.now().Add(-abandoned))
	for _, name := range p.names {
		p.res.Bytes += c.sizes[name]
	}
	p.res.Objects = len(p.names)
	if req.DryRun {
		return p.res, nil
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
		if err := c.publishMaster(ctx); err != nil {
			e.log().Warn("Dgraph's manifest has forgotten backups that are still there", "location", c.loc.URI, "error", err)
		}
	}
	e.repair(ctx, c)
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

// outdated returns the series that may go, the oldest first, each with its
// backups in their order. Dgraph may give two series one name. The latest series
// that can be restored stays in any case.
func (c *catalogue) outdated(req PruneRequest, now time.Time) [][]*manifest.Manifest {
	var all [][]*manifest.Manifest
	for i := range c.all {
		m := &c.all[i]
		at := -1
		for j := range all {
			if !m.Full && all[j][0].Series == m.Series {
				at = j
			}
		}
		if at < 0 {
			all = append(all, []*manifest.Manifest{m})
			continue
		}
		all[at] = append(all[at], m)
	}
	latest, kept := manifest.Latest(c.all), c.kept(all, req.Keep)
	var gone [][]*manifest.Manifest
	for i, s := range all {
		last := s[len(s)-1]
		switch {
		case req.Keep == 0 && req.OlderThan == 0, slices.Contains(s, latest), i >= kept:
		case req.OlderThan > 0 && (last.Taken().IsZero() || now.Sub(last.Taken()) < req.OlderThan):
		case slices.ContainsFunc(s, func(m *manifest.Manifest) bool { return m.Path == "" }): // the location itself
		default:
			gone = append(gone, s)
		}
	}
	return gone
}

// kept returns the first of the series that stay: so many that can be restored, at
// least one, and all after them.
func (c *catalogue) kept(all [][]*manifest.Manifest, keep int) int {
	keep = max(keep, 1)
	for i, s := range slices.Backward(all) {
		if !c.intact(s) {
			continue
		}
		if keep--; keep == 0 {
			return i
		}
	}
	return 0
}

// intact reports whether a series has all its backups, and they all their objects.
func (c *catalogue) intact(s []*manifest.Manifest) bool {
	for i, m := range s {
		if m.Number != i+1 || len(c.missing(m)) > 0 {
			return false
		}
	}
	return true
}

// A pruning is what is going to be removed.
type pruning struct {
	c     *catalogue
	res   *PruneResult
	dirs  map[string]bool // of backups that go
	names []string        // of objects, in the order in which they go
}

// series adds one series.
func (p *pruning) series(s []*manifest.Manifest) {
	pruned := PrunedSeries{ID: s[0].Series, Backups: len(s), Last: s[len(s)-1].Taken()}
	if p.dirs == nil {
		p.dirs = map[string]bool{}
	}
	for _, m := range slices.Backward(s) {
		p.dirs[m.Path] = true
		names := slices.DeleteFunc(p.c.below(m.Path), func(name string) bool {
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
		for _, name := range names {
			pruned.Bytes += p.c.sizes[name]
		}
		p.names = append(p.names, names...)
	}
	if series := s[0].Series; p.c.alone(series, len(s)) { // Dgraph may have given another one the name
		for _, n := range sorted(p.c.keys[series]) {
			p.names = append(p.names, manifest.KeyRecordName(series, n))
		}
	}
	p.res.Series = append(p.res.Series, pruned)
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

// trials begin the names of directories in which locations are tried out. What is
// left there was left by somebody who may not delete.
var trials = []string{"brock-doctor-", "brock-bench-"}

// abandoned adds the directories that backups have made before, and never
// committed. A directory that anything else lies in is none. Where there are no
// backups at all, none is known to be abandoned: it may be the manifest that is lost.
func (p *pruning) abandoned(before time.Time) {
	if len(p.c.all) == 0 {
		return
	}
	known := map[string]bool{}
	for i := range p.c.all {
		known[p.c.all[i].Path] = true
	}
	for _, dir := range p.c.nested {
		known[dir] = true
	}
	found, trial := map[string]bool{}, map[string]bool{}
	for name := range p.c.sizes {
		dir, _, _ := strings.Cut(name, "/")
		if made, ok := manifest.DirTime(dir); ok && made.Before(before) && dir != name && !known[dir] {
			found[dir] = true
		}
	}
	for name := range p.c.sizes {
		if dir, _, ok := strings.Cut(name, "/"); ok && slices.ContainsFunc(trials, func(t string) bool { return strings.HasPrefix(dir, t) }) {
			trial[dir] = true
		}
	}
	for _, dir := range sorted(trial) {
		p.res.Abandoned = append(p.res.Abandoned, dir)
		p.names = append(p.names, p.c.below(dir)...)
	}
	_, master := p.c.sizes[manifest.MasterName]
	for _, dir := range sorted(found) {
		names := p.c.below(dir)
		foreign := slices.ContainsFunc(names, func(name string) bool { return !manifest.IsObject(name) })
		sealed := slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".seal") })
		if foreign || !master && !sealed { // Dgraph seals nothing: its list may be what was lost
			continue
		}
		p.res.Abandoned = append(p.res.Abandoned, dir)
		p.names = append(p.names, names...)
	}
}

// run removes what was chosen.
func (p *pruning) run(ctx context.Context) error {
	d := p.c.loc.Destination
	if err := p.forget(ctx); err != nil {
		return err
	}
	for i, name := range p.names {
		if err := retry(ctx, func() error { return d.Delete(ctx, name) }); err != nil {
			err = about(name, err)
			if errors.Is(err, sdk.ErrPermission) && i == 0 {
				return &failure{fmt.Errorf("%w: nothing was removed", err), sdk.ErrPermission, sdk.Hint(err)}
			}
			return fmt.Errorf("%w: %d of %d objects were removed before", err, i, len(p.names))
		}
	}
	return nil
}

// forget takes the backups out of the master manifest.
func (p *pruning) forget(ctx context.Context) error {
	if _, ok := p.c.sizes[manifest.MasterName]; !ok || len(p.dirs) == 0 {
		return nil
	}
	replacer, ok := p.c.loc.Destination.(sdk.Replacer)
	if !ok {
		return fmt.Errorf("%s: the destination cannot replace objects: %w", manifest.MasterName, sdk.ErrUnsupported)
	}
	return p.c.changeMaster(ctx, replacer, func(old []byte) ([]byte, error) {
		return manifest.RemoveMaster(old, func(path string) bool { return p.dirs[path] })
	})
}
