package store

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/dgraph"
)

// newest is a read timestamp that sees everything.
const newest = math.MaxUint64

// View opens the database as it is now, for reading.
func (s *Store) View() (*View, error) { return s.viewAt(newest) }

// ViewAt opens the database as it was at readTs. What was dropped since is not there,
// and of what was rolled up since, nothing older.
func (s *Store) ViewAt(readTs uint64) (*View, error) { return s.viewAt(readTs) }

func (s *Store) viewAt(readTs uint64) (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		return nil, ErrClosed
	case s.dbs.closing:
		return nil, ErrDraining
	}
	readTs = min(readTs, s.applied)
	s.dbs.readers.enter()
	s.reading[readTs]++
	return &View{s: s, dbs: s.dbs, schema: s.schema, readTs: readTs, reader: newReader(s.dbs, s.schema, readTs)}, nil
}

// A View is the database at one timestamp. It is used by one goroutine.
type View struct {
	s      *Store
	dbs    *databases
	schema *schema
	readTs uint64
	reader *reader
}

// Close must be called, once.
func (v *View) Close() {
	v.reader.close()
	v.s.mu.Lock()
	if v.s.reading[v.readTs]--; v.s.reading[v.readTs] == 0 {
		delete(v.s.reading, v.readTs)
	}
	v.s.mu.Unlock()
	v.dbs.readers.leave()
}

// ReadTs is the timestamp.
func (v *View) ReadTs() uint64 { return v.readTs }

// Predicate returns what the schema says of a predicate.
func (v *View) Predicate(p dgraph.Predicate) (PredicateState, bool) {
	state, ok := v.schema.predicates[p]
	return state, ok
}

// Type returns a type.
func (v *View) Type(name dgraph.Predicate) (dgraph.TypeSchema, bool) {
	t, ok := v.schema.types[name]
	return t, ok
}

// Postings returns the edges or values of p at a node, by uid; none if there are none.
func (v *View) Postings(p dgraph.Predicate, uid uint64) ([]dgraph.Posting, error) {
	return v.reader.postings(p, uid)
}

// UIDs yields the nodes that have p, ascending.
func (v *View) UIDs(p dgraph.Predicate) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		state, ok := v.schema.predicates[p]
		if !ok {
			return
		}
		for k, err := range v.reader.keys(state) {
			if !yield(k, err) || err != nil {
				return
			}
		}
	}
}

// reader is for the committer: it sees all that is committed.
func (s *Store) reader() *reader { return newReader(s.dbs, s.schema, newest) }

// A reader reads lists.
type reader struct {
	dbs    *databases
	schema *schema
	readTs uint64
	txns   map[uint32]*badger.Txn
	roller dgraph.Roller
	key    []byte
	list   []byte
	part   []byte

	held  map[listKey][]dgraph.Posting // see posting
	holds int                          // bytes in all of them
}

func newReader(dbs *databases, sc *schema, readTs uint64) *reader {
	return &reader{dbs: dbs, schema: sc, readTs: readTs, txns: map[uint32]*badger.Txn{}}
}

func (r *reader) close() {
	for _, txn := range r.txns {
		txn.Discard()
	}
}

func (r *reader) txn(group uint32) *badger.Txn {
	txn := r.txns[group]
	if txn == nil {
		txn = r.dbs.byGroup[group].NewTransactionAt(r.readTs, false)
		r.txns[group] = txn
	}
	return txn
}

// postings returns one list. A predicate that the schema does not know has none.
func (r *reader) postings(p dgraph.Predicate, uid uint64) ([]dgraph.Posting, error) {
	state, ok := r.schema.predicates[p]
	if !ok {
		return nil, nil
	}
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: p, UID: uid}
	b, _, err := r.read(state.Group, &k)
	if err != nil {
		return nil, err
	}
	var out []dgraph.Posting
	for posting, err := range dgraph.Postings(b) {
		if err != nil {
			return nil, fmt.Errorf("%s at %#x: %w", p, uid, err)
		}
		posting.Value.Data = append([]byte(nil), posting.Value.Data...)
		out = append(out, posting)
	}
	return out, nil
}

const maxHeld = 64 << 20 // bytes of lists

