package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
)

// DropAll removes everything, and records it as DROP_ALL.
func (s *Store) DropAll(ctx context.Context) error {
	return s.drop(ctx, func() (*record, error) {
		return &record{kind: recordDrop, drop: dgraph.Drop{Kind: dgraph.DropAll}}, nil
	})
}

// DropData removes all data of a namespace; schema and types stay. It records DROP_DATA.
func (s *Store) DropData(ctx context.Context, namespace uint64) error {
	return s.drop(ctx, func() (*record, error) {
		d := dgraph.Drop{Kind: dgraph.DropData}
		d.Namespace = namespace
		return &record{kind: recordDrop, drop: d}, nil
	})
}

// DropAttr removes a predicate, data and schema, and records DROP_ATTR. There need be none.
func (s *Store) DropAttr(ctx context.Context, p dgraph.Predicate) error {
	return s.drop(ctx, func() (*record, error) {
		if err := checkName(p); err != nil {
			return nil, err
		}
		if p.Reserved() {
			return nil, fmt.Errorf("predicate %s: %w: it is pre-defined and is not allowed to be dropped", p.Name, ErrReserved)
		}
		return &record{kind: recordDrop, drop: dgraph.Drop{Kind: dgraph.DropAttr, Predicate: p}}, nil
	})
}

// DropNamespace removes a namespace, and records DROP_NS in namespace 0. Its number can be
// used again, other than in Dgraph.
func (s *Store) DropNamespace(ctx context.Context, namespace uint64) error {
	return s.drop(ctx, func() (*record, error) {
		if namespace == 0 {
			return nil, fmt.Errorf("namespace 0: %w: it cannot be deleted", ErrReserved)
		}
		d := dgraph.Drop{Kind: dgraph.DropNamespace}
		d.Namespace = namespace
		return &record{kind: recordDrop, drop: d}, nil
	})
}

// DropType removes a type. Dgraph records nothing: every backup holds all types, and a
// restore takes those of the newest.
func (s *Store) DropType(ctx context.Context, name dgraph.Predicate) error {
	return s.change(ctx, func() error {
		if name.Reserved() {
			return fmt.Errorf("type %s: %w: it is pre-defined and is not allowed to be dropped", name.Name, ErrReserved)
		}
		if _, ok := s.schema.types[name]; !ok {
			return nil
		}
		ts := s.ts + 1
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyType, Predicate: name})
		if err != nil {
			return invalid("%w", err)
		}
		r := &record{kind: recordCommit, ts: ts}
		for _, g := range s.dbs.groups() {
			r.entries = append(r.entries, entry{group: g, key: key, version: ts, deleted: true})
		}
		if err := s.write(r); err != nil {
			return err
		}
		sc := s.schema.clone()
		delete(sc.types, name)
		s.setSchema(sc)
		return nil
	})
}

// drop carries out a drop: everything that it takes, and the record of it, are one
// record of the log.
func (s *Store) drop(ctx context.Context, plan func() (*record, error)) error {
	return s.change(ctx, func() error {
		r, err := plan()
		if err != nil {
			return err
		}
		r.ts = s.ts + 1
		kept, err := s.keptRecords(r.drop)
		if err != nil {
			return err
		}
		sc := s.schema.without(r.drop)
		home := r.drop.Namespace
		if r.drop.Kind == dgraph.DropNamespace {
			home = 0
		}
		reserved, sc, err := s.reserved(sc, r.ts, home)
		if err != nil {
			return err
		}
		tell, uid, err := s.tell(r.drop, r.ts)
		if err != nil {
			return err
		}
		r.uid = uid
		r.entries = append(append(kept, reserved...), tell)
		if err := s.write(r); err != nil {
			return err
		}
		s.newEpoch()
		s.touched.forget(r.ts)
		s.setSchema(sc)
		return nil
	})
}

// without is the schema after a drop.
func (sc *schema) without(d dgraph.Drop) *schema {
	out := newSchema()
	for p, state := range sc.predicates {
		gone := d.Kind == dgraph.DropAll || d.Kind == dgraph.DropNamespace && p.Namespace == d.Namespace ||
			d.Kind == dgraph.DropAttr && slices.Contains(withParts(d.Predicate), p)
		if !gone {
			out.predicates[p] = state
		}
	}
	for name, t := range sc.types {
		if d.Kind != dgraph.DropAll && (d.Kind != dgraph.DropNamespace || name.Namespace != d.Namespace) {
			out.types[name] = t
		}
	}
	return out
}

// withParts is a predicate and those that Dgraph keeps the graph of its vector index in.
func withParts(p dgraph.Predicate) []dgraph.Predicate {
	all := []dgraph.Predicate{p}
	for _, suffix := range []string{"__vector_entry", "__vector_", "__vector_dead"} {
		all = append(all, dgraph.Predicate{Namespace: p.Namespace, Name: p.Name + suffix})
	}
	return all
}

