package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A dgraphWorld is a Dgraph cluster of one or two groups. What happens to it is
// written as a Dgraph of the generation writes it: lists as deltas, rolled up
// now and then, in parts where they are long; drops and removed indexes as
// physical deletions; a record for the former and none for the latter.
//
// Two things no backup of such a directory can know, and they do not happen
// here between two backups: that an index was removed and built again, and
// that a predicate moved away and back.
type dgraphWorld struct {
	*history
	dirs       map[uint32]string
	key        []byte
	layout     dgraph.Layout
	generation dgraph.Form
	compat     manifest.Compat
	dbs        map[uint32]*badger.DB
	clock      uint64
	long       bool   // lists that a restore has to cut
	habit      func() // what happens more often than other things
	newest     uint64 // version of an item that is still there
	since      uint64 // read timestamp of the last backup
	nextUID    uint64
	everUID    uint64 // highest that was ever in use
	names      []string
	freshNs    []uint64 // namespaces that there may still be
	namespaces []uint64
	preds      map[dgraph.Predicate]*modelPredicate
	types      map[dgraph.Predicate][]string
}

// A modelPredicate is a predicate and everything under its keys.
type modelPredicate struct {
	dgraph.Predicate
	group   uint32
	schema  *modelSchema // nil for the parts of a vector index
	lists   map[string]*storedList
	removed map[indexKind]bool // since the last backup
	moved   bool               // since the last backup
}

// A storedList is a list and how it was written last.
type storedList struct {
	key    dgraph.Key
	list   modelList
	last   uint64 // version of its newest item; 0 if a restore wrote that
	splits []uint64
}

func newDgraphWorld(h *history) *dgraphWorld {
	w := &dgraphWorld{
		history: h, dirs: map[uint32]string{}, key: h.databaseKey(), long: h.chance(30), clock: uint64(1 + h.r.IntN(3)), nextUID: 1000,
		names: []string{"name", "friend", "age", "a", "ab", "im-1", "naïve", "dgraph.type", "with space", "x.y"},
		preds: map[dgraph.Predicate]*modelPredicate{}, types: map[dgraph.Predicate][]string{},
	}
	parent := h.dir()
	for g := uint32(1); g == 1 || g == 2 && h.chance(2); g++ {
		w.dirs[g] = filepath.Join(parent, groupDir(g))
	}
	switch h.r.IntN(5) {
	case 0:
		w.layout, w.generation = dgraph.LayoutV20, dgraph.FormV20
	case 1:
		w.generation = dgraph.FormV21
	default:
		w.generation = dgraph.FormV23
	}
	w.compat = []manifest.Compat{manifest.CompatV23, manifest.CompatV23, manifest.CompatV21, manifest.CompatV20}[h.r.IntN(4)]
	switch {
	case w.generation == dgraph.FormV20 || w.compat == manifest.CompatV20 || h.chance(3):
	case w.compat == manifest.CompatV21 || w.generation == dgraph.FormV21:
		w.freshNs = []uint64{1, 0x1f, 0x7f2a}
	default:
		w.freshNs = []uint64{1, 0xab, 0xff8000} // JSON damages them in the form of 21.03
	}
	if h.chance(2) {
		w.habit = []func(){w.move, w.move, w.alter, w.dropAttr, w.dropData}[h.r.IntN(5)]
	}
	return w
}

func (w *dgraphWorld) source() (map[uint32]string, badgerdb.Options) {
	o := badgerdb.Options{EncryptionKey: sdk.NewSecret(w.key)}
	if w.chance(2) {
		o.Kind = manifest.KindDgraph // else it is found out
	}
	return w.dirs, o
}

// form goes on to a later one now and then, but not where namespaces that the
// earlier one cannot write are still in the chain.
func (w *dgraphWorld) form() manifest.Compat {
	switch {
	case w.compat == manifest.CompatV20 && w.chance(10):
		w.compat = manifest.CompatV21
	case w.compat == manifest.CompatV21 && w.chance(10):
		w.compat = manifest.CompatV23
	}
	return w.compat
}

func (w *dgraphWorld) backedUp(readTs uint64) moment {
	w.since = readTs
	for _, p := range w.preds {
		p.removed, p.moved = nil, false
	}
	return w.remember()
}

