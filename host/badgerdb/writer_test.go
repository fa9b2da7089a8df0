package badgerdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v3"
	badger4 "github.com/dgraph-io/badger/v4"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// mixed are entries of every sort: versions, deletes, expiries, and values up to several MiB,
// so that there is a value log.
func mixed() []backupfile.Entry {
	var out []backupfile.Entry
	for i := range 3000 {
		k := fmt.Appendf(nil, "key-%05d", i)
		out = append(out, backupfile.Entry{Key: k, Value: bytes.Repeat(k, 1+i%300), UserMeta: byte(i), Version: 9})
		if i%5 == 0 {
			out = append(out, backupfile.Entry{Key: k, Meta: metaDelete, Version: 7})
		}
		if i%7 == 0 {
			out = append(out, backupfile.Entry{Key: k, Value: k, Meta: metaDiscard, Version: 5, ExpiresAt: 4_000_000_000})
		}
		if i%500 == 0 {
			out = append(out, backupfile.Entry{Key: k, Value: bytes.Repeat(k, 150_000+i*20), Version: 3})
		}
	}
	return out
}

// What is written opens with Badger 3 and 4, read-only and for writing, with default
// options, with or without encryption, and holds what was given.
func TestWrittenOpensEverywhere(t *testing.T) {
	want := mixed()
	for _, key := range [][]byte{nil, []byte("0123456789abcdef"), []byte("0123456789abcdef01234567"), []byte("0123456789abcdef0123456789abcdef")} {
		dir := write(t, want, WriterOptions{Kind: badgerKind.Kind, EncryptionKey: sdk.NewSecret(key)})
		same(t, "source", readDir(t, dir, Options{EncryptionKey: sdk.NewSecret(key)}, 0), want)
		opt := badger.DefaultOptions(dir).WithLogger(nil).WithEncryptionKey(key).WithIndexCacheSize(10 << 20).WithVerifyValueChecksum(true)
		for _, readOnly := range []bool{true, false, true} {
			same(t, fmt.Sprintf("Badger 3, read-only %t", readOnly), badgerSees(t, opt.WithReadOnly(readOnly), 0), want)
		}
		badger4Sees(t, dir, key, want)

		// It goes on as any database: written to, compacted, read again.
		db := open(t, opt)
		if db.MaxVersion() != 9 {
			t.Errorf("version %d", db.MaxVersion())
		}
		set(t, db, 10, badger.NewEntry([]byte("key-00000"), []byte("later")))
		if err := errors.Join(db.VerifyChecksum(), db.Flatten(2), db.Close()); err != nil {
			t.Fatal(err)
		}
		if got := readDir(t, dir, Options{EncryptionKey: sdk.NewSecret(key)}, 9); len(got) != 1 || string(got[0].Value) != "later" {
			t.Errorf("%d entries since", len(got))
		}
	}
}

func badger4Sees(t *testing.T, dir string, key []byte, want []backupfile.Entry) {
	t.Helper()
	db, err := badger4.OpenManaged(badger4.DefaultOptions(dir).WithLogger(nil).WithEncryptionKey(key).WithIndexCacheSize(10 << 20).WithVerifyValueChecksum(true))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger4.IteratorOptions{AllVersions: true})
	defer it.Close()
	var got []backupfile.Entry
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		v, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		e := backupfile.Entry{Key: item.KeyCopy(nil), Value: v, UserMeta: item.UserMeta(), Version: item.Version(), ExpiresAt: item.ExpiresAt()}
		if item.IsDeletedOrExpired() {
			e.Meta |= metaDelete
		}
		if item.DiscardEarlierVersions() {
			e.Meta |= metaDiscard
		}
		got = append(got, e)
	}
	same(t, "Badger 4", got, want)
}

