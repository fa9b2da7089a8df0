package host

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A household is a Badger database in use, and what it should hold.
type household struct {
	*testing.T
	db  *badger.DB
	rnd *rand.Rand
	has map[string]string
}

func newHousehold(t *testing.T) *household {
	db, err := badger.Open(badger.DefaultOptions(t.TempDir()).WithLogger(nil).WithMemTableSize(1 << 20).WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &household{t, db, rand.New(rand.NewPCG(1, 2)), map[string]string{}}
}

// entryText is an entry as text: value, user meta and the end of its life.
func entryText(value []byte, userMeta byte, expiresAt uint64) string {
	return fmt.Sprintf("%s, %d, %d", value, userMeta, expiresAt)
}

func (h *household) write(n int) {
	h.Helper()
	err := h.db.Update(func(txn *badger.Txn) error {
		for range n {
			key := fmt.Sprintf("%c/%03d", 'a'+h.rnd.IntN(4), h.rnd.IntN(200))
			if h.rnd.IntN(4) == 0 {
				delete(h.has, key)
				if err := txn.Delete([]byte(key)); err != nil {
					return err
				}
				continue
			}
			e := badger.NewEntry([]byte(key), fmt.Appendf(nil, "%d%s", h.rnd.Uint64(), strings.Repeat("x", h.rnd.IntN(30)*h.rnd.IntN(90)))).WithMeta(byte(h.rnd.Uint32()))
			if h.rnd.IntN(3) == 0 {
				e.WithTTL(time.Duration(1+h.rnd.IntN(100)) * time.Hour)
			}
			h.has[key] = entryText(e.Value, e.UserMeta, e.ExpiresAt)
			if err := txn.SetEntry(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
}

func (h *household) drop(prefix string) {
	h.Helper()
	err := error(nil)
	if prefix == "" {
		err = badgerdb.DropAll(h.db)
	} else {
		err = badgerdb.DropPrefix(h.db, []byte(prefix))
	}
	if err != nil {
		h.Fatal(err)
	}
	maps.DeleteFunc(h.has, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
}

// shownBy is what a reader of a database sees.
func shownBy(t *testing.T, dir string) map[string]string {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]string{}
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			value, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			out[string(item.Key())] = entryText(value, item.UserMeta(), item.ExpiresAt())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A restless destination has something happen before each object is stored.
type restless struct {
	*sdktest.Memory
	happen func()
}

func (r *restless) Put(ctx context.Context, name string, body io.Reader) error {
	r.happen()
	return r.Memory.Put(ctx, name, body)
}

// Each backup of a database in use, full or incremental, restores to what it held when the
// source was opened, with times to live and user meta, although entries were written and
// deleted, and prefixes or everything dropped, while the backup ran; and what happened
// then is in the next.
func TestChainOfADatabaseInUse(t *testing.T) {
	h := newHousehold(t)
	to := &restless{Memory: sdktest.NewMemory()}
	at, e := Location{URI: "memory", Destination: to}, &Engine{}
	for round := range 12 {
		h.write(100 + h.rnd.IntN(300))
		switch round {
		case 3:
			h.drop("b")
		case 8:
			h.drop("")
			h.write(100)
		}
		want := maps.Clone(h.has)
		src, err := badgerdb.OpenLive(map[uint32]*badger.DB{1: h.db}, badgerdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		to.happen = func() {
			once.Do(func() {
				h.write(200)
				switch round {
				case 1, 8:
					h.drop("a")
				case 5:
					h.drop("")
				case 9:
					h.drop("a")
					h.drop("")
					h.write(50)
				}
			})
		}
		res, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at, Prove: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		if res.Manifest.Number != round+1 {
			t.Fatalf("round %d became backup %s", round, res.Manifest.ID())
		}
		got := shownBy(t, restore(t, e, RestoreRequest{From: at}))
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got[key] != want[key] {
				t.Errorf("round %d: %s is %.60q, want %.60q", round, key, got[key], want[key])
			}
		}
		if len(got) != len(want) {
			t.Errorf("round %d: %d keys, want %d", round, len(got), len(want))
		}
		if t.Failed() {
			return
		}
		proved(t, e, at, nil)
	}
}

// Stages tell where the time went.
func TestStages(t *testing.T) {
	h := newHousehold(t)
	h.write(10)
	src, err := badgerdb.OpenLive(map[uint32]*badger.DB{1: h.db}, badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	begun := time.Now()
	res, err := (&Engine{}).Backup(t.Context(), BackupRequest{Source: src, To: Location{URI: "memory", Destination: sdktest.NewMemory()}})
	if err != nil {
		t.Fatal(err)
	}
	all := time.Since(begun)
	sum := time.Duration(0)
	for _, d := range res.Stages {
		sum += d
	}
	if got := slices.Sorted(maps.Keys(res.Stages)); !slices.Equal(got, []string{"commit", "objects", "plan", "publish"}) || sum <= 0 || sum > all {
		t.Errorf("stages %v took %s of %s", res.Stages, sum, all)
	}
}

// What is restored at a version is new to everybody who has seen an older one, and old to all
// others. The schema is for everybody.
func TestRestoreAtVersion(t *testing.T) {
	const version = 1_000_000
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			from := location(t, filepath.Join(f.dir, "backup"))
			dir := restore(t, &Engine{}, RestoreRequest{From: from, Key: keyOf(f.key), Version: version})
			src := source(t, dir)
			if src.ReadTs() != version || src.Kind() != manifest.KindDgraph {
				t.Errorf("%s at %d", src.Kind(), src.ReadTs())
			}
			lists := func(since uint64) (n int) {
				for _, g := range src.Groups() {
					ranges, err := src.Ranges(g, since)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range ranges {
						err := src.Read(t.Context(), g, r, since, dgraph.UIDBytes, dgraph.FormV23, func(_ []byte, e *backupfile.Entry) error {
							if e.UserMeta != dgraph.MetaSchema {
								n++
							}
							return nil
						})
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				return n
			}
			if all, below, at := lists(0), lists(version-1), lists(version); all == 0 || below != all || at != 0 {
				t.Errorf("%d lists; %d are new since %d, %d since %d", all, below, version-1, at, version)
			}
			equalsTruth(t, &Engine{}, f, f.points-1, RestoreRequest{From: from, Key: keyOf(f.key), Version: version})
		})
	}
	_, err := (&Engine{}).Restore(t.Context(), RestoreRequest{Version: 7, KeepVersions: true})
	if err == nil || !strings.Contains(err.Error(), "each at its own") {
		t.Errorf("both: %v", err)
	}
}
