package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A shelf is a plain Badger database with a model of what a reader sees.
type shelf struct {
	*testing.T
	dir   string
	clock uint64
	has   map[string]string
}

func newShelf(t *testing.T) *shelf {
	return &shelf{T: t, dir: filepath.Join(t.TempDir(), "db"), has: map[string]string{}}
}

// put writes keys that begin with prefix, each in a transaction of its own.
func (s *shelf) put(prefix string, from, to int) {
	s.Helper()
	s.each(prefix, from, to, func(txn *badger.Txn, key string) error {
		value := fmt.Sprintf("%s at %d %s", key, s.clock, strings.Repeat("v", 50))
		s.has[key] = value
		return txn.Set([]byte(key), []byte(value))
	})
}

func (s *shelf) delete(prefix string, from, to int) {
	s.Helper()
	s.each(prefix, from, to, func(txn *badger.Txn, key string) error {
		delete(s.has, key)
		return txn.Delete([]byte(key))
	})
}

func (s *shelf) each(prefix string, from, to int, do func(*badger.Txn, string) error) {
	s.Helper()
	inBadger(s, s.dir, func(db *badger.DB) {
		for i := from; i < to; i++ {
			s.clock++
			txn := db.NewTransactionAt(s.clock, true)
			if err := do(txn, fmt.Sprintf("%s%04d", prefix, i)); err != nil {
				s.Fatal(err)
			}
			if err := txn.CommitAt(s.clock, nil); err != nil {
				s.Fatal(err)
			}
		}
	})
}

// compact lets Badger forget deletes and all versions but the newest. It compacts a few
// tables at a time; those that lie still are stirred by writing the outermost keys again.
func (s *shelf) compact() {
	s.Helper()
	for round := range 20 {
		if round >= 5 {
			keys := sorted(s.has)
			s.again(keys[0], keys[len(keys)-1])
		}
		db, err := badger.OpenManaged(badger.DefaultOptions(s.dir).WithLogger(nil).WithNumVersionsToKeep(1).WithCompactL0OnClose(true))
		if err != nil {
			s.Fatal(err)
		}
		db.SetDiscardTs(s.clock)
		if err := db.Close(); err != nil {
			s.Fatal(err)
		}
		if s.forgotten() {
			return
		}
	}
	s.Fatal("Badger still knows of deleted keys: this test shows nothing")
}

// again writes keys with the values that they have.
func (s *shelf) again(keys ...string) {
	inBadger(s, s.dir, func(db *badger.DB) {
		s.clock++
		txn := db.NewTransactionAt(s.clock, true)
		for _, k := range keys {
			if err := txn.Set([]byte(k), []byte(s.has[k])); err != nil {
				s.Fatal(err)
			}
		}
		if err := txn.CommitAt(s.clock, nil); err != nil {
			s.Fatal(err)
		}
	})
}

// forgotten reports whether there is nothing in the database of what a reader does not see.
func (s *shelf) forgotten() (all bool) {
	s.Helper()
	inBadger(s, s.dir, func(db *badger.DB) {
		txn := db.NewTransactionAt(math.MaxUint64, false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
		defer it.Close()
		all = true
		for it.Rewind(); it.Valid() && all; it.Next() {
			k := string(it.Item().Key())
			_, all = s.has[k]
			all = all || strings.HasPrefix(k, "!")
		}
	})
	return all
}

func seen(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	inBadger(t, dir, func(db *badger.DB) {
		txn := db.NewTransactionAt(math.MaxUint64, false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				t.Fatal(err)
			}
			if k := string(it.Item().Key()); !strings.HasPrefix(k, "!brock!") {
				got[k] = string(v)
			}
		}
	})
	return got
}

// restores compares a restore with the model.
func (s *shelf) restores(at Location, key *Key, number int, want map[string]string) {
	s.Helper()
	got := seen(s, restore(s, &Engine{}, RestoreRequest{From: at, Key: key, Number: number}))
	for k := range got {
		if _, ok := want[k]; !ok {
			s.Errorf("backup %d: deleted key %q is back", number, k)
		}
	}
	for k, v := range want {
		if got[k] != v {
			s.Errorf("backup %d: key %q is %.40q, want %.40q", number, k, got[k], v)
		}
	}
}

