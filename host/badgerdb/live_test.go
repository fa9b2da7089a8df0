package badgerdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

func live(t testing.TB, db *badger.DB, o Options) *Source {
	t.Helper()
	s, err := OpenLive(map[uint32]*badger.DB{1: db}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What a live source shows is what a source of the closed database shows, whether it
// lies in memtables, tables or value logs, encrypted or not.
func TestLiveShowsWhatIsThere(t *testing.T) {
	for name, opt := range map[string]func(badger.Options) badger.Options{
		"plain": func(o badger.Options) badger.Options { return o },
		"encrypted": func(o badger.Options) badger.Options {
			return o.WithEncryptionKey(make([]byte, 32)).WithIndexCacheSize(1 << 20)
		},
		"value dir": func(o badger.Options) badger.Options { return o.WithValueDir(filepath.Join(o.Dir, "values")) },
	} {
		t.Run(name, func(t *testing.T) {
			o := opt(badgerOptions(t.TempDir()).WithMemTableSize(1 << 20).WithValueThreshold(1 << 10))
			db := open(t, o)
			var want []backupfile.Entry
			for i := range 3000 {
				e := backupfile.Entry{Key: fmt.Appendf(nil, "key%06d", i), Value: bytes.Repeat([]byte{byte(i)}, 300), Version: uint64(i + 1), UserMeta: byte(i)}
				switch {
				case i%1000 == 7:
					e.Value = bytes.Repeat(e.Value, 5000) // longer than any table takes
				case i%100 == 0:
					e.Value = bytes.Repeat(e.Value, 20)
				}
				set(t, db, e.Version, badger.NewEntry(e.Key, e.Value).WithMeta(e.UserMeta))
				want = append(want, e)
			}
			s := live(t, db, Options{ReadTs: 2500})
			set(t, db, 3001, badger.NewEntry([]byte("key000007"), []byte("later")))
			same(t, "live", readAll(t, s, 1, 0), want[:2500])
			if got := s.GroupTs(1); got != 2500 {
				t.Errorf("GroupTs is %d", got)
			}
			same(t, "since 2000", readAll(t, s, 1, 2000), want[2000:2500])
		})
	}
}

// Namespaces that the owner has banned are not shown.
func TestLiveWithoutBannedNamespaces(t *testing.T) {
	db := open(t, badgerOptions(t.TempDir()).WithNamespaceOffset(1))
	d := &listDB{t: t, db: db, version: 5}
	for ns := range uint64(3) {
		p := dgraph.Predicate{Namespace: ns, Name: "p"}
		d.put(d.key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: p}), nil, dgraph.MetaSchema)
		d.put(d.key(dgraph.Key{Kind: dgraph.KeyData, Predicate: p, UID: 1}), posting(7, 1, ""), dgraph.MetaDelta)
	}
	if err := db.BanNamespace(1); err != nil {
		t.Fatal(err)
	}
	s := live(t, db, Options{ReadTs: 5})
	ps, err := s.Predicates(1)
	if err != nil || len(ps) != 2 || ps[0].Namespace != 0 || ps[1].Namespace != 2 {
		t.Errorf("predicates %v, %v", ps, err)
	}
	if got, err := listsOf(s); err != nil || len(got) != 2 {
		t.Errorf("lists %v, %v", got, err)
	}
}

// What cannot be read alive is refused, with the way out.
func TestLiveRefuses(t *testing.T) {
	managed := open(t, badgerOptions(t.TempDir()))
	clocked, err := badger.Open(badgerOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer clocked.Close()
	memory := open(t, badgerOptions("").WithInMemory(true))
	closed := open(t, badgerOptions(t.TempDir()))
	closed.Close()
	half := open(t, badgerOptions(t.TempDir()))
	if err := os.WriteFile(filepath.Join(half.Opts().Dir, dropFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		dbs  map[uint32]*badger.DB
		ts   uint64
		kind error
		text string
	}{
		{name: "none", text: "no database"},
		{name: "managed without a time", dbs: map[uint32]*badger.DB{1: managed}, text: "Options.ReadTs"},
		{name: "unmanaged with a time", dbs: map[uint32]*badger.DB{1: clocked}, ts: 7, text: "leave Options.ReadTs 0"},
		{name: "two clocks", dbs: map[uint32]*badger.DB{1: clocked, 2: clocked}, text: "each up by itself"},
		{name: "in memory", dbs: map[uint32]*badger.DB{1: memory}, ts: 7, kind: ErrNotBadger},
		{name: "closed", dbs: map[uint32]*badger.DB{1: closed}, ts: 7, kind: badger.ErrDBClosed},
		{name: "a drop cut short", dbs: map[uint32]*badger.DB{1: managed, 2: half}, ts: 7, kind: ErrDropPending},
	} {
		s, err := OpenLive(c.dbs, Options{ReadTs: c.ts})
		if err == nil {
			s.Close()
		}
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if len(sharings.of) != 0 {
		t.Errorf("%d databases are still known", len(sharings.of))
	}
}

// An empty database has read timestamp 1, and its first commit counts as new after that.
func TestLiveOfNothing(t *testing.T) {
	db, err := badger.Open(badgerOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := live(t, db, Options{})
	if s.ReadTs() != 1 || s.GroupTs(1) != 1 || s.Kind() != manifest.KindBadger || len(readAll(t, s, 1, 0)) != 0 {
		t.Errorf("read timestamp %d, group's %d, kind %s", s.ReadTs(), s.GroupTs(1), s.Kind())
	}
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("a"), []byte("b")) }); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, live(t, db, Options{}), 1, s.ReadTs()); len(got) != 1 {
		t.Errorf("%d entries after the backup of nothing, want 1", len(got))
	}
}

// Of one version a whole list counts, and not the delta that was rolled up into it,
// wherever the two lie: Badger's level 0 is not always in order.
func TestWholeListsComeFirst(t *testing.T) {
	delta := item{key: []byte("k"), version: 7, userMeta: dgraph.MetaDelta}
	older := item{key: []byte("k"), version: 3, userMeta: dgraph.MetaDelta}
	for _, whole := range []byte{dgraph.MetaComplete, dgraph.MetaEmpty} {
		list := item{key: []byte("k"), version: 7, userMeta: whole}
		for _, st := range []store{
			{lists: true, mems: []*memtable{{items: []item{delta, older}}, {items: []item{list}}}},
			{lists: true, mems: []*memtable{{items: []item{list}}, {items: []item{delta, older}}}},
			{lists: true, mems: []*memtable{{items: []item{delta}}, {items: []item{older}}, {items: []item{delta}}, {items: []item{list}}}},
		} {
			for _, m := range st.mems {
				m.maxVersion = 7
			}
			m, _ := st.merge(0, nil)
			var got []byte
			for err := m.seek(nil); m.item() != nil; err = m.next() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.item().userMeta)
			}
			if !bytes.Equal(got, []byte{whole, dgraph.MetaDelta}) {
				t.Errorf("of %d memtables: %x", len(st.mems), got)
			}
		}
	}
}
