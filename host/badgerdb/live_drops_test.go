package badgerdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
)

// fill writes a1 to aN, b1 to bN; every tenth value goes to the value log.
func fill(t testing.TB, db *badger.DB, n int) {
	t.Helper()
	for i := range n {
		err := db.Update(func(txn *badger.Txn) error {
			for _, first := range []string{"a", "b"} {
				v := strings.Repeat("v", 100)
				if i%10 == 0 {
					v = strings.Repeat("w", 4000)
				}
				if err := txn.SetEntry(badger.NewEntry(fmt.Appendf(nil, "%s%05d", first, i), []byte(v)).WithMeta(byte(i))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unmanaged(t testing.TB) *badger.DB {
	t.Helper()
	db, err := badger.Open(small(badgerOptions(t.TempDir())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// keysLeft are the keys that a reader of the database sees.
func keysLeft(db *badger.DB) (n int) {
	_ = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if !internal(it.Item().Key()) {
				n++
			}
		}
		return nil
	})
	return n
}

// A drop beside a live source takes nothing away from it; the next source shows the
// drop; and when the first is closed, its files go.
func TestDropsBesideLiveSources(t *testing.T) {
	for name, c := range map[string]struct {
		drop func(*badger.DB) error
		left int
		want string
	}{
		"prefix": {func(db *badger.DB) error { return DropPrefix(db, []byte("a")) }, 2000, "prefix a"},
		"all":    {DropAll, 0, "all"},
		"twice":  {func(db *badger.DB) error { return errors.Join(DropPrefix(db, []byte("b")), DropAll(db)) }, 0, "all"},
	} {
		t.Run(name, func(t *testing.T) {
			db := unmanaged(t)
			fill(t, db, 2000)
			pinned, err := PinLive(map[uint32]*badger.DB{1: db}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			before := live(t, db, Options{})
			want := readAll(t, before, 1, 0)
			if len(want) != 4000 {
				t.Fatalf("%d entries", len(want))
			}
			if err := c.drop(db); err != nil {
				t.Fatal(err)
			}
			if got := keysLeft(db); got != c.left {
				t.Errorf("%d keys are left, want %d", got, c.left)
			}
			late, err := pinned.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer late.Close()
			same(t, "opened before", readAll(t, before, 1, 0), want)
			same(t, "pinned before", readAll(t, late, 1, 0), want)

			fill(t, db, 100)
			after := live(t, db, Options{})
			_, drops, err := after.Drops(t.Context(), 1, before.ReadTs())
			got := ""
			for _, d := range drops {
				if d.All {
					got = "all"
				} else if got == "" {
					got = "prefix " + string(d.Prefix)
				}
			}
			if err != nil || got != c.want {
				t.Errorf("dropped since: %q, %v", got, err)
			}
			if _, drops, _ := before.Drops(t.Context(), 1, 0); len(drops) != 0 {
				t.Errorf("the source from before shows %v", drops)
			}
			if err := errors.Join(before.Close(), late.Close(), after.Close()); err != nil {
				t.Error(err)
			}
			if left := unreferenced(t, db); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Badger's own DropAll empties the value logs: a source from before says what it cannot
// read any more, and shows the rest. The database is not the worse for it.
func TestBadgersDropAllBesideALiveSource(t *testing.T) {
	db := unmanaged(t)
	fill(t, db, 1000)
	s := live(t, db, Options{})
	if err := db.DropAll(); err != nil {
		t.Fatal(err)
	}
	got, err := readErr(s, 1, 0)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `key "a00000"`) {
		t.Errorf("%d entries, %v", len(got), err)
	}
	for _, e := range got {
		if len(e.Value) != 100 {
			t.Fatalf("shows %s", line(&e))
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	fill(t, db, 1000)
	same(t, "filled again", readAll(t, live(t, db, Options{}), 1, 0)[:10], badgerView(t, db)[:10])
}

// badgerView is what Badger itself says of an open database in unmanaged mode.
func badgerView(t testing.TB, db *badger.DB) (out []backupfile.Entry) {
	t.Helper()
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			v, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			out = append(out, backupfile.Entry{Key: item.KeyCopy(nil), Value: v, UserMeta: item.UserMeta(), Version: item.Version(), ExpiresAt: item.ExpiresAt()})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// crash copies the directory as a kill would leave it, and opens the copy.
func crash(t *testing.T, db *badger.DB) *badger.DB {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(db.Opts().Dir)); err != nil {
		t.Fatal(err)
	}
	opt := db.Opts()
	opt.Dir, opt.ValueDir = dir, dir
	again, err := badger.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// Who is killed while a live source is open finds again what there was, and nothing that was dropped:
// Badger would read it back from logs of memtables that a source had kept in place.
func TestCrashBesideALiveSource(t *testing.T) {
	for _, open := range []bool{false, true} {
		db, err := badger.Open(badgerOptions(t.TempDir()).WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20))
		if err != nil {
			t.Fatal(err)
		}
		fill(t, db, 100) // stays in the memtable
		l, err := PinLive(map[uint32]*badger.DB{1: db}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if open {
			s, err := l.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
		}
		if err := DropPrefix(db, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if got := keysLeft(crash(t, db)); got != 100 {
			t.Errorf("open=%t: %d keys after the crash, want 100", open, got)
		}
		if !open {
			s, err := l.Open()
			if err != nil {
				t.Fatal(err)
			}
			if got := len(readAll(t, s, 1, 0)); got != 200 {
				t.Errorf("%d entries, want 200", got)
			}
			defer s.Close()
		}
		defer db.Close()
	}
}

// The log of a memtable that has become a table goes while a source is open, too.
func TestLogsDoNotStayForLiveSources(t *testing.T) {
	db := unmanaged(t)
	fill(t, db, 10)
	logs := func() []string {
		names, err := filepath.Glob(filepath.Join(db.Opts().Dir, "*.mem"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	first := logs()
	s := live(t, db, Options{})
	fill(t, db, 2000)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(first[0]); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v of %v", first, logs())
		}
	}
	if got := len(readAll(t, s, 1, 0)); got != 20 {
		t.Errorf("%d entries, want 20", got)
	}
}

// A flipped bit is an error that names keys.
func TestLiveDamage(t *testing.T) {
	db := unmanaged(t)
	fill(t, db, 2000)
	s := live(t, db, Options{})
	var path string
	for _, r := range s.groups[1].runs {
		path = r[0].path
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 100); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, 100); err != nil {
		t.Fatal(err)
	}
	_, err = readErr(s, 1, 0)
	wantError(t, err, ErrDamaged, filepath.Base(path), "keys from")
	b[0] ^= 0x10 // for Badger, which has the database still open
	if _, err := f.WriteAt(b, 100); err != nil {
		t.Fatal(err)
	}
}

// Closing gives every file back, and may come twice. A database that is closed too early
// does not take the program with it.
func TestLiveClose(t *testing.T) {
	opt := badgerOptions(t.TempDir()).WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20)
	var db *badger.DB
	for range 2 { // the first time fills tables
		var err error
		if db, err = badger.Open(opt); err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fill(t, db, 1000)
		if len(db.Tables()) == 0 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, opt.Dir) {
				n++
			}
		}
		return n
	}
	before := files()
	for range 5 {
		s := live(t, db, Options{})
		readAll(t, s, 1, 0)
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if got := files(); got != before {
		t.Errorf("%d files are open, %d before", got, before)
	}
	s := live(t, db, Options{Kind: manifest.KindBadger})
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := s.groups[1].pin.settle(); !errors.Is(err, badger.ErrDBClosed) {
		t.Errorf("after the database was closed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if sharings.of[db] != nil {
		t.Error("the database is still known")
	}
}
