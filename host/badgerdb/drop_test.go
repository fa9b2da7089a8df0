package badgerdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"
	badgerpb "github.com/dgraph-io/badger/v3/pb"
)

func drops(t *testing.T, dir string, since uint64) string {
	t.Helper()
	s := source(t, dir, Options{})
	defer s.Close()
	_, ds, err := s.Drops(context.Background(), 1, since)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range ds {
		out = append(out, fmt.Sprintf("all=%t prefix=%s", d.All, d.Prefix))
	}
	return fmt.Sprint(out)
}

// A drop is recorded one version above all others, in managed and in unmanaged databases,
// and the clock of the latter goes on from there.
func TestDropsAreRecorded(t *testing.T) {
	for _, managed := range []bool{true, false} {
		dir := t.TempDir()
		openDB, put := badger.Open, func(db *badger.DB, k string) error {
			return db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(k), []byte("v")) })
		}
		if managed {
			openDB, put = badger.OpenManaged, func(db *badger.DB, k string) error {
				txn := db.NewTransactionAt(db.MaxVersion(), true)
				if err := txn.Set([]byte(k), []byte("v")); err != nil {
					return err
				}
				return txn.CommitAt(db.MaxVersion()+1, nil)
			}
		}
		step := func(do func(db *badger.DB) error) {
			t.Helper()
			db, err := openDB(badgerOptions(dir))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(do(db), db.Close()); err != nil {
				t.Fatal(err)
			}
		}
		readTs := func() uint64 {
			s := source(t, dir, Options{})
			defer s.Close()
			return s.ReadTs()
		}
		step(func(db *badger.DB) error {
			return errors.Join(put(db, "a1"), put(db, "a2"), put(db, "b"), put(db, "c1"))
		})
		before := readTs()
		step(func(db *badger.DB) error { return DropPrefix(db, []byte("a"), []byte("nothing"), []byte("c")) })
		if got := drops(t, dir, before); got != "[all=false prefix=a all=false prefix=c]" {
			t.Errorf("managed=%t: %s", managed, got)
		}
		s := source(t, dir, Options{})
		if got := readAll(t, s, 1, 0); len(got) != 1 || string(got[0].Key) != "b" {
			t.Errorf("managed=%t: %d entries are left", managed, len(got))
		}
		s.Close()
		middle := readTs()
		if middle <= before {
			t.Errorf("managed=%t: read timestamp %d after %d", managed, middle, before)
		}
		step(func(db *badger.DB) error { return errors.Join(DropAll(db), put(db, "new")) })
		if got := drops(t, dir, middle); got != "[all=true prefix=]" {
			t.Errorf("managed=%t: %s", managed, got)
		}
		if got := drops(t, dir, readTs()); got != "[]" {
			t.Errorf("managed=%t: drops after the last: %s", managed, got)
		}
		s = source(t, dir, Options{})
		if got := readAll(t, s, 1, middle); len(got) != 1 || string(got[0].Key) != "new" {
			t.Errorf("managed=%t: %d entries since the drop", managed, len(got))
		}
		s.Close()
	}
}

// A crash within a drop, before or after data went, keeps backups from being made until it
// is finished.
func TestInterruptedDrop(t *testing.T) {
	for _, done := range []bool{false, true} {
		dir := t.TempDir()
		db, err := badger.Open(badgerOptions(dir))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Append(nil, i), nil) }); err != nil {
				t.Fatal(err)
			}
		}
		before := db.MaxVersion()
		if err := writeFile(filepath.Join(dir, dropFile), fmt.Appendf(nil, `{"drops":[{"all":true}],"version":%d}`, before+1), 0o600); err != nil {
			t.Fatal(err)
		}
		if done {
			if err := db.DropAll(); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = OpenSource(map[uint32]string{1: dir}, Options{})
		wantError(t, err, ErrDropPending, "FinishDrop", dir)
		if db, err = badger.Open(badgerOptions(dir)); err != nil {
			t.Fatal(err)
		}
		if err := FinishDrop(db); err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("new"), nil) }); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if got := drops(t, dir, before); got != "[all=true prefix=]" {
			t.Errorf("done=%t: %s", done, got)
		}
		s := source(t, dir, Options{})
		if got := readAll(t, s, 1, before); len(got) != 1 || string(got[0].Key) != "new" {
			t.Errorf("done=%t: %d entries since", done, len(got))
		}
		s.Close()
	}
}