// Keys that were deleted stay deleted, although Badger has forgotten the deletes before
// an incremental backup could see them, and whatever else was written meanwhile.
func TestDeletesThatBadgerForgot(t *testing.T) {
	for name, steps := range map[string][]func(*shelf){
		"as many new keys in the same place": {
			func(s *shelf) { s.delete("b", 100, 110); s.put("b01x", 0, 10) },
		},
		"the last keys": {
			func(s *shelf) { s.put("z", 0, 50) },
			func(s *shelf) { s.delete("z", 20, 50); s.put("z", 50, 90) },
			func(s *shelf) { s.delete("z", 0, 20); s.put("z", 90, 91) },
		},
		"the first keys": {
			func(s *shelf) { s.put("Z", 0, 5) },
			func(s *shelf) { s.delete("Z", 0, 5); s.put("b", 0, 1) },
		},
		"beside keys written again": {
			func(s *shelf) { s.put("b", 0, 500); s.delete("b", 3, 5) },
			func(s *shelf) { s.put("b", 200, 900); s.put("c", 0, 7); s.delete("b", 100, 300) },
		},
		"written again afterwards": {
			func(s *shelf) { s.delete("b", 0, 3); s.put("d", 0, 3) },
			func(s *shelf) { s.put("b", 0, 2) },
			func(s *shelf) { s.delete("b", 1, 2); s.put("d", 0, 1) },
		},
		"almost all": {
			func(s *shelf) { s.delete("b", 0, 999); s.put("b", 999, 1000) },
			func(s *shelf) { s.put("b", 0, 3) },
		},
		"drops beside": {
			func(s *shelf) {
				s.delete("b", 0, 3)
				inBadger(s, s.dir, func(db *badger.DB) {
					if err := badgerdb.DropPrefix(db, []byte("b05")); err != nil {
						s.Fatal(err)
					}
					s.clock = db.MaxVersion()
				})
				maps.DeleteFunc(s.has, func(k, _ string) bool { return strings.HasPrefix(k, "b05") })
				s.put("b", 503, 504)
			},
			func(s *shelf) { s.delete("b", 503, 504); s.put("e", 0, 1) },
		},
		"nothing that vanished": {
			func(s *shelf) { s.put("b", 7, 9) },
			func(s *shelf) { s.put("f", 0, 9) },
		},
	} {
		for _, key := range []*Key{nil, keyOf(testKeys["AES-256"])} {
			t.Run(fmt.Sprintf("%s encrypted=%t", name, key != nil), func(t *testing.T) {
				s := newShelf(t)
				at := Location{URI: "memory", Destination: sdktest.NewMemory()}
				s.put("b", 0, 1000)
				points := []map[string]string{maps.Clone(s.has)}
				backup(t, &Engine{}, s.dir, BackupRequest{To: at, Key: key})
				for i, step := range steps {
					step(s)
					s.compact()
					res := backup(t, &Engine{}, s.dir, BackupRequest{To: at, Key: key, Prove: true})
					if res.Manifest.Number != i+2 {
						t.Fatalf("step %d: backup %s", i, res.Manifest.ID())
					}
					points = append(points, maps.Clone(s.has))
				}
				for i, want := range points {
					s.restores(at, key, i+1, want)
				}
				proved(t, &Engine{}, at, key)
				if name == "nothing that vanished" {
					if n := entriesOf(t, at, key); n != 9 {
						t.Errorf("%d entries, want the 9 that were written", n)
					}
				}
			})
		}
	}
}

