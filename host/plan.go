package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A plan is a backup that has not been written yet.
type plan struct {
	req     BackupRequest
	m       *manifest.Manifest
	codec   backupfile.Codec
	dataKey []byte
	since   map[uint32]uint64            // by group: what is newer is read
	spans   map[uint32][]backupfile.Span // by group: the keys of a plain Badger database, in an incremental
	written []string                     // object names, for the clean-up of a failed backup
}

func (e *Engine) plan(ctx context.Context, c *catalogue, req BackupRequest) (*plan, error) {
	compat := req.Compat
	if compat == "" {
		compat = manifest.CompatV23
	}
	p := &plan{req: req}
	name := req.Codec
	if name == "" {
		name = compat.DefaultCompression()
	}
	var err error
	if p.codec, err = backupfile.ParseCodec(name); err != nil {
		return nil, usage("", "%w", err)
	}
	if compat == manifest.CompatV20 && p.codec != backupfile.CodecGzip {
		return nil, usage("leave --compression out", "compression %s: Dgraph 20.x reads gzip only", name)
	}
	switch {
	case p.codec == backupfile.CodecZstd && compat != manifest.CompatV20:
		e.log().Warn("no Dgraph can read a backup compressed with zstd")
	case p.codec == backupfile.CodecS2:
		e.log().Warn("no Dgraph before 25 can read a backup compressed with S2")
	}
	p.m = &manifest.Manifest{
		ReadTs:      req.Source.ReadTs(),
		Path:        c.freeDir(e.now()),
		Encrypted:   req.Key.given(),
		Compression: compressionName(p.codec),
		Form:        compat.Form(),
		Kind:        req.Source.Kind(),
		Groups:      map[uint32][]dgraph.Predicate{},
		Record:      &manifest.Record{Engine: e.Version, Created: e.now().UTC(), Compat: string(compat)},
	}
	for _, g := range req.Source.Groups() {
		if p.m.Groups[g], err = req.Source.Predicates(g); err != nil {
			return nil, err
		}
	}
	if err := c.accepts(p.m.Kind, compat); err != nil {
		return nil, err
	}
	if err := c.continuable(); err != nil {
		return nil, err
	}
	if err := e.place(ctx, p, c); err != nil {
		return nil, err
	}
	if p.m.Encrypted && p.dataKey == nil {
		if p.dataKey, p.m.Record.Wrapped, err = e.newDataKey(ctx, req.Key, p.m); err != nil {
			return nil, err
		}
	}
	if p.m.Encrypted {
		p.m.Record.KeyProvider, p.m.Record.KeyCheck = req.Key.Name, backupfile.KeyCheck(p.dataKey)
	}
	if p.m.ReadTs == 0 {
		return nil, usage("is this the directory you meant?", "the database is empty: there is nothing to back up")
	}
	return p, checkNames(p.m)
}

// freeDir names a directory after the time of the backup, to the millisecond. Where a
// clock was ahead, or has gone back, it comes right after those that there are: names are
// in the order of the backups.
func (c *catalogue) freeDir(t time.Time) string {
	for i := range c.all {
		if at, ok := manifest.DirTime(path.Base(c.all[i].Path)); ok && at.After(t) {
			t = at
		}
	}
	taken := map[string]bool{}
	for name := range c.sizes {
		taken[path.Dir(name)] = true
	}
	for taken[manifest.DirName(t)] {
		t = t.Add(time.Millisecond)
	}
	return manifest.DirName(t)
}

// compressionName is what the manifest says. Dgraph 25 itself writes S2 under
// the name snappy.
func compressionName(c backupfile.Codec) string {
	if c == backupfile.CodecS2 {
		return "snappy"
	}
	return c.String()
}

// checkNames makes sure that the chosen form can say every predicate's name.
func checkNames(m *manifest.Manifest) error {
	for _, g := range sorted(m.Groups) {
		for _, pred := range m.Groups[g] {
			if _, err := pred.Format(m.Form); err != nil {
				return usage("use a later --compat", "predicate %s: %w", pred, err)
			}
		}
	}
	return nil
}

// place gives the backup its place in a series: after the location's latest
// backup, or at the beginning of a new series.
func (e *Engine) place(ctx context.Context, p *plan, c *catalogue) error {
	last := manifest.Latest(c.all)
	if last == nil || p.req.ForceFull {
		p.begin(c)
		return nil
	}
	if err := e.fits(ctx, p, c, last); err != nil {
		var unsound *unsoundError
		if p.req.AutoFull && errors.As(err, &unsound) {
			e.log().Warn("a full backup is taken, because an incremental one would not be sound", "reason", err)
			p.begin(c)
			return nil
		}
		return err
	}
	p.m.Series, p.m.Number, p.m.Since = last.Series, last.Number+1, last.ReadTs
	return nil
}

// begin makes it the first of a new series. Drops act on older backups of the
// series, of which there are none; not every form could tell of them.
func (p *plan) begin(c *catalogue) {
	for p.m.Series == "" || c.has(p.m.Series) {
		p.m.Series = manifest.NewSeries(rand.Reader)
	}
	p.m.Number, p.m.Full = 1, true
	p.m.Drops, p.m.Record.BadgerDrops, p.since, p.spans = nil, nil, nil, nil
	p.dataKey, p.m.Record.Wrapped = nil, nil
}

// has reports whether a series has that name, or had it and has left something behind.
func (c *catalogue) has(series string) bool {
	return len(c.below(path.Dir(manifest.RecordName(series, 1)))) > 0 ||
		slices.ContainsFunc(c.all, func(m manifest.Manifest) bool { return m.Series == series })
}