func (w *dgraphWorld) adopt(dir string, req RestoreRequest) {
	w.key = req.PostingsKey.Reveal()
	for g := range w.dirs {
		w.dirs[g] = filepath.Join(dir, groupDir(g))
	}
	w.layout, w.generation = dgraph.LayoutV21, req.Compat.Form()
	if req.Compat == manifest.CompatV20 {
		w.layout, w.freshNs = dgraph.LayoutV20, nil
	}
	for _, p := range w.preds {
		for id, l := range p.lists {
			if l.last, l.splits = 0, nil; len(l.list) == 0 {
				delete(p.lists, id)
			}
		}
	}
	w.tick() // Zero hands out later timestamps than the restore's
}

func (w *dgraphWorld) live(n int) {
	w.open()
	if len(w.namespaces) == 0 {
		w.addNamespace(0)
	}
	for range n {
		w.happen()
	}
	if w.newest <= w.since || !w.chance(4) {
		w.change()
	}
	w.close()
}

func (w *dgraphWorld) open() {
	w.dbs = map[uint32]*badger.DB{}
	for _, g := range sorted(w.dirs) {
		o := badgerOptions(w.r, w.dirs[g], w.key).WithMemTableSize(1 << 20)
		if w.long {
			o = o.WithMemTableSize(8 << 20)
		}
		if w.layout == dgraph.LayoutV21 {
			o = o.WithNamespaceOffset(1)
		}
		db, err := badger.OpenManaged(o)
		w.must(err)
		w.dbs[g] = db
	}
}

// close closes the directories. Dgraph says in each which group it is.
func (w *dgraphWorld) close() {
	for _, g := range sorted(w.dbs) {
		w.must(w.dbs[g].Close())
		w.must(os.WriteFile(filepath.Join(w.dirs[g], "group_id"), fmt.Appendf(nil, "%d\n", g), 0o600))
	}
}

func (w *dgraphWorld) happen() {
	if w.habit != nil && w.chance(4) {
		w.habit()
		return
	}
	switch n := w.r.IntN(100); {
	case n < 55:
		w.change()
	case n < 65:
		w.rollup()
	case n < 72:
		w.addPredicate()
	case n < 79:
		w.alter()
	case n < 83:
		w.setType()
	case n < 86:
		w.dropAttr()
	case n < 88:
		w.dropData()
	case n < 89:
		w.dropAll()
	case n < 91:
		w.dropNamespace()
	case n < 94 && len(w.freshNs) > 0:
		ns := w.freshNs[0]
		w.freshNs = w.freshNs[1:]
		w.addNamespace(ns)
	case n < 97:
		w.move()
	case n < 98:
		w.compact()
	default:
		w.close()
		w.open()
	}
}

// tick is the next timestamp that Zero hands out.
func (w *dgraphWorld) tick() uint64 {
	w.clock += uint64(1 + w.r.IntN(3)*w.r.IntN(4))
	return w.clock
}

// put writes one item, or the delete of a key where value is nil and meta 0.
func (w *dgraphWorld) put(group uint32, version uint64, key, value []byte, meta byte) {
	txn := w.dbs[group].NewTransactionAt(version, true)
	defer txn.Discard()
	if meta == 0 {
		w.must(txn.Delete(key))
	} else {
		e := badger.NewEntry(key, value).WithMeta(meta)
		if meta != dgraph.MetaDelta && w.chance(2) {
			e = e.WithDiscard()
		}
		w.must(txn.SetEntry(e))
	}
	w.must(txn.CommitAt(version, nil))
	w.newest = max(w.newest, version)
}

func (w *dgraphWorld) badgerKey(k dgraph.Key) []byte {
	b, err := dgraph.AppendKey(nil, w.layout, &k)
	w.must(err)
	return b
}

