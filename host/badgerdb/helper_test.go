package badgerdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v3"
	"go.uber.org/goleak"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("BROCK_TEST_KILLED"); dir != "" {
		writeUntilKilled(dir)
	}
	if dir := os.Getenv("BROCK_TEST_OPEN"); dir != "" {
		openAndSay(dir)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// badgerOptions are Badger's defaults, quiet and with every version kept.
func badgerOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).WithNumVersionsToKeep(math.MaxInt).WithBlockCacheSize(1 << 20).WithMetricsEnabled(false)
}

func open(t testing.TB, opt badger.Options) *badger.DB {
	t.Helper()
	db, err := badger.OpenManaged(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// set writes one version of a key.
func set(t testing.TB, db *badger.DB, version uint64, entries ...*badger.Entry) {
	t.Helper()
	txn := db.NewTransactionAt(version, true)
	defer txn.Discard()
	for _, e := range entries {
		if err := txn.SetEntry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.CommitAt(version, nil); err != nil {
		t.Fatal(err)
	}
}

// remove writes a delete.
func remove(t testing.TB, db *badger.DB, version uint64, key []byte) {
	t.Helper()
	txn := db.NewTransactionAt(version, true)
	defer txn.Discard()
	if err := txn.Delete(key); err != nil {
		t.Fatal(err)
	}
	if err := txn.CommitAt(version, nil); err != nil {
		t.Fatal(err)
	}
}

func source(t testing.TB, dir string, o Options) *Source {
	t.Helper()
	s, err := OpenSource(map[uint32]string{1: dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// line is an entry as text, for comparisons.
func line(e *backupfile.Entry) string {
	v := fmt.Sprintf("%q", e.Value)
	if len(e.Value) > 64 {
		v = fmt.Sprintf("%q...%d", e.Value[:16], len(e.Value))
	}
	return fmt.Sprintf("%x @%d meta %x user %x expires %d: %s", e.Key, e.Version, e.Meta, e.UserMeta, e.ExpiresAt, v)
}

// clone copies an entry that Read has lent.
func clone(e *backupfile.Entry) backupfile.Entry {
	c := *e
	c.Key, c.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
	return c
}

// readAll reads everything newer than since, range by range.
func readAll(t testing.TB, s *Source, id uint32, since uint64) []backupfile.Entry {
	t.Helper()
	out, err := readErr(s, id, since)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readDir opens a directory, reads it, and closes it again.
func readDir(t testing.TB, dir string, o Options, since uint64) []backupfile.Entry {
	t.Helper()
	s := source(t, dir, o)
	defer s.Close()
	return readAll(t, s, 1, since)
}

func readErr(s *Source, id uint32, since uint64) ([]backupfile.Entry, error) {
	ranges, err := s.Ranges(id, since)
	if err != nil {
		return nil, err
	}
	var out []backupfile.Entry
	for _, r := range ranges {
		err := s.Read(context.Background(), id, r, since, dgraph.UIDBytes, dgraph.FormV23, func(_ []byte, e *backupfile.Entry) error {
			out = append(out, clone(e))
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// badgerSees is what Badger itself says a database holds: every version above since.
func badgerSees(t testing.TB, opt badger.Options, since uint64) []backupfile.Entry {
	t.Helper()
	db, err := badger.OpenManaged(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, SinceTs: since})
	defer it.Close()
	var out []backupfile.Entry
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		v, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		e := backupfile.Entry{Key: item.KeyCopy(nil), Value: v, UserMeta: item.UserMeta(), Version: item.Version(), ExpiresAt: item.ExpiresAt()}
		if item.IsDeletedOrExpired() && item.ExpiresAt() == 0 {
			e.Meta |= metaDelete
		}
		if item.DiscardEarlierVersions() {
			e.Meta |= metaDiscard
		}
		out = append(out, e)
	}
	return out
}

// same compares two lists of entries.
func same(t testing.TB, what string, got, want []backupfile.Entry) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: %d entries, want %d; the first missing: %s", what, len(got), len(want), line(&want[i]))
		case i >= len(want):
			t.Fatalf("%s: %d entries, want %d; the first too many: %s", what, len(got), len(want), line(&got[i]))
		case line(&got[i]) != line(&want[i]) || !bytes.Equal(got[i].Value, want[i].Value):
			t.Fatalf("%s: entry %d:\n got %s\nwant %s", what, i, line(&got[i]), line(&want[i]))
		}
	}
}

// write makes a directory out of entries.
func write(t testing.TB, entries []backupfile.Entry, o WriterOptions) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "p1")
	w, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		e := &entries[i]
		if err := w.Write(e.Key, e.Value, e.UserMeta, e.Meta, e.Version, e.ExpiresAt); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

var badgerKind = WriterOptions{Kind: manifest.KindBadger}

func isError(err, kind error) bool { return errors.Is(err, kind) }
