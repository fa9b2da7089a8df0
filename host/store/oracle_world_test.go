package store_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A world is a store, its oracle, and the places that it is backed up to. Whatever is done
// to the one is done to the other.
type world struct {
	testing.TB
	root string // for all files
	opt  store.Options
	s    *store.Store
	o    *oracle
	e    *host.Engine
	at   map[string]host.Location

	points []point
	story  []string
}

// A point is a backup and what must be restored from it.
type point struct {
	at string
	*manifest.Manifest
	oracle *oracle
	groups []uint32
}

func newWorld(t testing.TB, groups int) *world {
	t.Helper()
	return newWorldIn(t, scratch(t), groups)
}

func newWorldIn(t testing.TB, root string, groups int) *world {
	t.Helper()
	w := &world{TB: t, root: root, o: newOracle(), at: map[string]host.Location{}}
	w.e = &host.Engine{Workers: 2, TempDir: w.root, Now: clock()}
	w.opt = store.Options{Dir: filepath.Join(w.root, "db"), Groups: groups}
	w.open()
	t.Cleanup(func() {
		if w.s != nil {
			w.s.Close()
		}
		if t.Failed() && len(w.story) > 0 {
			t.Log(strings.Join(w.story, "\n"))
		}
	})
	return w
}

// clock steps an hour at a time.
func clock() func() time.Time {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Hour)
		return now
	}
}

