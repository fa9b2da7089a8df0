package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/dgraph"
)

// A PredicateState is a predicate and where it lives.
type PredicateState struct {
	dgraph.PredicateSchema
	Group uint32
}

// A schema is all predicates and types. It is never changed, only replaced.
type schema struct {
	predicates map[dgraph.Predicate]PredicateState
	types      map[dgraph.Predicate]dgraph.TypeSchema
}

func newSchema() *schema {
	return &schema{map[dgraph.Predicate]PredicateState{}, map[dgraph.Predicate]dgraph.TypeSchema{}}
}

func (sc *schema) clone() *schema {
	return &schema{maps.Clone(sc.predicates), maps.Clone(sc.types)}
}

func comparePredicates(a, b dgraph.Predicate) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Schema returns all predicates, by namespace and name.
func (s *Store) Schema() []PredicateState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.schema.predicates), func(a, b PredicateState) int {
		return comparePredicates(a.Predicate, b.Predicate)
	})
}

// Types returns all types, by namespace and name.
func (s *Store) Types() []dgraph.TypeSchema {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.schema.types), func(a, b dgraph.TypeSchema) int {
		return comparePredicates(a.Predicate, b.Predicate)
	})
}

// setSchema puts a changed schema in the place of the present one.
func (s *Store) setSchema(sc *schema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema = sc
	for p := range sc.predicates {
		s.ns = max(s.ns, p.Namespace)
	}
	for p := range sc.types {
		s.ns = max(s.ns, p.Namespace)
	}
}

// loadSchema reads what the databases say.
func loadSchema(dbs *databases) (*schema, error) {
	sc := newSchema()
	for _, g := range dbs.groups() {
		err := eachSchema(dbs.byGroup[g], func(k *dgraph.Key, value []byte) error {
			if k.Kind == dgraph.KeyType {
				t, err := dgraph.ParseTypeSchema(k.Predicate, value)
				sc.types[k.Predicate] = t
				return err
			}
			p, err := dgraph.ParsePredicateSchema(k.Predicate, value)
			if _, twice := sc.predicates[k.Predicate]; !twice {
				sc.predicates[k.Predicate] = PredicateState{p, g}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", g, err)
		}
	}
	return sc, nil
}

// eachSchema visits the newest schema and types of one group.
func eachSchema(db *badger.DB, visit func(k *dgraph.Key, value []byte) error) error {
	txn := db.NewTransactionAt(newest, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.DefaultIteratorOptions)
	defer it.Close()
	for it.Seek([]byte{prefixSchema}); it.Valid() && it.Item().Key()[0] <= prefixType; it.Next() {
		var k dgraph.Key
		if err := dgraph.ParseKey(dgraph.LayoutV21, it.Item().KeyCopy(nil), &k); err != nil {
			return err
		}
		value, err := valueOf(it.Item())
		if err != nil {
			return err
		}
		if err := visit(&k, value); err != nil {
			return fmt.Errorf("%s: %w", k.Predicate, err)
		}
	}
	return nil
}

// First bytes of keys (dgraph-format.md, section 3.1).
const (
	prefixData   = 0x00
	prefixSchema = 0x01
	prefixType   = 0x02
	prefixPart   = 0x04
)

func schemaEntry(p *dgraph.PredicateSchema, group uint32, ts uint64) (entry, error) {
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: p.Predicate})
	if err != nil {
		return entry{}, invalid("%w", err)
	}
	value, err := p.AppendUpdate(nil, dgraph.FormV23)
	return entry{group: group, key: key, value: value, userMeta: dgraph.MetaSchema, version: ts, discard: true}, err
}

// typeEntries are the same type in every group, as Dgraph has it.
func typeEntries(t *dgraph.TypeSchema, groups []uint32, ts uint64) ([]entry, error) {
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyType, Predicate: t.Predicate})
	if err != nil {
		return nil, invalid("%w", err)
	}
	value, err := t.AppendUpdate(nil, dgraph.FormV23)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, g := range groups {
		out = append(out, entry{group: g, key: key, value: value, userMeta: dgraph.MetaSchema, version: ts, discard: true})
	}
	return out, nil
}

