package badgerdb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
)

// small makes memtables and tables so small that flushes and compactions never end.
func small(o badger.Options) badger.Options {
	return o.WithMemTableSize(64 << 10).WithValueThreshold(1 << 10).WithBaseTableSize(64 << 10).WithBaseLevelSize(256 << 10).
		WithNumMemtables(2).WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).WithNumCompactors(2).WithValueLogFileSize(1 << 20)
}

// rollUp writes a list again, whole, at the version of its newest delta, its parts first.
func (d *listDB) rollUp(key []byte, version uint64) {
	var k dgraph.Key
	if err := dgraph.ParseKey(dgraph.LayoutV21, key, &k); err != nil {
		d.t.Fatal(err)
	}
	main, parts, err := d.p.Pack(backupList(d.model[string(key)]))
	if err != nil {
		d.t.Fatal(err)
	}
	put := func(key, value []byte, meta byte) {
		set(d.t, d.db, version, badger.NewEntry(key, bytes.Clone(value)).WithMeta(meta).WithDiscard())
	}
	for _, part := range parts {
		k.StartUID = part.StartUID
		put(d.key(k), part.Value, dgraph.MetaComplete)
	}
	if main == nil {
		put(key, nil, dgraph.MetaEmpty)
		return
	}
	put(key, main, dgraph.MetaComplete)
}

// hammer goes on changing lists, rolls some up where they stand, and lets Badger discard whatever
// it may.
func (d *listDB) hammer(steps int) {
	filler := make([]byte, 800) // keys that nobody reads fill memtables
	for i := range steps {
		before := d.version
		d.step()
		for i := range filler {
			filler[i] = byte(d.rnd.Uint32())
		}
		set(d.t, d.db, d.version, badger.NewEntry(fmt.Appendf(nil, brockPrefix+"filler%d", i%50), bytes.Clone(filler)))
		d.db.SetDiscardTs(d.version)
		if d.rnd.IntN(3) != 0 {
			continue
		}
		// Find the list that was changed last; the model does not say.
		txn := d.db.NewTransactionAt(d.version, false)
		it := txn.NewIterator(badger.IteratorOptions{SinceTs: before, Prefix: []byte{prefixData}})
		var key []byte
		var version uint64
		for it.Rewind(); it.Valid(); it.Next() {
			if it.Item().UserMeta() == dgraph.MetaDelta {
				key, version = it.Item().KeyCopy(nil), it.Item().Version()
			}
		}
		it.Close()
		txn.Discard()
		if key != nil {
			d.rollUp(key, version)
		}
	}
}

// lists is what a source must show: the lists that are not empty.
func (m listModel) lists() map[string]string {
	out := map[string]string{}
	for key, uids := range m {
		if l := backupList(uids); len(l) > 0 {
			out[key] = string(l)
		}
	}
	return out
}

// listsOf reads the lists of users.
func listsOf(s *Source) (map[string]string, error) {
	ranges, err := s.Ranges(1, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	var k dgraph.Key
	for _, r := range ranges {
		err := s.Read(context.Background(), 1, r, 0, dgraph.UIDBytes, dgraph.FormV23, func(key []byte, e *backupfile.Entry) error {
			if err := dgraph.ParseKey(dgraph.LayoutV21, key, &k); err != nil {
				return err
			}
			if k.Kind == dgraph.KeyData && !k.Reserved() {
				out[string(key)] = string(e.Value)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func differ(got, want map[string]string) error {
	for key, v := range want {
		if got[key] != v {
			return fmt.Errorf("%x is %.40x (%d bytes), want %.40x (%d bytes)", key, got[key], len(got[key]), v, len(v))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			return fmt.Errorf("%x should not be there", key)
		}
	}
	return nil
}

// While lists are written, rolled up, dropped, flushed and compacted all the time, each live
// source shows exactly what there was when it was pinned, at once and much later.
func TestLiveListsWhileWriting(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("BROCK_TEST_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seed %d (BROCK_TEST_SEED)", seed)
	d := &listDB{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), model: listModel{}, version: 1}
	d.db = open(t, small(badgerOptions(t.TempDir())))
	for i := range 4 {
		d.put(d.key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: fmt.Sprintf("p%d", i)}}), nil, dgraph.MetaSchema)
	}
	d.put(d.key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: dgraph.DropPredicate}}), nil, dgraph.MetaSchema)
	var readers sync.WaitGroup
	defer readers.Wait()
	var later []chan struct{}
	tables := map[uint64]bool{}
	for round := range 25 {
		d.hammer(300)
		switch d.rnd.IntN(8) {
		case 0:
			d.drop()
			if err := Settle(d.db); err != nil {
				t.Fatal(err)
			}
		case 1:
			if err := d.db.Flatten(1); err != nil {
				t.Fatal(err)
			}
		}
		for _, info := range d.db.Tables() {
			tables[info.ID] = true
		}
		l, err := PinLive(map[uint32]*badger.DB{1: d.db}, Options{ReadTs: d.version})
		if err != nil {
			t.Fatal(err)
		}
		want, at, go2 := d.model.lists(), d.version, make(chan struct{})
		later = append(later, go2)
		readers.Go(func() {
			s, err := l.Open()
			if err != nil {
				t.Errorf("round %d: %v", round, err)
				return
			}
			defer s.Close()
			for _, when := range []string{"at once", "later"} {
				got, err := listsOf(s)
				if err == nil {
					err = differ(got, want)
				}
				if err != nil {
					t.Errorf("round %d, read timestamp %d, %s: %v", round, at, when, err)
				}
				<-go2
			}
		})
		if len(later) > 4 {
			close(later[0])
			later = later[1:]
		}
	}
	for _, c := range later {
		close(c)
	}
	readers.Wait()
	if len(tables) < 20 || len(tables) == len(d.db.Tables()) {
		t.Errorf("only %d tables were ever seen, %d are left: there was nothing to withstand", len(tables), len(d.db.Tables()))
	}
}