// scratch is a directory in memory, where there is room: many small databases are
// otherwise little but waiting for a disk.
func scratch(t testing.TB) string {
	t.Helper()
	const memory, room = "/dev/shm", 2 << 30
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs(memory, &st) != nil || uint64(st.Bsize)*st.Bavail < room {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "brock-store-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) dir() string {
	w.Helper()
	dir, err := os.MkdirTemp(w.root, "*")
	w.must(err)
	return dir
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) open() {
	w.Helper()
	s, err := store.Open(context.Background(), w.opt)
	w.must(err)
	w.s = s
}

func (w *world) close() {
	w.Helper()
	w.must(w.s.Close())
	w.s = nil
}

func (w *world) location(name string) host.Location {
	l, ok := w.at[name]
	if !ok {
		l = host.Location{URI: "memory:" + name, Destination: sdktest.NewMemory()}
		w.at[name] = l
	}
	return l
}

func (w *world) mutate(m store.Mutation) uint64 {
	w.Helper()
	ts, err := w.s.Mutate(w.Context(), m)
	w.must(err)
	w.o.apply(m)
	w.tell("mutate @%d %s", ts, mutationText(m))
	return ts
}

func (w *world) set(edges ...store.Edge) { w.Helper(); w.mutate(store.Mutation{Set: edges}) }
func (w *world) del(edges ...store.Edge) { w.Helper(); w.mutate(store.Mutation{Del: edges}) }

func (w *world) alter(preds []dgraph.PredicateSchema, types ...dgraph.TypeSchema) {
	w.Helper()
	w.must(w.s.Alter(w.Context(), preds, types))
	for _, p := range preds {
		w.o.alter(p)
		w.tell("alter %s %s", p.Predicate, schemaText(p))
	}
	for _, t := range types {
		w.o.types[t.Predicate] = t.Fields
		w.tell("alter type %s %q", t.Predicate, t.Fields)
	}
}

func (w *world) dropAll() {
	w.Helper()
	w.tell("drop all")
	w.must(w.s.DropAll(w.Context()))
	w.o.dropAll()
}

func (w *world) dropData(ns uint64) {
	w.Helper()
	w.tell("drop data %#x", ns)
	w.must(w.s.DropData(w.Context(), ns))
	w.o.dropData(ns)
}

func (w *world) dropAttr(p dgraph.Predicate) {
	w.Helper()
	w.tell("drop attr %s", p)
	w.must(w.s.DropAttr(w.Context(), p))
	w.o.dropAttr(p)
}

func (w *world) dropType(name dgraph.Predicate) {
	w.Helper()
	w.tell("drop type %s", name)
	w.must(w.s.DropType(w.Context(), name))
	delete(w.o.types, name)
}

func (w *world) dropNamespace(ns uint64) {
	w.Helper()
	w.tell("drop namespace %#x", ns)
	w.must(w.s.DropNamespace(w.Context(), ns))
	w.o.dropNamespace(ns)
}

func (w *world) move(p dgraph.Predicate, group uint32) {
	w.Helper()
	w.tell("move %s to %d", p, group)
	w.must(w.s.Move(w.Context(), p, group))
	w.o.preds[p].group = group
}

// backup takes one backup of what there is now, and says what it must restore to.
func (w *world) backup(at string, req host.BackupRequest) point {
	w.Helper()
	src, err := w.s.Source(w.Context(), badgerdb.Options{})
	w.must(err)
	defer src.Close()
	p := w.point(at)
	req.Source, req.To = src, w.location(at)
	res, err := w.e.Backup(w.Context(), req)
	w.must(err)
	return w.took(p, res)
}

// point is what a backup taken now must restore to.
func (w *world) point(at string) point {
	w.Helper()
	w.adopt()
	return point{at: at, oracle: w.o.clone(), groups: w.s.State().Groups}
}

func (w *world) took(p point, res *host.BackupResult) point {
	if res.Warning != "" || len(res.Damaged) > 0 {
		w.Errorf("backup %s: warning %q, damaged %q", res.Manifest.ID(), res.Warning, res.Damaged)
	}
	p.Manifest = res.Manifest
	w.tell("= backup %s to %s, read timestamp %d, since %d, drops %v", p.ID(), p.at, p.ReadTs, p.Since, p.Drops)
	w.points = append(w.points, p)
	return p
}

// restore restores p beside the store and compares it with what it must be: the files, and
// what a store makes of them.
func (w *world) restore(p point, req host.RestoreRequest) {
	w.Helper()
	dir := w.restoreTo(p, req)
	w.same("restored "+p.at+" "+p.ID(), diskState(w, dir), p.oracle.onDisk(p.groups))
	w.must(os.RemoveAll(dir))
}

func (w *world) restoreTo(p point, req host.RestoreRequest) string {
	w.Helper()
	req.From, req.Series, req.Number = w.location(p.at), p.Series, p.Number
	req.Postings = filepath.Join(w.dir(), "out")
	res, err := w.e.Restore(w.Context(), req)
	w.must(err)
	if res.Version != p.ReadTs || !slices.Equal(res.Groups, p.groups) {
		w.Errorf("restored %s: version %d, groups %v; want %d, %v", p.ID(), res.Version, res.Groups, p.ReadTs, p.groups)
	}
	return req.Postings
}

// reborn restores p, opens that as a store and compares what it shows.
func (w *world) reborn(p point) {
	w.Helper()
	dir := w.restoreTo(p, host.RestoreRequest{})
	s, err := store.Open(w.Context(), store.Options{Dir: dir})
	w.must(err)
	v, err := s.View()
	w.must(err)
	w.same("restored and opened "+p.ID(), viewState(w, v, names(s, p.oracle)), p.oracle.data())
	v.Close()
	w.must(s.Close())
	w.must(os.RemoveAll(dir))
}

// replace puts what p holds in the place of what there is.
func (w *world) replace(p point) {
	w.Helper()
	w.tell("= replaced by %s of %s", p.ID(), p.at)
	w.must(w.s.Replace(w.Context(), func(ctx context.Context, dir string, version uint64) error {
		_, err := w.e.Restore(ctx, host.RestoreRequest{
			From: w.location(p.at), Series: p.Series, Number: p.Number, Postings: dir, Version: version,
		})
		return err
	}))
	w.o = p.oracle.clone()
	w.o.records = nil // what a restore makes of them is not for users
}

func (w *world) same(what string, got, want state) {
	w.Helper()
	for _, d := range differences(got, want) {
		w.Errorf("%s: %s", what, d)
	}
}

// adopt asks the store for the groups of predicates that have none yet.
func (w *world) adopt() {
	w.Helper()
	for _, p := range w.s.Schema() {
		if known := w.o.preds[p.Predicate]; known != nil && known.group == 0 {
			known.group = p.Group
		}
	}
}

// check compares everything that the store shows with the oracle.
func (w *world) check(what string) {
	w.Helper()
	for _, d := range w.wrong() {
		w.Errorf("%s: %s", what, d)
	}
}

// wrong says in what the store differs from the oracle.
func (w *world) wrong() (all []string) {
	w.Helper()
	w.adopt()
	v, err := w.s.View()
	w.must(err)
	defer v.Close()
	all = differences(viewState(w, v, names(w.s, w.o)), w.o.data())
	got, want := state{}, state{}
	for _, p := range w.s.Schema() {
		if !p.Reserved() {
			got["schema "+p.String()] = fmt.Sprintf("group %d ", p.Group) + schemaText(p.PredicateSchema)
		}
	}
	for name, p := range w.o.preds {
		if !name.Reserved() {
			want["schema "+name.String()] = fmt.Sprintf("group %d ", p.group) + schemaText(p.schema)
		}
	}
	for _, t := range w.s.Types() {
		if !t.Reserved() {
			got["type "+t.String()] = strings.Join(t.Fields, " ")
		}
	}
	for name, fields := range w.o.types {
		want["type "+name.String()] = strings.Join(fields, " ")
	}
	all = append(all, differences(got, want)...)
	if w.o.records != nil {
		all = append(all, differences(recordState(w, v, w.o), w.o.recordState())...)
	}
	return all
}

// recordState is what stands under dgraph.drop.op, in the namespaces of o and a few more.
func recordState(t testing.TB, v *store.View, o *oracle) state {
	t.Helper()
	s := state{}
	for _, ns := range o.namespaces() {
		p := dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}
		var values []string
		for uid, err := range v.UIDs(p) {
			if err != nil {
				t.Fatal(err)
			}
			list, err := v.Postings(p, uid)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 || list[0].Value.Type != dgraph.ValueString || list[0].UID != dgraph.UntaggedUID {
				t.Errorf("record at %#x: %+v, want one string", uid, list)
				continue
			}
			values = append(values, string(list[0].Value.Data))
		}
		if len(values) > 0 {
			slices.Sort(values)
			s[p.String()] = strings.Join(values, " | ")
		}
	}
	return s
}