// entriesOf counts the entries of the location's last backup.
func entriesOf(t *testing.T, at Location, key *Key) (n int64) {
	t.Helper()
	c, err := (&Engine{}).catalogue(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	var dataKey []byte
	if key != nil {
		dataKey = testKeys["AES-256"]
	}
	m := manifest.Latest(c.all)
	for g := range m.Groups {
		seal, err := c.seal(t.Context(), m, g, dataKey)
		if err != nil {
			t.Fatal(err)
		}
		n += seal.File.Entries()
	}
	return n
}

// A series is not continued with a database that has keys from before its last backup
// that the series does not have, nor where more keys are gone than can be named.
func TestAnotherDatabase(t *testing.T) {
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	s := newShelf(t)
	s.put("a", 0, 30)
	backup(t, &Engine{}, s.dir, BackupRequest{To: at})
	other := newShelf(t)
	other.put("a", 0, 20)
	other.put("b", 0, 20)
	src := source(t, other.dir)
	_, err := (&Engine{}).Backup(t.Context(), BackupRequest{Source: src, To: at})
	src.Close()
	if !IsUsage(err) || !strings.Contains(err.Error(), `"b0000"`) || !strings.Contains(err.Error(), "another database") {
		t.Errorf("another database: %v", err)
	}
	if res := backup(t, &Engine{}, other.dir, BackupRequest{To: at, AutoFull: true}); !res.Manifest.Full || res.Manifest.Number != 1 {
		t.Errorf("AutoFull took %s", res.Manifest.ID())
	}
	other.restores(at, nil, 0, other.has)
}

func TestTooManyKeysGone(t *testing.T) {
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	s := newShelf(t)
	s.put(strings.Repeat("long", 10_000), 0, 240)
	backup(t, &Engine{}, s.dir, BackupRequest{To: at})
	s.delete(strings.Repeat("long", 10_000), 0, 239)
	s.put("short", 0, 1)
	s.compact()
	e := &Engine{Memory: 1} // the least there is
	src := source(t, s.dir)
	_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at})
	src.Close()
	if !IsUsage(err) || !strings.Contains(err.Error(), "no drop was recorded") {
		t.Errorf("%v", err)
	}
	if res := backup(t, e, s.dir, BackupRequest{To: at, AutoFull: true}); !res.Manifest.Full {
		t.Errorf("AutoFull took %s", res.Manifest.ID())
	}
}

// Where the last backup was made before there were spans, keys are counted; the
// incremental that follows has them.
func TestSealsWithoutSpans(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	s := newShelf(t)
	s.put("a", 0, 300)
	m := backup(t, &Engine{}, s.dir, BackupRequest{To: at}).Manifest
	forgetSpans(t, mem, m)
	s.put("b", 0, 1)
	s.delete("a", 0, 1)
	s.compact()
	src := source(t, s.dir)
	_, err := (&Engine{}).Backup(t.Context(), BackupRequest{Source: src, To: at})
	src.Close()
	if !IsUsage(err) || !strings.Contains(err.Error(), "no drop was recorded") {
		t.Errorf("a key is missing: %v", err)
	}
	s.put("a", 0, 1)
	if res := backup(t, &Engine{}, s.dir, BackupRequest{To: at}); res.Manifest.Number != 2 {
		t.Fatalf("backup %s", res.Manifest.ID())
	}
	s.restores(at, nil, 2, s.has)
	s.delete("a", 200, 250)
	s.put("a2x", 0, 50)
	s.compact()
	if res := backup(t, &Engine{}, s.dir, BackupRequest{To: at}); res.Manifest.Number != 3 {
		t.Fatalf("backup %s", res.Manifest.ID())
	}
	s.restores(at, nil, 3, s.has)
}

