package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A vanishing finds keys of a plain Badger database that are gone without a trace:
// dropped without a record, or deleted and then compacted away. An incremental backup
// that says nothing of them would bring them back.
//
// Each backup's seal sums up, span by span, the keys that there are. Where the
// database's own keys have the same sum, none is gone. Elsewhere the chain is read and
// compared with them key by key.
type vanishing struct {
	e      *Engine
	p      *plan
	c      *catalogue
	chain  []manifest.Manifest
	refuse func(string, ...any) error
	memory int64 // that names of keys may take
}

// vanishedKeys adds a delete to the backup for every key that the chain has and the
// database has not, and sums up the keys that there are now.
func (e *Engine) vanishedKeys(ctx context.Context, p *plan, c *catalogue, chain []manifest.Manifest, refuse func(string, ...any) error) error {
	v := &vanishing{e, p, c, chain, refuse, e.memory() / 4}
	d := &deleting{Source: p.req.Source, gone: map[uint32][][]byte{}}
	p.spans = map[uint32][]backupfile.Span{}
	for _, g := range sorted(p.m.Groups) {
		gone, err := v.group(ctx, g)
		if errors.Is(err, badgerdb.ErrDamaged) {
			return &unsoundError{&failure{err, ErrDamaged, "the database is damaged; --force-full --accept-damaged takes a full backup of what can be read"}}
		}
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			e.log().Info("keys are gone without a trace: the backup records them as deleted", "group", g, "keys", len(gone))
			d.gone[g] = gone
		}
	}
	if len(d.gone) > 0 {
		p.req.Source = d
	}
	return nil
}

// group returns the keys of one group that are gone, in order.
func (v *vanishing) group(ctx context.Context, g uint32) (gone [][]byte, err error) {
	last := &v.chain[len(v.chain)-1]
	var was []backupfile.Span
	if _, ok := last.Groups[g]; ok {
		seal, err := v.c.seal(ctx, last, g, v.p.dataKey)
		if err != nil {
			return nil, err
		}
		if was = seal.Spans; was == nil {
			if err := v.count(ctx, g); err != nil {
				return nil, err
			}
		}
	}
	diff, err := v.compare(ctx, g, was)
	if err != nil || was == nil {
		return nil, err // of a new group, or of one whose keys were counted
	}
	diff.differ = slices.DeleteFunc(diff.differ, func(i int) bool { return v.dropped(diff.span(i)) })
	for _, r := range diff.ranges() {
		if gone, err = v.read(ctx, g, r, gone); err != nil {
			return nil, err
		}
	}
	// Badger's clock goes on behind the newest version that there is when it is opened.
	// Where that was dropped, or deleted and forgotten, it gives out old timestamps
	// again; but none that is not above whatever has been there all the time.
	v.p.since[g] = min(v.p.since[g], max(diff.kept, 1)) // 0 would say that there was no backup
	return gone, nil
}

// compare walks over all keys of the database: it compares them with the spans of the
// last backup, and sums up those of this one, whose spans begin where the others do.
func (v *vanishing) compare(ctx context.Context, g uint32, was []backupfile.Span) (*spanDiff, error) {
	diff, now := newSpanDiff(was, v.p.dataKey), newSpanner(v.p.dataKey)
	for k, err := range v.p.req.Source.KeyStates(ctx, g, nil, nil, v.p.since[g]) {
		if err != nil {
			return nil, err
		}
		if diff.next(k.Key) {
			now.cut()
		}
		if k.Live {
			now.add(k.Key, k.Version)
		}
		switch k.Was {
		case badgerdb.Alive:
			diff.add(k.Key, false)
			diff.keep(k.Key, k.WasVersion)
		case badgerdb.Unknown:
			diff.add(k.Key, true)
		}
	}
	diff.settle()
	for diff.at++; diff.at < len(was); diff.at++ {
		diff.settle()
	}
	v.p.spans[g] = now.done()
	return diff, nil
}

// dropped reports whether drops recorded since the last backup took all keys of r.
func (v *vanishing) dropped(r keyRange) bool {
	return slices.ContainsFunc(v.p.m.Record.BadgerDrops, func(d manifest.BadgerDrop) bool {
		return d.All || bytes.HasPrefix(r.from, d.Prefix) && bytes.HasPrefix(r.to, d.Prefix)
	})
}

// read compares the keys of r in the chain and in the database, and adds to gone those
// that only the chain has.
func (v *vanishing) read(ctx context.Context, g uint32, r keyRange, gone [][]byte) ([][]byte, error) {
	next, stop := iter.Pull2(v.p.req.Source.KeyStates(ctx, g, r.from, r.to, v.p.since[g]))
	defer stop()
	j := &keyJoin{v: v, group: g, next: next, gone: gone}
	s := &state{c: v.c, chain: v.chain, dataKey: v.p.dataKey, temp: v.e.TempDir, memory: v.e.memory() / 2, within: &r}
	err := j.advance()
	if err == nil {
		err = s.group(ctx, g, j.chainKey)
	}
	if err == nil {
		err = j.upTo(nil)
	}
	if IsDamage(err) {
		return nil, &unsoundError{&failure{err, ErrDamaged, "the series is not whole; --force-full begins a new series"}}
	}
	return j.gone, err
}

// A keyJoin walks over the keys of the chain and those of the database at once.
type keyJoin struct {
	v     *vanishing
	group uint32
	next  func() (badgerdb.KeyState, error, bool)
	have  badgerdb.KeyState // the database's next key
	more  bool              // there is one
	last  []byte            // the chain's key before
	gone  [][]byte
}