// A prefix that would take the records with it is refused; a file that a crash left half
// written stands for nothing that has happened.
func TestDropRefuses(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badgerOptions(dir))
	set(t, db, 1, badger.NewEntry([]byte("!a"), nil))
	for _, p := range []string{"", "!", "!brock!drop!", "!brock!x"} {
		if err := DropPrefix(db, []byte(p)); err == nil {
			t.Errorf("prefix %q was dropped", p)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, dropFile), []byte(`{"dro`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := FinishDrop(db); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := readDir(t, dir, Options{}, 0); len(got) != 1 || !bytes.Equal(got[0].Key, []byte("!a")) {
		t.Errorf("%d entries", len(got))
	}
}

// Badger leaves a table alone whose first key is a beginning of the prefix, and takes
// away keys that end where the prefix has a byte ff. Either way exactly the keys with the
// prefix are gone for every reader, the drop is recorded, and the next writes are seen.
func TestDropWhatBadgerMisjudges(t *testing.T) {
	long := func(i int) string { return "\x00b" + strings.Repeat("k", 60_000) + fmt.Sprintf("%03d", i) }
	many := []string{"\x00", "\x00a", "\x00c"}
	for i := range 40 { // more than are deleted at once
		many = append(many, long(i))
	}
	for name, c := range map[string]struct {
		prefix string
		keys   []string
	}{
		"first key is a beginning": {"\x00b", []string{"\x00", "\x00a", "\x00b", "\x00b1", "\x00b2", "\x00c"}},
		"many keys":                {"\x00b", many},
		"byte ff":                  {"a\xff", []string{"a", "a\xfe", "a\xff", "a\xff1", "a\xff\xff", "b"}},
		"only bytes ff":            {"\xff\xff", []string{"a", "\xff", "\xff\xff", "\xff\xff\xff", "\xff\xff1"}},
		"first byte ff":            {"\xff", []string{"a", "\xff", "\xff1"}},
	} {
		for _, managed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s managed=%t", name, managed), func(t *testing.T) {
				dir := t.TempDir()
				db := open(t, badgerOptions(dir))
				for i, k := range c.keys {
					set(t, db, uint64(1+i), badger.NewEntry([]byte(k), []byte("v")))
				}
				before := db.MaxVersion()
				if err := db.Close(); err != nil { // one table
					t.Fatal(err)
				}
				openDB := badger.Open
				if managed {
					openDB = badger.OpenManaged
				}
				db, err := openDB(badgerOptions(dir))
				if err != nil {
					t.Fatal(err)
				}
				if err := DropPrefix(db, []byte(c.prefix)); err != nil {
					t.Fatal(err)
				}
				var got, want []string
				for _, k := range visibleKeys(db, math.MaxUint64, nil, nil, math.MaxInt) {
					if !bytes.HasPrefix(k, []byte(dropPrefix)) {
						got = append(got, string(k))
					}
				}
				for _, k := range c.keys {
					if !strings.HasPrefix(k, c.prefix) {
						want = append(want, k)
					}
				}
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%d keys are left: %.80q, want %.80q", len(got), got, want)
				}
				list := badgerpb.KVList{Kv: []*badgerpb.KV{{Key: []byte(c.prefix + "new"), UserMeta: []byte{0}, Meta: []byte{0}, Version: db.MaxVersion() + 1}}}
				if err := errors.Join(load(db, &list), db.Close()); err != nil {
					t.Fatal(err)
				}
				if got := drops(t, dir, before); got != fmt.Sprintf("[all=false prefix=%s]", c.prefix) {
					t.Errorf("recorded: %s", got)
				}
				if db, err = openDB(badgerOptions(dir)); err != nil {
					t.Fatal(err)
				}
				if got := visibleKeys(db, math.MaxUint64, []byte(c.prefix), nil, math.MaxInt); len(got) != 1 || string(got[0]) != c.prefix+"new" {
					t.Errorf("written after the drop: %q", got)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