// sortKey names a key in the model: its place in the order of a backup.
func sortKey(k dgraph.Key) string {
	b, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// prefixes are where the keys of a predicate begin, parts of lists included;
// with an index kind, only those of that.
func (w *dgraphWorld) prefixes(p dgraph.Predicate, kind indexKind) [][]byte {
	k := dgraph.Key{Kind: cmpKind(kind.kind), Predicate: p}
	b := w.badgerKey(k)
	head := len(w.badgerKey(dgraph.Key{Kind: dgraph.KeySchema, Predicate: p}))
	cut := head
	if kind.kind != 0 {
		cut = head + 1
	}
	b = slices.Clone(b[:cut])
	if kind.kind == dgraph.KeyIndex {
		b = append(b, kind.token)
	}
	parts := slices.Clone(b)
	parts[0] = 4
	return [][]byte{b, parts}
}

func cmpKind(k dgraph.KeyKind) dgraph.KeyKind {
	if k == 0 {
		return dgraph.KeyData
	}
	return k
}

func (w *dgraphWorld) dropPrefix(group uint32, prefixes ...[]byte) {
	w.must(w.dbs[group].DropPrefix(prefixes...))
	w.newest = 0 // that item may have gone
}

// schemaVersion is the timestamp of an alter; before 21.03 there is only one.
func (w *dgraphWorld) schemaVersion() uint64 {
	ts := w.tick()
	if w.generation == dgraph.FormV20 {
		return 1
	}
	return ts
}

// some predicate with a schema, or nil.
func (w *dgraphWorld) some(ok func(*modelPredicate) bool) *modelPredicate {
	var fit []*modelPredicate
	for _, p := range w.sortedPreds() {
		if p.schema != nil && p.Name != dgraph.DropPredicate && (ok == nil || ok(p)) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[w.r.IntN(len(fit))]
}

func (w *dgraphWorld) sortedPreds() []*modelPredicate {
	return slices.SortedFunc(maps.Values(w.preds), func(a, b *modelPredicate) int {
		return slices.Compare([]byte(a.String()), []byte(b.String()))
	})
}

func (w *dgraphWorld) groups() []uint32 { return sorted(w.dirs) }

func (w *dgraphWorld) someGroup() uint32 { return w.groups()[w.r.IntN(len(w.dirs))] }

// addNamespace writes what a new namespace has: Dgraph's own predicates.
func (w *dgraphWorld) addNamespace(ns uint64) {
	w.namespaces = append(w.namespaces, ns)
	w.tell("namespace %#x", ns)
	w.create(dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}, 1, modelSchema{valueType: 9})
	w.create(dgraph.Predicate{Namespace: ns, Name: "dgraph.type"}, w.someGroup(), modelSchema{valueType: 9, tokenizers: []string{"exact"}, flags: 1})
}

func (w *dgraphWorld) create(p dgraph.Predicate, group uint32, s modelSchema) {
	m := &modelPredicate{Predicate: p, group: group, lists: map[string]*storedList{}}
	w.preds[p] = m
	w.setSchema(m, s)
}

func (w *dgraphWorld) setSchema(p *modelPredicate, s modelSchema) {
	ts := w.schemaVersion()
	w.tell("schema %s in group %d @%d: %+v", p, p.group, ts, s)
	p.schema = &s
	w.put(p.group, ts, w.badgerKey(dgraph.Key{Kind: dgraph.KeySchema, Predicate: p.Predicate}), s.value(named(w.generation, p.Predicate)), dgraph.MetaSchema)
}

func (w *dgraphWorld) addPredicate() {
	p := dgraph.Predicate{Namespace: w.namespaces[w.r.IntN(len(w.namespaces))], Name: w.names[w.r.IntN(len(w.names))]}
	if w.preds[p] == nil {
		w.create(p, w.someGroup(), w.randomSchema(nil))
	}
}

func (w *dgraphWorld) randomSchema(without map[indexKind]bool) modelSchema {
	if w.generation == dgraph.FormV23 && w.chance(8) {
		s := modelSchema{valueType: 12}
		if !without[vectorKind] && !w.chance(4) {
			s.vector = []string{"hnsw", "hnsw-2"}[w.r.IntN(2)]
		}
		return s
	}
	return randomSchema(w.r, without)
}

// vectorKind stands for a vector index among what was removed.
var vectorKind = indexKind{kind: 255}

// alter changes a schema. Indexes that it no longer provides for are
// deleted, and nothing records that.
func (w *dgraphWorld) alter() {
	p := w.some(nil)
	if p == nil {
		return
	}
	s := w.randomSchema(p.removed)
	if p.removed == nil {
		p.removed = map[indexKind]bool{}
	}
	for _, kind := range p.schema.indexes() {
		if !slices.Contains(s.indexes(), kind) {
			w.tell("index %+v of %s is removed", kind, p)
			w.dropPrefix(p.group, w.prefixes(p.Predicate, kind)...)
			p.removed[kind] = true
			maps.DeleteFunc(p.lists, func(_ string, l *storedList) bool { return kind.has(&l.key) })
		}
	}
	if p.schema.vector != "" && s.vector != p.schema.vector {
		p.removed[vectorKind] = true
		for _, part := range w.vectorParts(p) {
			w.forget(part)
		}
	}
	w.setSchema(p, s)
}

func (k indexKind) has(key *dgraph.Key) bool {
	return key.Kind == k.kind && (k.kind != dgraph.KeyIndex || key.Term[0] == k.token)
}

// vectorParts lists the predicates that hold p's vector index.
func (w *dgraphWorld) vectorParts(p *modelPredicate) (parts []*modelPredicate) {
	for _, suffix := range vectorSuffixes {
		if m := w.preds[dgraph.Predicate{Namespace: p.Namespace, Name: p.Name + suffix}]; m != nil {
			parts = append(parts, m)
		}
	}
	return parts
}

// forget deletes a predicate's lists from the directory, and it from the model.
func (w *dgraphWorld) forget(p *modelPredicate) {
	w.tell("delete %s from group %d", p, p.group)
	w.dropPrefix(p.group, w.prefixes(p.Predicate, indexKind{})...)
	delete(w.preds, p.Predicate)
}

// forgetSchema deletes a predicate's schema.
func (w *dgraphWorld) forgetSchema(p *modelPredicate) {
	w.put(p.group, w.schemaVersion(), w.badgerKey(dgraph.Key{Kind: dgraph.KeySchema, Predicate: p.Predicate}), nil, 0)
}

func (w *dgraphWorld) setType() {
	name := dgraph.Predicate{Namespace: w.namespaces[w.r.IntN(len(w.namespaces))], Name: []string{"Person", "a", "T-1"}[w.r.IntN(3)]}
	version, key := w.schemaVersion(), w.badgerKey(dgraph.Key{Kind: dgraph.KeyType, Predicate: name})
	if w.types[name] != nil && w.chance(2) {
		w.tell("type %s deleted @%d", name, version)
		delete(w.types, name)
		for _, g := range w.groups() {
			w.put(g, version, key, nil, 0)
		}
		return
	}
	fields := []string{}
	var stored []string
	for range w.r.IntN(4) {
		f := w.names[w.r.IntN(len(w.names))]
		fields = append(fields, f)
		stored = append(stored, named(w.generation, dgraph.Predicate{Namespace: name.Namespace, Name: f}))
	}
	w.tell("type %s @%d: %q", name, version, fields)
	w.types[name] = fields
	for _, g := range w.groups() {
		w.put(g, version, key, typeValue(named(w.generation, name), stored), dgraph.MetaSchema)
	}
}

// change changes a list, or several at once. There is always one predicate
// at least, dgraph.type.
func (w *dgraphWorld) change() {
	p := w.some(nil)
	ts := w.tick()
	for range 1 + w.r.IntN(4) {
		at := p
		if p.schema.vector != "" && w.chance(2) {
			at = w.vectorPart(p)
		}
		w.changeList(at, w.someList(at), ts)
	}
}

// vectorPart is one of the predicates that hold p's vector index. They have no
// schema of their own.
func (w *dgraphWorld) vectorPart(p *modelPredicate) *modelPredicate {
	part := dgraph.Predicate{Namespace: p.Namespace, Name: p.Name + vectorSuffixes[w.r.IntN(len(vectorSuffixes))]}
	m := w.preds[part]
	if m == nil {
		m = &modelPredicate{Predicate: part, group: p.group, lists: map[string]*storedList{}}
		w.preds[part] = m
	}
	return m
}

// someList is one that there is, or a new one of a kind that the schema has.
func (w *dgraphWorld) someList(p *modelPredicate) *storedList {
	if len(p.lists) > 0 && w.chance(2) {
		ids := sorted(p.lists)
		return p.lists[ids[w.r.IntN(len(ids))]]
	}
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: p.Predicate}
	if p.schema != nil {
		if kinds := p.schema.indexes(); len(kinds) > 0 && w.chance(2) {
			kind := kinds[w.r.IntN(len(kinds))]
			k.Kind = kind.kind
			if kind.kind == dgraph.KeyIndex {
				k.Term = []byte{kind.token, byte(w.r.IntN(4) * 85)}
			}
		}
	}
	switch k.Kind {
	case dgraph.KeyData, dgraph.KeyReverse:
		k.UID = w.someUID()
	case dgraph.KeyCount, dgraph.KeyCountReverse:
		k.Count = uint32(w.r.IntN(5))
	}
	id := sortKey(k)
	if p.lists[id] == nil {
		p.lists[id] = &storedList{key: k, list: modelList{}}
		w.everUID = max(w.everUID, k.UID)
	}
	return p.lists[id]
}