// freshEntries begin predicates that a mutation is the first to name.
func freshEntries(fresh []dgraph.PredicateSchema, groups map[dgraph.Predicate]uint32, ts uint64) ([]entry, error) {
	var out []entry
	for i := range fresh {
		e, err := schemaEntry(&fresh[i], groups[fresh[i].Predicate], ts)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// groupsFor gives each new predicate to the group that has the fewest then; the database's
// own are in group 1, as in Dgraph. Those that are known stay where they are.
func (s *Store) groupsFor(predicates []dgraph.PredicateSchema) map[dgraph.Predicate]uint32 {
	if len(predicates) == 0 {
		return nil
	}
	groups, count := s.dbs.groups(), map[uint32]int{}
	for p, known := range s.schema.predicates {
		if !p.Reserved() {
			count[known.Group]++
		}
	}
	fewest := func(a, b uint32) int { return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a, b)) }
	given := make(map[dgraph.Predicate]uint32, len(predicates))
	for i := range predicates {
		p := predicates[i].Predicate
		known, ok := s.schema.predicates[p]
		_, again := given[p]
		switch {
		case again:
		case ok:
			given[p] = known.Group
		case p.Reserved():
			given[p] = groups[0]
		default:
			g := slices.MinFunc(groups, fewest)
			given[p] = g
			count[g]++
		}
	}
	return given
}

// committed takes note of what a mutation has begun and touched.
func (s *Store) committed(p *prepared, r *record) {
	s.touched.add(p.keys, r.ts)
	s.noteHot(r.entries)
	s.mu.Lock()
	for i := range r.entries {
		s.ns = max(s.ns, namespaceOf(r.entries[i].key))
	}
	s.mu.Unlock()
	if len(p.fresh) == 0 {
		return
	}
	sc, groups := s.schema.clone(), s.groupsFor(p.fresh)
	for i := range p.fresh {
		sc.predicates[p.fresh[i].Predicate] = PredicateState{p.fresh[i], groups[p.fresh[i].Predicate]}
	}
	s.setSchema(sc)
}

func namespaceOf(key []byte) uint64 {
	var k dgraph.Key
	if dgraph.ParseKey(dgraph.LayoutV21, key, &k) != nil {
		return 0
	}
	return k.Namespace
}

// Alter changes or adds predicates and types. The database's own may be among them as they
// are, which is how exports have them.
func (s *Store) Alter(ctx context.Context, predicates []dgraph.PredicateSchema, types []dgraph.TypeSchema) error {
	return s.change(ctx, func() error {
		ts := s.ts + 1
		sc, groups := s.schema.clone(), s.groupsFor(predicates)
		var entries []entry
		for i := range predicates {
			p := &predicates[i]
			if s.ownPredicate(p) {
				continue
			}
			if err := s.alterable(p); err != nil {
				return err
			}
			group := groups[p.Predicate]
			lists, err := s.toList(p, ts)
			if err != nil {
				return err
			}
			e, err := schemaEntry(p, group, ts)
			if err != nil {
				return err
			}
			entries = append(append(entries, lists...), e)
			sc.predicates[p.Predicate] = PredicateState{*p, group}
		}
		for i := range types {
			t := &types[i]
			if s.ownType(t) {
				continue
			}
			if t.Reserved() || t.Name == "" || len(t.Name) > maxName {
				return fmt.Errorf("type %.40q: %w: names that begin with dgraph. are the database's own", t.Name, ErrReserved)
			}
			e, err := typeEntries(t, s.dbs.groups(), ts)
			if err != nil {
				return err
			}
			entries = append(entries, e...)
			sc.types[t.Predicate] = *t
		}
		if len(entries) == 0 {
			return nil
		}
		if err := s.write(&record{kind: recordCommit, ts: ts, entries: entries}); err != nil {
			return err
		}
		s.setSchema(sc)
		return nil
	})
}

