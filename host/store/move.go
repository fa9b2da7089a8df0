package store

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/dgraph"
)

// Move gives a predicate to another group. All its keys get a new version there, so that
// the next incremental backup holds all of it. Nothing is committed meanwhile.
func (s *Store) Move(ctx context.Context, p dgraph.Predicate, group uint32) error {
	return s.change(ctx, func() error {
		state, ok := s.schema.predicates[p]
		switch {
		case p.Reserved():
			return fmt.Errorf("predicate %s: %w: it stays in its group", p.Name, ErrReserved)
		case !ok:
			return invalid("there is no predicate %s", p)
		case s.dbs.byGroup[group] == nil:
			return invalid("there is no group %d", group)
		case state.Group == group:
			return nil
		}
		// The log holds nothing but the move: a replay must not write to the old group.
		if err := s.checkpoint(); err != nil {
			return err
		}
		r := &record{kind: recordMove, ts: s.ts + 1, from: state.Group, to: group}
		r.drop.Predicate = p
		if err := s.write(r); err != nil {
			return err
		}
		if err := s.finishMove(ctx, r); err != nil {
			s.fail(err)
			return err
		}
		sc := s.schema.clone()
		state.Group = group
		sc.predicates[p] = state
		s.newEpoch()
		s.setSchema(sc)
		if err := s.checkpoint(); err != nil {
			s.opt.Logger.Error("the log cannot be shortened", "error", err)
		}
		return nil
	})
}

// finishMove carries out a move, or what is left of one: first all of it is copied, and
// durable, then the old group loses it.
func (s *Store) finishMove(ctx context.Context, r *record) error {
	if r == nil {
		return nil
	}
	drop, err := prefixesOf(dgraph.Drop{Kind: dgraph.DropAttr, Predicate: r.drop.Predicate})
	if err != nil {
		return err
	}
	from, to := s.dbs.byGroup[r.from], s.dbs.byGroup[r.to]
	if from == nil || to == nil {
		return fmt.Errorf("%w: a predicate moves from group %d to %d, which are not both there", ErrDamaged, r.from, r.to)
	}
	if r.kind == recordMove {
		if err := dropPrefixes(to, drop, r.ts-1); err != nil { // what an earlier try has left
			return err
		}
		if err := s.copyTo(context.WithoutCancel(ctx), r, from); err != nil {
			return err
		}
		if err := s.dbs.sync(); err != nil {
			return err
		}
		if err := s.crash("moved"); err != nil {
			return err
		}
		moved := *r
		moved.kind = recordMoved
		if err := s.log.append(&moved); err != nil {
			return err
		}
	}
	if err := s.crash("leave"); err != nil {
		return err
	}
	return dropPrefixes(from, drop, r.ts)
}

// copyTo writes all keys of a predicate to its new group, each as one list.
func (s *Store) copyTo(ctx context.Context, r *record, from *badger.DB) error {
	w := newWriter(s.dbs)
	defer w.cancel()
	reader := newReader(s.dbs, newSchema(), newest)
	defer reader.close()
	for _, p := range withParts(r.drop.Predicate) {
		if err := s.copyLists(ctx, r, p, reader, w); err != nil {
			return err
		}
	}
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: r.drop.Predicate})
	if err != nil {
		return err
	}
	txn := from.NewTransactionAt(newest, false)
	defer txn.Discard()
	item, err := txn.Get(key)
	if err != nil {
		return fmt.Errorf("schema of %s: %w", r.drop.Predicate, err)
	}
	value, err := valueOf(item)
	if err != nil {
		return err
	}
	if err := w.add([]entry{{group: r.to, key: key, value: value, userMeta: dgraph.MetaSchema, version: r.ts}}); err != nil {
		return err
	}
	return w.flush()
}

// copyLists copies empty lists, too: what was deleted here must not come back out of an older
// backup, of the group that the predicate may one day return to.
func (s *Store) copyLists(ctx context.Context, r *record, p dgraph.Predicate, reader *reader, w *writer) error {
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: p})
	if err != nil {
		return err
	}
	key[0] = prefixData
	it := reader.txn(r.from).NewIterator(badger.IteratorOptions{AllVersions: true, Prefix: key})
	defer it.Close()
	var at []byte
	for it.Rewind(); it.Valid(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		at = it.Item().KeyCopy(at)
		var k dgraph.Key
		if err := dgraph.ParseKey(dgraph.LayoutV21, at, &k); err != nil {
			return err
		}
		same := func() bool { return it.Valid() && string(it.Item().Key()) == string(at) }
		list, _, err := reader.roll(r.from, &k, it, same)
		if err != nil {
			return err
		}
		for same() {
			it.Next()
		}
		entries, err := wholeList(r.to, &k, list, r.ts)
		if err != nil {
			return err
		}
		if err := w.add(entries); err != nil {
			return err
		}
	}
	return nil
}