func (w *dgraphWorld) someUID() uint64 {
	uid := uint64(1 + w.r.IntN(30))
	if w.chance(6) {
		uid += uint64(w.r.IntN(3)) << 32
	}
	return uid
}

// changeList writes what a transaction or, with it, a rollup leaves behind.
func (w *dgraphWorld) changeList(p *modelPredicate, l *storedList, ts uint64) {
	if l.last == ts {
		return // changed in this transaction already
	}
	key := w.badgerKey(l.key)
	switch n := w.r.IntN(20); {
	case n == 0:
		w.tell("%s deleted @%d", l, ts)
		l.list, l.last = modelList{}, ts
		w.put(p.group, ts, key, nil, 0)
	case n <= 2:
		w.tell("%s emptied @%d", l, ts)
		l.list, l.last = modelList{}, ts
		w.put(p.group, ts, key, nil, dgraph.MetaEmpty)
	case n <= 5:
		if w.long && w.chance(4) {
			w.lengthen(l)
		} else {
			w.apply(l, nil)
		}
		w.complete(p, l, ts)
	default:
		var delta []byte
		w.apply(l, &delta)
		l.last = ts
		w.tell("%s delta @%d: %s", l, ts, l.list.text())
		w.put(p.group, ts, key, delta, dgraph.MetaDelta)
	}
}