// alterable checks what the schema may become.
func (s *Store) alterable(p *dgraph.PredicateSchema) error {
	if err := checkName(p.Predicate); err != nil {
		return err
	}
	if s.dbs.banned[p.Namespace] {
		return invalid("namespace %#x has been deleted", p.Namespace)
	}
	if p.Reserved() {
		return fmt.Errorf("predicate %s: %w: names that begin with dgraph. are the database's own", p.Name, ErrReserved)
	}
	if s.opt.StrictSchema && (len(p.Tokenizers) > 0 || p.Reverse || p.Count || p.Vector != "") {
		return invalid("predicate %s: with --strict-schema, @index, @reverse and @count are refused: their keys are not built", p.Name)
	}
	was, known := s.schema.predicates[p.Predicate]
	if !known || was.Type == p.Type && was.List == p.List {
		return nil
	}
	if some, err := s.any(p.Predicate); err != nil || !some {
		return err
	}
	switch {
	case was.Type != p.Type && (was.Type == dgraph.ValuePassword || p.Type == dgraph.ValuePassword): // which nobody reads
		return invalid("Schema change not allowed from %s to %s while there is data for pred: %s", was.Type.Name(), p.Type.Name(), p.Name)
	case (was.Type == dgraph.ValueUID) != (p.Type == dgraph.ValueUID):
		return invalid("Schema change not allowed from scalar to uid or vice versa while there is data for pred: %s", p.Name)
	case was.List && !p.List:
		return invalid("Type can't be changed from list to scalar for attr: [%s] without dropping it first.", p.Name)
	}
	return nil
}

// any reports whether the predicate has any data.
func (s *Store) any(p dgraph.Predicate) (bool, error) {
	v, err := s.View()
	if err != nil {
		return false, err
	}
	defer v.Close()
	for _, err := range v.UIDs(p) {
		return err == nil, err
	}
	return false, nil
}

// toList gives the values of a predicate that becomes a list the uids that they have in
// one.
func (s *Store) toList(p *dgraph.PredicateSchema, ts uint64) ([]entry, error) {
	was, known := s.schema.predicates[p.Predicate]
	if !known || was.List || !p.List || p.Type == dgraph.ValueUID {
		return nil, nil
	}
	v, err := s.View()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var out []entry
	for uid, err := range v.UIDs(p.Predicate) {
		if err != nil {
			return nil, err
		}
		there, err := v.Postings(p.Predicate, uid)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(there, func(t dgraph.Posting) bool { return t.UID == dgraph.UntaggedUID })
		if i < 0 {
			continue
		}
		old, now := there[i], there[i]
		old.Del, now.UID = true, fingerprint(now.Value.Data)
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: p.Predicate, UID: uid})
		if err != nil {
			return nil, err
		}
		delta := dgraph.AppendDelta(nil, []dgraph.Posting{now, old}, ts-1, ts)
		out = append(out, entry{group: was.Group, key: key, value: delta, userMeta: dgraph.MetaDelta, version: ts})
	}
	return out, nil
}

// addReserved adds the predicates that Dgraph always has, where they are missing.
func (s *Store) addReserved(ctx context.Context) error {
	return s.exclusive(ctx, func() error {
		entries, sc, err := s.reserved(s.schema, s.ts+1, 0)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := s.write(&record{kind: recordCommit, ts: s.ts + 1, entries: entries}); err != nil {
			return err
		}
		s.setSchema(sc)
		return nil
	})
}

// reserved completes a schema, for namespace 0 and one more.
func (s *Store) reserved(sc *schema, ts uint64, ns uint64) ([]entry, *schema, error) {
	sc = sc.clone()
	var out []entry
	for _, n := range []uint64{0, ns} {
		for _, p := range []dgraph.PredicateSchema{typeOf(n), dropsOf(n)} {
			if _, ok := sc.predicates[p.Predicate]; ok {
				continue
			}
			group := s.dbs.groups()[0]
			e, err := schemaEntry(&p, group, ts)
			if err != nil {
				return nil, nil, err
			}
			out = append(out, e)
			sc.predicates[p.Predicate] = PredicateState{p, group}
		}
	}
	return out, sc, nil
}

func typeOf(ns uint64) dgraph.PredicateSchema {
	return dgraph.PredicateSchema{
		Predicate: dgraph.Predicate{Namespace: ns, Name: typePredicate}, Type: dgraph.ValueString, List: true, Tokenizers: []string{"exact"},
	}
}

func dropsOf(ns uint64) dgraph.PredicateSchema {
	return dgraph.PredicateSchema{Predicate: dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}, Type: dgraph.ValueString}
}