// follow decides what is newer than last in each group, and collects the drops.
func (p *plan) follow(ctx context.Context, last *manifest.Manifest) error {
	p.since = map[uint32]uint64{}
	for _, g := range p.req.Source.Groups() {
		p.since[g] = groupTs(last, g)
		drops, badger, err := p.req.Source.Drops(ctx, g, p.since[g])
		if err != nil {
			return err
		}
		p.m.Drops = append(p.m.Drops, drops...)
		p.m.Record.BadgerDrops = append(p.m.Record.BadgerDrops, badger...)
	}
	return nil
}

// groupTs is how far m shows a group: to m's read timestamp, unless the group had
// not come that far. It is 0 for a group that m does not have.
func groupTs(m *manifest.Manifest, group uint32) uint64 {
	if _, ok := m.Groups[group]; !ok {
		return 0
	}
	if m.Record != nil {
		for _, o := range m.Record.Objects {
			if o.Group == group {
				return min(o.Ts, m.ReadTs)
			}
		}
	}
	return m.ReadTs
}

// sameKey takes the key of last's series, and refuses another. A backup made by
// Dgraph does not name its key: one of its files must decode with it.
func (e *Engine) sameKey(ctx context.Context, p *plan, c *catalogue, last *manifest.Manifest) (err error) {
	if !last.Encrypted {
		return nil
	}
	if wrapped := c.wrappings(last.Series); len(wrapped) > 0 {
		p.dataKey, p.m.Record.Wrapped, err = e.unwrap(ctx, p.req.Key, last, wrapped)
	} else {
		p.dataKey, err = e.rawKey(ctx, p.req.Key)
	}
	if err == nil {
		err = sameKey(last, p.dataKey)
	}
	if errors.Is(err, ErrUsage) {
		return &failure{err, ErrUsage, Hint(err) + "; --force-full begins a new series"}
	}
	if err != nil || last.Record != nil {
		return err
	}
	for _, g := range sorted(last.Groups) {
		src := open(ctx, c.loc.Destination, last.Object(g), 0)
		err := backupfile.NewReader(src, p.dataKey).Next(new(backupfile.Entry))
		src.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return wrongKey(last, fmt.Errorf("cannot continue series %s: backup %s: %w", last.Series, last.ID(), about(last.Object(g), err)))
		}
	}
	return nil
}

// lostGroups lists the groups of last that own something and are no longer there.
func lostGroups(last, m *manifest.Manifest) (lost []uint32) {
	for _, g := range sorted(last.Groups) {
		if _, ok := m.Groups[g]; !ok && (len(last.Groups[g]) > 0 || m.Kind == manifest.KindBadger) {
			lost = append(lost, g)
		}
	}
	return lost
}

// An unsoundError is a reason why only a full backup can be taken now.
type unsoundError struct{ error }

func (u *unsoundError) Unwrap() error { return u.error }

// fits decides whether an incremental backup may follow last.
func (e *Engine) fits(ctx context.Context, p *plan, c *catalogue, last *manifest.Manifest) (err error) {
	const remedy = "--force-full begins a new series"
	refuse := func(format string, args ...any) error {
		return &unsoundError{usage(remedy, "cannot continue series "+last.Series+": "+format, args...)}
	}
	switch m := p.m; {
	case c.closed(last):
		return refuse("a prune has begun to remove it")
	case last.Kind != m.Kind:
		return refuse("it holds data of kind %s and this database is of kind %s", last.Kind, m.Kind)
	case last.Encrypted && !m.Encrypted:
		return usage("give the series' key, or --force-full for a new series", "cannot continue series %s: %w", last.Series, ErrKeyMissing)
	case !last.Encrypted && m.Encrypted:
		return usage("leave the key out, or --force-full for a new series", "cannot continue series %s: %w", last.Series, ErrKeyGiven)
	case last.Form > m.Form:
		return usage("use --compat as before, or --force-full", "cannot continue series %s: its backups are of a later form (%d) than %s (%d)", last.Series, last.Form, m.Record.Compat, m.Form)
	case p.req.Continues != nil && !p.req.Continues(last):
		return refuse("backup %s was taken of another database, or of a later life of this one", last.ID())
	case m.ReadTs == last.ReadTs: // no reason for a full backup: nothing is newer
		return usage(remedy, "nothing is newer than backup %s: read timestamp %d does not advance", last.ID(), m.ReadTs)
	case m.ReadTs < last.ReadTs:
		return refuse("read timestamp %d does not advance beyond %d, that of backup %s", m.ReadTs, last.ReadTs, last.ID())
	}
	if err := e.sameKey(ctx, p, c, last); err != nil {
		return err
	}
	if lost := lostGroups(last, p.m); len(lost) > 0 {
		return refuse("backup %s has groups %v, which are not given now", last.ID(), lost)
	}
	chain, err := c.chain(last.Series, 0) // a record that is broken may have taken the next number
	if err == nil {
		for i := range chain {
			if c.lostRecord(&chain[i]) {
				err = damaged("", "the commit record %s is gone", manifest.RecordName(chain[i].Series, chain[i].Number))
			}
		}
	}
	if err != nil {
		return &unsoundError{&failure{err, ErrDamaged, "the series is not whole; " + remedy}}
	}
	m := p.m
	if err := p.follow(ctx, last); err != nil {
		return err
	}
	if lost := vanished(last, m); len(lost) > 0 {
		return refuse("predicates %s are gone although no drop was recorded", strings.Join(lost, ", "))
	}
	if m.Kind == manifest.KindBadger {
		return e.vanishedKeys(ctx, p, c, chain, refuse)
	}
	return nil
}