func (l *storedList) String() string {
	return fmt.Sprintf("%s %q", l.key.Predicate, sortKey(l.key)[11:])
}

// apply makes a few changes, and appends the delta that says so.
func (w *dgraphWorld) apply(l *storedList, delta *[]byte) {
	var postings []string
	add := func(p string) { postings = append(postings, p) }
	if w.chance(6) {
		l.list = modelList{}
		add(deleteAll())
	} else {
		l.list = maps.Clone(l.list)
	}
	changed := map[uint64]bool{}
	for range 1 + w.r.IntN(6) {
		uid, kind, value, lang := w.someUID(), uint64(refPosting), "", ""
		if l.key.Kind == dgraph.KeyData {
			switch w.r.IntN(4) {
			case 0:
				uid, kind, value = math.MaxUint64, valuePost, w.value()
			case 1:
				uid, kind, value, lang = 0xfa<<56+w.r.Uint64N(3), langPosting, w.value(), "de"
			case 2:
				uid, kind, value = 0xeb<<56+w.r.Uint64N(500), valuePost, w.value()
			}
		}
		if changed[uid] {
			continue
		}
		changed[uid] = true
		if uids := l.list.uids(); len(uids) > 0 && w.chance(3) {
			if uid = uids[w.r.IntN(len(uids))]; !changed[uid] || uid == math.MaxUint64 {
				changed[uid] = true
				add(posting(uid, kind, opDel, value, lang, false))
				delete(l.list, uid)
			}
			continue
		}
		facet := w.chance(5) && l.key.Kind == dgraph.KeyData
		p := posting(uid, kind, uint64([]int{opSet, opSet, opOvr}[w.r.IntN(3)]), value, lang, facet)
		add(p)
		if kind == refPosting && !facet {
			p = ""
		}
		l.list[uid] = p
	}
	w.everUID = max(w.everUID, l.list.maxUID(&l.key))
	if delta != nil {
		slices.SortStableFunc(postings, func(a, b string) int {
			return slices.Compare(reversed(a[1:9]), reversed(b[1:9]))
		})
		*delta = postingList(postings)
	}
}

// reversed makes the bytes of a little-endian number sort as the number does.
func reversed(s string) []byte {
	b := []byte(s)
	slices.Reverse(b)
	return b
}

func (w *dgraphWorld) value() string {
	b := make([]byte, []int{1, 5, 50, 300}[w.r.IntN(4)])
	for i := range b {
		b[i] = byte(w.r.IntN(256))
	}
	return string(b)
}