// tell is the record of a drop that backups find: a new node with one value, in group 1.
func (s *Store) tell(d dgraph.Drop, ts uint64) (entry, uint64, error) {
	at := dgraph.Predicate{Namespace: d.Namespace, Name: dgraph.DropPredicate}
	var value string
	switch d.Kind {
	case dgraph.DropAll:
		at.Namespace, value = 0, "DROP_ALL;"
	case dgraph.DropData:
		value = fmt.Sprintf("DROP_DATA;%#x", d.Namespace)
	case dgraph.DropAttr:
		value = "DROP_ATTR;" + d.Predicate.String()
	case dgraph.DropNamespace:
		at.Namespace, value = 0, fmt.Sprintf("DROP_NS;%#x", d.Namespace)
	}
	s.mu.Lock()
	if s.uid >= maxUID {
		s.mu.Unlock()
		return entry{}, 0, errNoUIDs
	}
	s.uid++
	uid := s.uid
	s.mu.Unlock()
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: at, UID: uid})
	if err != nil {
		return entry{}, 0, invalid("%w", err)
	}
	p := dgraph.Posting{UID: dgraph.UntaggedUID, Kind: dgraph.PostingValue, Value: dgraph.Value{Type: dgraph.ValueString, Data: []byte(value)}}
	delta := dgraph.AppendDelta(nil, []dgraph.Posting{p}, ts-1, ts)
	return entry{group: s.dbs.groups()[0], key: key, value: delta, userMeta: dgraph.MetaDelta, version: ts}, uid, nil
}

// keptRecords are the records of dropped namespaces and of a drop of everything, which lie
// in namespace 0 and would go with its data, though they tell of other namespaces, too: they
// are written again, each at its old version.
func (s *Store) keptRecords(d dgraph.Drop) ([]entry, error) {
	if d.Kind != dgraph.DropData || d.Namespace != 0 {
		return nil, nil
	}
	at := dgraph.Predicate{Name: dgraph.DropPredicate}
	state, ok := s.schema.predicates[at]
	if !ok {
		return nil, nil
	}
	r := s.reader()
	defer r.close()
	var out []entry
	for uid, err := range r.keys(state) {
		if err != nil {
			return nil, err
		}
		k := dgraph.Key{Kind: dgraph.KeyData, Predicate: at, UID: uid}
		list, version, err := r.read(state.Group, &k)
		if err != nil {
			return nil, err
		}
		values, err := dgraph.DropRecords(list)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			drop, err := dgraph.ParseDropValue(0, v, dgraph.FormV23)
			if err != nil || drop.Kind != dgraph.DropNamespace && drop.Kind != dgraph.DropAll {
				continue
			}
			p := dgraph.Posting{UID: dgraph.UntaggedUID, Kind: dgraph.PostingValue, Value: dgraph.Value{Type: dgraph.ValueString, Data: []byte(v)}}
			delta := dgraph.AppendDelta(nil, []dgraph.Posting{p}, version-1, version)
			out = append(out, entry{group: state.Group, key: append([]byte(nil), r.key...), value: delta, userMeta: dgraph.MetaDelta, version: version})
		}
	}
	return out, nil
}

// applyDrop takes the keys away.
func (s *Store) applyDrop(dbs *databases, r *record) error {
	prefixes, err := prefixesOf(r.drop)
	if err != nil {
		return err
	}
	for _, g := range dbs.groups() {
		if err := dropPrefixes(dbs.byGroup[g], prefixes, r.ts); err != nil {
			return fmt.Errorf("group %d: %s: %w", g, r.drop, err)
		}
	}
	return nil
}

func dropPrefixes(db *badger.DB, prefixes [][]byte, ts uint64) error {
	return badgerdb.DropPrefixesAt(db, ts, prefixes...)
}

// prefixesOf is what the keys that a drop takes begin with.
func prefixesOf(d dgraph.Drop) ([][]byte, error) {
	var out [][]byte
	switch d.Kind {
	case dgraph.DropAll:
		return [][]byte{{prefixData}, {prefixSchema}, {prefixType}, {prefixPart}}, nil
	case dgraph.DropData, dgraph.DropNamespace:
		first := []byte{prefixData, prefixPart}
		if d.Kind == dgraph.DropNamespace {
			first = append(first, prefixSchema, prefixType)
		}
		for _, b := range first {
			out = append(out, appendNamespace([]byte{b}, d.Namespace))
		}
	case dgraph.DropAttr:
		for i, p := range withParts(d.Predicate) {
			key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: p})
			if err != nil {
				return nil, invalid("%w", err)
			}
			for _, b := range []byte{prefixData, prefixPart} {
				out = append(out, append([]byte{b}, key[1:]...))
			}
			if i == 0 {
				out = append(out, key)
			}
		}
	}
	return out, nil
}