// posting returns the one with this uid of a list, if there is one. Lists are held: whoever deletes half of a
// long one, value by value, does not read all of it for each.
func (r *reader) posting(l listKey, uid uint64) (dgraph.Posting, bool, error) {
	there, ok := r.held[l]
	if !ok {
		var err error
		if there, err = r.postings(l.Predicate, l.uid); err != nil {
			return dgraph.Posting{}, false, err
		}
		const beside = 100 // bytes, about, of what is beside a value
		size := beside
		for i := range there {
			size += beside + len(there[i].Value.Data)
		}
		if r.holds += size; r.held == nil || r.holds > maxHeld {
			r.held, r.holds = map[listKey][]dgraph.Posting{}, size
		}
		r.held[l] = there
	}
	i, ok := slices.BinarySearchFunc(there, uid, func(p dgraph.Posting, uid uint64) int { return cmp.Compare(p.UID, uid) })
	if !ok {
		return dgraph.Posting{}, false, nil
	}
	return there[i], true, nil
}

// read returns a list as a backup has it, valid until the next read, and the version of
// its newest part; nothing of a list that is empty.
func (r *reader) read(group uint32, k *dgraph.Key) (list []byte, version uint64, err error) {
	if r.key, err = dgraph.AppendKey(r.key[:0], dgraph.LayoutV21, k); err != nil {
		return nil, 0, err
	}
	it := r.txn(group).NewKeyIterator(r.key, badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	it.Rewind()
	return r.roll(group, k, it, func() bool { return it.Valid() })
}

// roll merges the versions at which it stands.
func (r *reader) roll(group uint32, k *dgraph.Key, it *badger.Iterator, same func() bool) (list []byte, version uint64, err error) {
	r.roller.Reset()
	base := uint64(0)
	for more := true; more && same(); it.Next() {
		item := it.Item()
		if version == 0 {
			version = item.Version()
		}
		if item.IsDeletedOrExpired() {
			break
		}
		value, err := valueOf(item)
		if err != nil {
			return nil, 0, fmt.Errorf("%s at %#x: %w", k.Predicate, k.UID, err)
		}
		base = item.Version()
		if more, err = r.roller.Add(item.UserMeta(), value); err != nil {
			return nil, 0, fmt.Errorf("%s at %#x: %w", k.Predicate, k.UID, err)
		}
	}
	for _, start := range r.roller.Splits() {
		if err := r.addPart(group, k, start, base); err != nil {
			return nil, 0, fmt.Errorf("%s at %#x: part from %#x: %w", k.Predicate, k.UID, start, err)
		}
	}
	var empty bool
	if r.list, empty, err = r.roller.AppendBackupList(r.list[:0], dgraph.UIDBytes); err != nil || empty {
		return nil, version, err
	}
	return r.list, version, nil
}

// addPart reads a part of a long list as it was at version base.
func (r *reader) addPart(group uint32, k *dgraph.Key, start, base uint64) (err error) {
	part := *k
	part.StartUID = start
	if r.part, err = dgraph.AppendKey(r.part[:0], dgraph.LayoutV21, &part); err != nil {
		return err
	}
	txn := r.dbs.byGroup[group].NewTransactionAt(base, false)
	defer txn.Discard()
	item, err := txn.Get(r.part)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	value, err := valueOf(item)
	if err != nil {
		return err
	}
	return r.roller.AddPart(value)
}

// valueOf returns an item's value. Badger gives nothing, and no error, for what it cannot
// read.
func valueOf(item *badger.Item) ([]byte, error) {
	value, err := item.ValueCopy(nil)
	if err == nil && len(value) == 0 && item.ValueSize() > 0 {
		err = ErrDamaged
	}
	return value, err
}

// keys yields the nodes of a predicate whose lists are not empty.
func (r *reader) keys(p PredicateState) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		prefix, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: p.Predicate, UID: 1})
		if err != nil {
			yield(0, err)
			return
		}
		prefix = prefix[:len(prefix)-8]
		it := r.txn(p.Group).NewIterator(badger.IteratorOptions{AllVersions: true, Prefix: prefix})
		defer it.Close()
		var k dgraph.Key
		var key []byte
		for it.Rewind(); it.Valid(); {
			key = it.Item().KeyCopy(key)
			err := dgraph.ParseKey(dgraph.LayoutV21, key, &k)
			same := func() bool { return it.Valid() && string(it.Item().Key()) == string(key) }
			var list []byte
			if err == nil {
				list, _, err = r.roll(p.Group, &k, it, same)
			}
			if (err != nil || list != nil) && !yield(k.UID, err) || err != nil {
				return
			}
			for same() {
				it.Next()
			}
		}
	}
}