// lengthen makes a list so long that a restore has to cut it.
func (w *dgraphWorld) lengthen(l *storedList) {
	l.list = modelList{}
	if l.key.Kind == dgraph.KeyData && w.chance(2) {
		for range 600 {
			uid := w.r.Uint64() | 1
			l.list[uid] = posting(uid, valuePost, opSet, string(make([]byte, 1000)), "", false)
		}
		return
	}
	for uid := uint64(1); len(l.list) < 140_000; uid += 1 + w.r.Uint64N(1<<25) {
		l.list[uid] = ""
	}
	w.everUID = max(w.everUID, l.list.maxUID(&l.key))
}

// complete writes the whole list, in parts where it is long or chance will
// have it.
func (w *dgraphWorld) complete(p *modelPredicate, l *storedList, ts uint64) {
	old := l.splits
	l.last, l.splits = ts, nil
	key := w.badgerKey(l.key)
	uids := l.list.uids()
	w.tell("%s complete @%d: %s", l, ts, l.list.text())
	switch {
	case len(uids) == 0:
		w.put(p.group, ts, key, nil, dgraph.MetaEmpty)
	case len(uids) > 500 || len(uids) > 3 && w.chance(3):
		l.splits = append(l.splits, 1)
		step := max(2, len(uids)/(2+w.r.IntN(4)))
		for at := step; at < len(uids); at += step {
			l.splits = append(l.splits, uids[at])
		}
		w.tell("in parts from %x on", l.splits)
		w.put(p.group, ts, key, storedSplits(l.splits), dgraph.MetaComplete)
		for i, start := range l.splits {
			end := uint64(0)
			if i+1 < len(l.splits) {
				end = l.splits[i+1]
			}
			k := l.key
			k.StartUID = start
			w.put(p.group, ts, w.badgerKey(k), l.list.from(start, end).stored(w), dgraph.MetaComplete)
		}
	default:
		w.put(p.group, ts, key, l.list.stored(w), dgraph.MetaComplete)
	}
	// Parts of an older state are deleted, or stay behind as nobody's.
	for _, start := range old {
		if !slices.Contains(l.splits, start) && w.chance(2) {
			k := l.key
			k.StartUID = start
			w.put(p.group, ts, w.badgerKey(k), nil, 0)
		}
	}
}

// rollup writes a list that has not changed as a complete one, at the version of
// its newest delta or one above.
func (w *dgraphWorld) rollup() {
	p := w.some(func(p *modelPredicate) bool { return len(p.lists) > 0 })
	if p == nil {
		return
	}
	ids := sorted(p.lists)
	l := p.lists[ids[w.r.IntN(len(ids))]]
	version := l.last
	switch {
	case l.last == 0:
		version = w.tick()
	case w.chance(2):
		version++
		w.clock = max(w.clock, version)
	}
	w.complete(p, l, version)
}

// record writes a drop's record, after the drop.
func (w *dgraphWorld) record(ns uint64, value string) {
	p := w.preds[dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}]
	w.nextUID++
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: p.Predicate, UID: w.nextUID}
	l := &storedList{key: k, last: w.tick()}
	l.list = modelList{math.MaxUint64: posting(math.MaxUint64, valuePost, opSet, value, "", false)}
	p.lists[sortKey(k)] = l
	w.everUID = max(w.everUID, k.UID)
	w.tell("record %q @%d", value, l.last)
	if w.chance(2) {
		w.put(1, l.last, w.badgerKey(k), postingList([]string{l.list[math.MaxUint64]}), dgraph.MetaDelta)
		return
	}
	w.put(1, l.last, w.badgerKey(k), l.list.stored(w), dgraph.MetaComplete)
}

func (w *dgraphWorld) dropAttr() {
	p := w.some(func(p *modelPredicate) bool { return !p.Reserved() })
	if p == nil {
		return
	}
	w.forgetSchema(p)
	for _, part := range append(w.vectorParts(p), p) {
		w.forget(part)
	}
	w.record(p.Namespace, "DROP_ATTR;"+named(w.generation, p.Predicate))
}

func (w *dgraphWorld) dropData() {
	ns := w.namespaces[w.r.IntN(len(w.namespaces))]
	// Only 23.0 and later can drop one namespace's data, or say so. All data is
	// dropped from namespace 0: elsewhere the record can go with its namespace.
	whole := w.generation != dgraph.FormV23 || w.compat != manifest.CompatV23
	if whole {
		ns = 0
	}
	for _, p := range w.sortedPreds() {
		if whole || p.Namespace == ns {
			p.lists = map[string]*storedList{}
			p.removed = nil
			if p.schema == nil {
				delete(w.preds, p.Predicate)
			}
		}
	}
	for _, g := range w.groups() {
		if whole {
			w.dropPrefix(g, []byte{0}, []byte{4})
		} else {
			w.dropPrefix(g, nsPrefix(0, ns), nsPrefix(4, ns))
		}
	}
	value := "DROP_DATA;"
	if !whole {
		value += fmt.Sprintf("%#x", ns)
	}
	w.tell("drop data of %#x, or all: %t", ns, whole)
	w.record(ns, value)
}

