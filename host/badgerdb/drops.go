package badgerdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// Drops lists the drops recorded in a group after since. Of a Dgraph database these are the
// records that it keeps itself, of any other those of this package's [DropAll] and
// [DropPrefix].
func (s *Source) Drops(ctx context.Context, id uint32, since uint64) ([]dgraph.Drop, []manifest.BadgerDrop, error) {
	g, err := s.group(id)
	if err != nil {
		return nil, nil, err
	}
	if s.kind == manifest.KindBadger {
		drops, err := s.badgerDrops(g, since)
		return nil, drops, err
	}
	drops, err := s.dgraphDrops(ctx, g, since)
	return drops, nil, err
}

// GroupTs is the newest timestamp of a group, up to ReadTs. Groups of one cluster
// differ: what Zero has decided, a group may not have applied yet. A live source has
// everything.
func (s *Source) GroupTs(id uint32) uint64 {
	g, err := s.group(id)
	if err != nil {
		return 0
	}
	if g.pin != nil {
		return s.readTs
	}
	return min(g.maxVersion(), s.readTs)
}

// dgraphDrops reads the records of every namespace.
func (s *Source) dgraphDrops(ctx context.Context, g *group, since uint64) ([]dgraph.Drop, error) {
	m, _ := g.merge(0, s.lost)
	defer m.close()
	var drops []dgraph.Drop
	for ns, more := uint64(0), true; more; {
		d, err := s.dropsOf(ctx, g, ns, since)
		if err != nil {
			return nil, err
		}
		drops = append(drops, d...)
		if g.layout == dgraph.LayoutV20 || ns == math.MaxUint64 {
			break
		}
		more = false
		from := binary.BigEndian.AppendUint64([]byte{prefixData}, ns+1)
		err = eachKey(m, from, []byte{prefixSchema}, s.readTs, func(it *item) (bool, error) {
			if len(it.key) < 9 {
				return true, s.lost(damaged("key %x: not one of Dgraph's", it.key))
			}
			ns, more = be64(it.key[1:]), true
			return false, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return drops, nil
}

// dropsOf reads the records of one namespace: lists like any other.
func (s *Source) dropsOf(ctx context.Context, g *group, ns, since uint64) ([]dgraph.Drop, error) {
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}}
	from, err := dgraph.AppendKey(nil, g.layout, &k)
	if err != nil {
		return nil, err
	}
	to := append([]byte(nil), from[:len(from)-8]...)
	to[len(to)-1]++ // the byte that says data
	var drops []dgraph.Drop
	rd := &reader{ctx: ctx, s: s, g: g, since: since, enc: dgraph.UIDBytes, form: g.form()}
	rd.emit = func(_ []byte, e *backupfile.Entry) error {
		values, err := dgraph.DropRecords(e.Value)
		for _, v := range values {
			d, err := dgraph.ParseDropValue(ns, v, g.form())
			if err != nil {
				return fmt.Errorf("%s: %w", describe(&rd.k), err)
			}
			drops = append(drops, d)
		}
		return err
	}
	defer rd.close()
	if err := rd.lists(Range{From: from, To: to}); err != nil {
		return nil, err
	}
	if len(rd.bad.Keys) > 0 && !s.opt.AcceptDamaged {
		return nil, &rd.bad
	}
	return drops, nil
}

// badgerDrops reads our own records.
func (s *Source) badgerDrops(g *group, since uint64) ([]manifest.BadgerDrop, error) {
	since = s.since(since)
	m, _ := g.merge(since, s.lost)
	defer m.close()
	var (
		drops []manifest.BadgerDrop
		buf   []byte
	)
	err := eachKey(m, []byte(dropPrefix), after(dropPrefix), s.readTs, func(it *item) (bool, error) {
		if it.version <= since || it.dead(s.now) {
			return true, nil
		}
		value, err := g.value(it, &buf)
		if err != nil {
			return false, err
		}
		d, err := parseDrop(value)
		if err != nil {
			return false, fmt.Errorf("key %q: %w", it.key, err)
		}
		drops = append(drops, d...)
		return true, nil
	})
	if errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("drop records: %w", err)
	}
	return drops, err
}