func (j *keyJoin) advance() (err error) {
	j.have, err, j.more = j.next()
	return err
}

// chainKey takes the next version of a key of the chain, the newest first.
func (j *keyJoin) chainKey(key []byte, e *backupfile.Entry) error {
	if j.last != nil && bytes.Equal(key, j.last) {
		return nil
	}
	j.last = append(j.last[:0], key...)
	if e.Meta&metaDelete != 0 || droppedKey(key, j.v.p.m) {
		return nil
	}
	if err := j.upTo(key); err != nil {
		return err
	}
	alive := false
	if j.more && bytes.Equal(j.have.Key, key) {
		alive = j.have.New || j.have.Live // what is new is in the backup
		if err := j.advance(); err != nil {
			return err
		}
	}
	size := int64(len(key)) + keyOverhead
	expired := e.ExpiresAt != 0 && e.ExpiresAt <= uint64(j.v.e.now().Unix())
	switch {
	case alive:
	case j.v.memory >= size:
		j.v.memory -= size
		j.gone = append(j.gone, bytes.Clone(key))
	case !expired: // what is expired would not be seen after a restore either
		return j.v.refuse("%d keys and more are gone although no drop was recorded", len(j.gone))
	}
	return nil
}

// keyOverhead is what a slice takes beside its bytes.
const keyOverhead = 24

// upTo passes over keys of the database that the chain does not have. nil: all.
func (j *keyJoin) upTo(key []byte) error {
	for j.more && (key == nil || bytes.Compare(j.have.Key, key) < 0) {
		if j.have.Live && !j.have.New && len(leftOut(j.v.chain)) == 0 {
			return j.v.refuse("key %.60q has a version from before backup %s, which does not have it: is this another database, or have its timestamps gone back?",
				j.have.Key, j.v.chain[len(j.v.chain)-1].ID())
		}
		if err := j.advance(); err != nil {
			return err
		}
	}
	return nil
}

func droppedKey(key []byte, m *manifest.Manifest) bool {
	return slices.ContainsFunc(m.Record.BadgerDrops, func(d manifest.BadgerDrop) bool {
		return d.All || bytes.HasPrefix(key, d.Prefix)
	})
}

// count compares numbers of keys, where the last backup was made before there were
// spans. For each block of the series' full backup it counts the keys in its range.
// There must be as many as were live then, less those that later backups wrote about
// and may have deleted; new keys can hide a loss, but nothing looks lost that is not.
func (v *vanishing) count(ctx context.Context, g uint32) error {
	var seals []*backupfile.Seal
	for i := range v.chain {
		if _, ok := v.chain[i].Groups[g]; !ok {
			continue
		}
		seal, err := v.c.seal(ctx, &v.chain[i], g, v.p.dataKey)
		if err != nil {
			return err
		}
		seals = append(seals, seal)
	}
	for _, b := range seals[0].File.Blocks {
		if droppedKeys(b.First, b.Last, v.chain[1:], v.p.m) {
			continue
		}
		have := int64(0)
		for _, err := range v.p.req.Source.KeyStates(ctx, g, b.First, append(bytes.Clone(b.Last), 0), v.p.since[g]) {
			if err != nil {
				return err
			}
			have++
		}
		if have+writtenSince(seals[1:], b.First, b.Last) < int64(b.Live) {
			return v.refuse("of %d keys from %q to %q only %d are left, although no drop was recorded", b.Live, b.First, b.Last, have)
		}
	}
	return nil
}

// writtenSince bounds how many keys between first and last later backups hold.
func writtenSince(seals []*backupfile.Seal, first, last []byte) (n int64) {
	for _, s := range seals {
		for _, b := range s.File.Blocks {
			if bytes.Compare(b.First, last) <= 0 && bytes.Compare(first, b.Last) <= 0 {
				n += int64(b.Entries)
			}
		}
	}
	return n
}

// A deleting source says, beside what is newer in its database, that keys are deleted.
type deleting struct {
	Source
	gone map[uint32][][]byte // by group, in order
}

// Read adds the deletes that lie in the range, at the read timestamp. Who reads
// everything has no use for them.
func (d *deleting) Read(ctx context.Context, group uint32, r badgerdb.Range, since uint64, enc dgraph.ListEncoding, form dgraph.Form,
	emit func(sortKey []byte, e *backupfile.Entry) error,
) error {
	if since == 0 {
		return d.Source.Read(ctx, group, r, since, enc, form, emit)
	}
	keys := d.gone[group]
	at := func(key []byte) int {
		return sort.Search(len(keys), func(i int) bool { return bytes.Compare(keys[i], key) >= 0 })
	}
	end := len(keys)
	if r.To != nil {
		end = at(r.To)
	}
	keys = keys[at(r.From):end]
	var e backupfile.Entry
	upTo := func(key []byte) error {
		for len(keys) > 0 && (key == nil || bytes.Compare(keys[0], key) < 0) {
			e = backupfile.Entry{Key: keys[0], Meta: metaDelete, Version: d.ReadTs()}
			if err := emit(keys[0], &e); err != nil {
				return err
			}
			keys = keys[1:]
		}
		return nil
	}
	err := d.Source.Read(ctx, group, r, since, enc, form, func(sortKey []byte, e *backupfile.Entry) error {
		if err := upTo(sortKey); err != nil {
			return err
		}
		return emit(sortKey, e)
	})
	if err != nil {
		return err
	}
	if err := upTo(nil); err != nil {
		return fmt.Errorf("deletes of group %d: %w", group, err)
	}
	return nil
}