// forgetSpans makes of a backup's seal what older programs wrote.
func forgetSpans(t *testing.T, mem *sdktest.Memory, m *manifest.Manifest) {
	t.Helper()
	seal, err := backupfile.ParseSeal(mem.Bytes(m.Seal(1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if seal.Spans == nil {
		t.Fatal("it had none")
	}
	seal.Spans = nil
	data, err := seal.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	mem.Set(m.Seal(1), data)
	sum := sha256.Sum256(data)
	m.Record.Objects[0].SealSHA256 = hex.EncodeToString(sum[:])
	record, err := manifest.EncodeRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	mem.Set(manifest.RecordName(m.Series, m.Number), record)
}

// Badger's clock goes back when the newest that it has is dropped, or deleted and
// forgotten. What is written then has timestamps that are in the last backup already,
// and is in the next one all the same.
func TestClockThatWentBack(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, dir string){
		"forgotten": func(t *testing.T, dir string) {
			for range 4 {
				inPlainBadger(t, badger.DefaultOptions(dir).WithCompactL0OnClose(true), func(*badger.DB) error {
					time.Sleep(100 * time.Millisecond) //nolint:forbidigo // Badger learns in the background which deletions it may forget
					return nil
				})
			}
		},
		"dropped": func(t *testing.T, dir string) {
			inPlainBadger(t, badger.DefaultOptions(dir), func(db *badger.DB) error { return db.DropPrefix([]byte("z")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			at := Location{URI: "memory", Destination: sdktest.NewMemory()}
			want := map[string]string{}
			write := func(db *badger.DB, key, value string) error {
				want[key] = value
				return db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(key), []byte(value)) })
			}
			inPlainBadger(t, badger.DefaultOptions(dir), func(db *badger.DB) (err error) {
				for i := range 20 {
					err = errJoin(err, write(db, fmt.Sprintf("k%02d", i), "old"))
				}
				for i := range 10 {
					err = errJoin(err, write(db, fmt.Sprintf("z%02d", i), "old"))
				}
				for i := range 10 {
					key := fmt.Sprintf("z%02d", i)
					if delete(want, key); name == "forgotten" {
						err = errJoin(err, db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) }))
					}
				}
				return err
			})
			first := backup(t, &Engine{}, dir, BackupRequest{To: at}).Manifest
			back(t, dir)
			inPlainBadger(t, badger.DefaultOptions(dir), func(db *badger.DB) error {
				if db.MaxVersion() >= first.ReadTs {
					t.Fatalf("the clock is at %d and was at %d: this test shows nothing", db.MaxVersion(), first.ReadTs)
				}
				err := write(db, "k01", "new")
				for i := 0; err == nil && db.MaxVersion() <= first.ReadTs; i++ {
					err = write(db, "k02", fmt.Sprint("new ", i))
				}
				return err
			})
			if res := backup(t, &Engine{}, dir, BackupRequest{To: at, Prove: true}); res.Manifest.Number != 2 {
				t.Fatalf("backup %s", res.Manifest.ID())
			}
			proved(t, &Engine{}, at, nil)
			if got := seen(t, restore(t, &Engine{}, RestoreRequest{From: at})); !maps.Equal(got, want) {
				t.Errorf("restored %v, want %v", got, want)
			}
		})
	}
}

// inPlainBadger opens a database whose versions are Badger's own choice.
func inPlainBadger(t *testing.T, o badger.Options, do func(*badger.DB) error) {
	t.Helper()
	db, err := badger.Open(o.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errJoin(do(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// What a backup of a damaged database has left out is no reason to refuse the next one.
func TestIncrementalOfDamagedDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	large := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 500) }
	inPlainBadger(t, badger.DefaultOptions(dir).WithValueThreshold(100), func(db *badger.DB) (err error) {
		for i := range 20 {
			err = errJoin(err, db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "k%02d", i), large(i)) }))
		}
		return err
	})
	log := filepath.Join(dir, "000001.vlog")
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, large(5))+10] ^= 1
	if err := os.WriteFile(log, data, 0o600); err != nil {
		t.Fatal(err)
	}
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	for number := 1; number <= 3; number++ {
		src, err := badgerdb.OpenSource(map[uint32]string{1: dir}, badgerdb.Options{AcceptDamaged: true})
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&Engine{}).Backup(t.Context(), BackupRequest{Source: src, To: at})
		src.Close()
		if err != nil || res.Manifest.Number != number {
			t.Fatalf("backup %d: %+v, %v", number, res, err)
		}
		inPlainBadger(t, badger.DefaultOptions(dir), func(db *badger.DB) error {
			return db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("k01"), fmt.Append(nil, number)) })
		})
	}
	got := seen(t, restore(t, &Engine{}, RestoreRequest{From: at}))
	if _, there := got["k05"]; there || len(got) != 19 || got["k01"] != "2" {
		t.Errorf("restored %d keys, k01 is %q", len(got), got["k01"])
	}
}

// Only Dgraph reads the manifest that is replaced with every backup, and it reads
// no backup of any other database.
func TestPlainDatabaseNeedsNoReplacer(t *testing.T) {
	at := Location{URI: "memory", Destination: struct{ sdk.Destination }{sdktest.NewMemory()}}
	s := newShelf(t)
	s.put("a", 0, 3)
	backup(t, &Engine{}, s.dir, BackupRequest{To: at})
	s.delete("a", 0, 1)
	backup(t, &Engine{}, s.dir, BackupRequest{To: at})
	s.restores(at, nil, 2, s.has)
	list, err := (&Engine{}).List(t.Context(), at)
	if err != nil || len(list) != 2 {
		t.Errorf("List = %+v, %v; want 2 backups", list, err)
	}
}