func nsPrefix(first byte, ns uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{first}, ns)
}

func (w *dgraphWorld) dropAll() {
	w.tell("drop all")
	for _, g := range w.groups() {
		w.must(w.dbs[g].DropAll())
	}
	clear(w.preds)
	clear(w.types)
	w.namespaces = nil
	w.addNamespace(0)
	w.record(0, "DROP_ALL;")
}

// dropNamespace deletes a namespace, or bans it, which keeps its data where
// nobody can read it.
func (w *dgraphWorld) dropNamespace() {
	if len(w.namespaces) == 1 {
		return
	}
	at := 1 + w.r.IntN(len(w.namespaces)-1)
	ns := w.namespaces[at]
	w.namespaces = slices.Delete(w.namespaces, at, at+1)
	ban := w.chance(2)
	w.tell("drop namespace %#x, ban: %t", ns, ban)
	for _, g := range w.groups() {
		if ban {
			w.must(w.dbs[g].BanNamespace(ns))
		} else {
			w.dropPrefix(g, nsPrefix(0, ns), nsPrefix(4, ns), nsPrefix(1, ns), nsPrefix(2, ns))
		}
	}
	maps.DeleteFunc(w.preds, func(p dgraph.Predicate, _ *modelPredicate) bool { return p.Namespace == ns })
	maps.DeleteFunc(w.types, func(p dgraph.Predicate, _ []string) bool { return p.Namespace == ns })
	w.record(0, fmt.Sprintf("DROP_NS;%#x", ns))
}

// move writes a whole predicate to another group at one timestamp, and then
// deletes it where it was.
func (w *dgraphWorld) move() {
	if len(w.dirs) == 1 {
		return
	}
	p := w.some(func(p *modelPredicate) bool { return !p.moved })
	if p == nil {
		return
	}
	from, ts := p.group, w.tick()
	to := 3 - from
	w.tell("move %s from group %d to %d @%d", p, from, to, ts)
	w.dropPrefix(to, w.prefixes(p.Predicate, indexKind{})...)
	for _, part := range append(w.vectorParts(p), p) {
		part.group, part.moved = to, true
		for _, id := range sorted(part.lists) {
			if l := part.lists[id]; len(l.list) > 0 {
				l.splits = nil
				w.complete(part, l, ts)
			} else {
				delete(part.lists, id)
			}
		}
		w.dropPrefix(from, w.prefixes(part.Predicate, indexKind{})...)
	}
	w.setSchema(p, *p.schema)
	p.group = from
	w.forgetSchema(p)
	p.group = to
}

// compact makes Badger merge its tables and, half of the time, forget what no
// reader after the last backup can see.
func (w *dgraphWorld) compact() {
	discard := w.chance(2)
	w.tell("compact, discard: %t", discard)
	for _, g := range w.groups() {
		if discard {
			w.dbs[g].SetDiscardTs(w.since)
		}
		w.must(w.dbs[g].Flatten(1))
	}
}

func (w *dgraphWorld) remember() moment {
	m := &dgraphMoment{groups: map[uint32]map[string]string{}, everUID: w.everUID}
	for _, g := range w.groups() {
		m.groups[g] = map[string]string{}
		for name, fields := range w.types {
			m.maxNs = max(m.maxNs, name.Namespace)
			var full []string
			for _, f := range fields {
				full = append(full, named(dgraph.FormV23, dgraph.Predicate{Namespace: name.Namespace, Name: f}))
			}
			k := dgraph.Key{Kind: dgraph.KeyType, Predicate: name}
			m.groups[g][sortKey(k)] = fmt.Sprintf("%x", typeValue(named(dgraph.FormV23, name), full))
		}
	}
	for _, p := range w.preds {
		m.maxNs = max(m.maxNs, p.Namespace)
		group := m.groups[p.group]
		if p.schema != nil {
			k := dgraph.Key{Kind: dgraph.KeySchema, Predicate: p.Predicate}
			group[sortKey(k)] = fmt.Sprintf("%x", p.schema.value(named(dgraph.FormV23, p.Predicate)))
		}
		for id, l := range p.lists {
			if len(l.list) > 0 {
				group[id] = l.list.text()
				m.maxUID = max(m.maxUID, l.list.maxUID(&l.key))
			}
		}
	}
	return m
}