func (o *oracle) recordState() state {
	s := state{}
	for name, values := range o.records {
		if len(values) > 0 {
			values = slices.Sorted(slices.Values(values))
			s[name.String()] = strings.Join(values, " | ")
		}
	}
	return s
}

func (o *oracle) namespaces() []uint64 {
	all := []uint64{0, 1, 5, 0x1f, 0xab}
	for name := range o.preds {
		all = append(all, name.Namespace)
	}
	for name := range o.records {
		all = append(all, name.Namespace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// names are all predicates that the store or the oracle knows, without the database's own.
func names(s *store.Store, o *oracle) (all []dgraph.Predicate) {
	seen := map[dgraph.Predicate]bool{}
	add := func(p dgraph.Predicate) {
		if (!p.Reserved() || p.Name == typePredicate) && !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	for p := range o.preds {
		add(p)
	}
	for _, p := range s.Schema() {
		add(p.Predicate)
	}
	return all
}

// viewState reads what a view shows of some predicates.
func viewState(t testing.TB, v *store.View, names []dgraph.Predicate) state {
	t.Helper()
	s := state{}
	for _, p := range names {
		last := uint64(0)
		for uid, err := range v.UIDs(p) {
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			if uid <= last {
				t.Errorf("%s: uid %#x after %#x", p, uid, last)
			}
			last = uid
			list, err := v.Postings(p, uid)
			if err != nil {
				t.Fatalf("%s at %#x: %v", p, uid, err)
			}
			if !slices.IsSortedFunc(list, func(a, b dgraph.Posting) int {
				if a.UID < b.UID {
					return -1
				}
				return 1
			}) {
				t.Errorf("%s at %#x: not by uid", p, uid)
			}
			s[nodeName(p, uid)] = listText(list)
		}
		if list, err := v.Postings(p, math.MaxUint64-7); err != nil || len(list) > 0 {
			t.Errorf("%s at a node that never was: %+v, %v", p, list, err)
		}
	}
	return s
}

// diskState reads a directory as a backup would.
func diskState(w *world, dir string) state {
	w.Helper()
	groups, err := badgerdb.FindGroups(dir)
	w.must(err)
	src, err := badgerdb.OpenSource(groups, badgerdb.Options{})
	w.must(err)
	defer src.Close()
	return sourceState(w, src)
}

func sourceState(t testing.TB, src *badgerdb.Source) state {
	t.Helper()
	s := state{}
	err := eachEntry(src, 0, func(g uint32, k *dgraph.Key, e *backupfile.Entry) error {
		group := fmt.Sprintf("g%d ", g)
		switch {
		case k.Kind == dgraph.KeyType && !k.Reserved():
			ts, err := dgraph.ParseTypeSchema(k.Predicate, e.Value)
			s[group+"type "+k.String()] = strings.Join(ts.Fields, " ")
			return err
		case k.Kind == dgraph.KeySchema && !k.Reserved():
			ps, err := dgraph.ParsePredicateSchema(k.Predicate, e.Value)
			s[group+"schema "+k.String()] = schemaText(ps)
			return err
		case k.Kind == dgraph.KeyData && (!k.Reserved() || k.Name == typePredicate):
			var list []dgraph.Posting
			for p, err := range dgraph.Postings(e.Value) {
				if err != nil {
					return err
				}
				p.Value.Data = slices.Clone(p.Value.Data)
				list = append(list, p)
			}
			s[group+nodeName(k.Predicate, k.UID)] = listText(list)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eachEntry reads all that is newer than since.
func eachEntry(src *badgerdb.Source, since uint64, do func(group uint32, k *dgraph.Key, e *backupfile.Entry) error) error {
	var k dgraph.Key
	for _, g := range src.Groups() {
		ranges, err := src.Ranges(g, since)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			err := src.Read(context.Background(), g, r, since, dgraph.UIDBytes, dgraph.FormV23, func(key []byte, e *backupfile.Entry) error {
				if err := dgraph.ParseKey(dgraph.LayoutV21, key, &k); err != nil {
					return err
				}
				return do(g, &k, e)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func mutationText(m store.Mutation) string {
	var b strings.Builder
	for i, edges := range [][]store.Edge{m.Del, m.Set} {
		for _, e := range edges {
			fmt.Fprintf(&b, " %c%s %#x", "-+"[i], e.Predicate, e.UID)
			switch {
			case e.Object != 0:
				fmt.Fprintf(&b, " <%#x>", e.Object)
			case e.Star:
				fmt.Fprintf(&b, " *@%s", e.Lang)
			default:
				fmt.Fprintf(&b, " %d%.20q@%s", e.Value.Type, e.Value.Data, e.Lang)
			}
		}
	}
	return b.String()
}