// What Badger 4 writes is read as what Badger 3 writes.
func TestReadsBadger4(t *testing.T) {
	dir := t.TempDir()
	db, err := badger4.OpenManaged(badger4.DefaultOptions(dir).WithLogger(nil).WithValueThreshold(100).WithNumVersionsToKeep(math.MaxInt))
	if err != nil {
		t.Fatal(err)
	}
	var want []backupfile.Entry
	for i := range 100 {
		k := fmt.Appendf(nil, "key-%03d", i)
		for _, v := range []uint64{1, 2} {
			txn := db.NewTransactionAt(math.MaxUint64, true)
			if err := errors.Join(txn.Set(k, bytes.Repeat(k, i)), txn.CommitAt(v, nil)); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range []uint64{2, 1} {
			want = append(want, backupfile.Entry{Key: k, Value: bytes.Repeat(k, i), Version: v})
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "Badger 4", readDir(t, dir, Options{}, 0), want)
}

// Keys out of order are refused, not written; so is what Badger cannot hold.
func TestWriterRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	w, err := Create(dir, badgerKind)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, version uint64) error { return w.Write([]byte(key), nil, 0, 0, version, 0) }
	if err := errors.Join(put("b", 5), put("b", 4), put("ba", 9), put("c", 1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key     string
		version uint64
	}{{"b", 3}, {"c", 1}, {"c", 2}, {"a", 1}, {"ba", 8}} {
		if err := put(c.key, c.version); !errors.Is(err, ErrOrder) {
			t.Errorf("%s version %d: %v", c.key, c.version, err)
		}
	}
	for _, key := range []string{"", "!badger!txn", string(make([]byte, maxKey+1))} {
		if err := w.Write([]byte(key), nil, 0, 0, 1, 0); err == nil || errors.Is(err, ErrOrder) {
			t.Errorf("key %.20q: %v", key, err)
		}
	}
	if err := w.WritePart([]byte("bb"), nil, 0, 0, 1, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrOrder) {
		t.Errorf("a part among the keys: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed Close left %s: %v", dir, err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Close: %v", err)
	}
}

// All versions of a key are in one table, however large: Badger looks for them in one only.
func TestVersionsStayTogether(t *testing.T) {
	var entries []backupfile.Entry
	for v := uint64(30); v > 0; v-- {
		entries = append(entries, backupfile.Entry{Key: []byte("k"), Value: make([]byte, 900_000), Version: v})
	}
	dir := write(t, entries, badgerKind)
	if tables, err := filepath.Glob(filepath.Join(dir, "*.sst")); err != nil || len(tables) != 1 {
		t.Errorf("%d tables, %v", len(tables), err)
	}
	same(t, "versions", badgerSees(t, badgerOptions(dir), 0), entries)
}

// A directory that exists is never touched, whatever is in it.
func TestCreateRefusesExisting(t *testing.T) {
	dir := filled(t, 10, 1, nil)
	before := tree(t, dir)
	if _, err := Create(dir, badgerKind); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a database: %v", err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("Create has changed\n%s\nto\n%s", before, after)
	}
	if _, err := Create(filepath.Join(dir, "no", "parent"), badgerKind); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create without a parent: %v", err)
	}
}

// Before Close there is no database; after Abort nothing at all, and Close refuses.
func TestAbort(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	w, err := Create(dir, badgerKind)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := w.Write(fmt.Appendf(nil, "%05d", i), make([]byte, 100_000), 0, 0, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err = OpenSource(map[uint32]string{1: dir}, Options{})
	wantError(t, err, ErrNotBadger)
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Abort left %s: %v", dir, err)
	}
	if err := errors.Join(w.Close(), w.Write([]byte("z"), nil, 0, 0, 1, 0)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Abort: %v", err)
	}
}

// Dgraph's directories have their group's number; FindGroups goes by it.
func TestGroups(t *testing.T) {
	root := t.TempDir()
	make1 := func(name string, group uint32) string {
		dir := filepath.Join(root, name)
		w, err := Create(dir, WriterOptions{Kind: manifest.KindDgraph, Group: group})
		if err != nil {
			t.Fatal(err)
		}
		key, _ := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyType, Predicate: dgraph.Predicate{Name: "T"}})
		part, _ := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Name: "p"}, UID: 1, StartUID: 5})
		if err := errors.Join(w.WritePart(part, nil, dgraph.MetaComplete, 0, 1, 0), w.Write(key, nil, dgraph.MetaSchema, 0, 1, 0), w.Close()); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	p1, p2 := make1("p1", 1), make1("p2", 7)
	if b, err := os.ReadFile(filepath.Join(p2, groupFile)); err != nil || string(b) != "7\n" {
		t.Errorf("group_id %q, %v", b, err)
	}
	if fi, err := os.Stat(filepath.Join(p2, groupFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("group_id: %v, %v", fi.Mode(), err)
	}
	got, err := FindGroups(root)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(map[uint32]string{1: p1, 7: p2}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = FindGroups(p2)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(map[uint32]string{7: p2}) {
		t.Errorf("%v, %v", got, err)
	}
	s, err := OpenSource(map[uint32]string{1: p1, 7: p2}, Options{})
	if err != nil || s.Kind() != manifest.KindDgraph || fmt.Sprint(s.Groups()) != "[1 7]" {
		t.Fatalf("%v", err)
	}
	s.Close()
	if _, err := FindGroups(t.TempDir()); !errors.Is(err, ErrNotBadger) {
		t.Errorf("an empty directory: %v", err)
	}
	make1("p3", 7)
	if _, err := FindGroups(root); err == nil {
		t.Error("two directories of one group")
	}
}