// A dgraphMoment is what each group holds: by key, the text of the list, schema
// or type.
type dgraphMoment struct {
	groups  map[uint32]map[string]string
	maxUID  uint64 // of what there is
	everUID uint64 // of what there ever was
	maxNs   uint64
}

// bare: a group that is empty is proved by a fingerprint of another one.
func (m *dgraphMoment) bare() bool {
	for _, group := range m.groups {
		if len(group) > 0 {
			return false
		}
	}
	return true
}

func (m *dgraphMoment) target(r *rand.Rand, req *RestoreRequest) {
	choices := []manifest.Compat{manifest.CompatV23, manifest.CompatV23, manifest.CompatV21}
	if m.maxNs == 0 {
		choices = append(choices, manifest.CompatV20)
	}
	req.Compat = choices[r.IntN(len(choices))]
}

// compare reads the restored directory as a backup would: what lists amount
// to. Badger itself says which versions there are.
func (m *dgraphMoment) compare(h *history, dir string, req RestoreRequest, res *RestoreResult) {
	dirs, err := badgerdb.FindGroups(dir)
	h.must(err)
	if !slices.Equal(sorted(dirs), sorted(m.groups)) || !slices.Equal(res.Groups, sorted(m.groups)) {
		h.Fatalf("restored groups %v to %v, want %v", res.Groups, dirs, sorted(m.groups))
	}
	src, err := badgerdb.OpenSource(dirs, badgerdb.Options{EncryptionKey: req.PostingsKey})
	h.must(err)
	entries := int64(0)
	for _, g := range sorted(dirs) {
		h.same(fmt.Sprintf("group %d in %s", g, dir), readLists(h, src, g), maps.Clone(m.groups[g]))
		entries += int64(len(m.groups[g]))
	}
	h.must(src.Close())
	if res.MaxUID < m.maxUID || res.MaxUID > m.everUID || res.MaxNs != m.maxNs || res.Entries != entries {
		h.Errorf("restored uids up to %#x, namespaces up to %#x, %d entries; want %#x to %#x, %#x, %d",
			res.MaxUID, res.MaxNs, res.Entries, m.maxUID, m.everUID, m.maxNs, entries)
	}
	if h.chance(4) {
		for _, g := range sorted(dirs) {
			versions(h, dirs[g], req, res.Version)
		}
	}
}

// readLists reads a group with the names of Dgraph 23.
func readLists(h *history, src *badgerdb.Source, group uint32) map[string]string {
	ranges, err := src.Ranges(group, 0)
	h.must(err)
	got := map[string]string{}
	for _, r := range ranges {
		err := src.Read(context.Background(), group, r, 0, dgraph.UIDBytes, dgraph.FormV23, func(key []byte, e *backupfile.Entry) error {
			if e.UserMeta == dgraph.MetaSchema {
				got[string(key)] = fmt.Sprintf("%x", e.Value)
				return nil
			}
			l, err := parseBackupList(e.Value)
			got[string(key)] = l.text()
			return err
		})
		h.must(err)
	}
	return got
}

// versions makes sure that Badger opens what was restored, for writing as an
// alpha does, and that each key has one version: 1, or that of a backup.
func versions(h *history, dir string, req RestoreRequest, readTs uint64) {
	db, err := badger.OpenManaged(badgerOptions(h.r, dir, req.PostingsKey.Reveal()))
	h.must(err)
	txn := db.NewTransactionAt(math.MaxUint64, false)
	seen := map[string]bool{}
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if v := item.Version(); seen[string(item.Key())] || v != 1 && (!req.KeepVersions || v > readTs) {
			h.Errorf("key %x has version %d, or several", item.Key(), v)
		}
		if err := item.Value(func([]byte) error { return nil }); err != nil {
			h.Errorf("key %x: %v", item.Key(), err)
		}
		seen[string(item.Key())] = true
	}
	it.Close()
	txn.Discard()
	h.must(errors.Join(db.Close()))
}
