package badgerdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// Ranges follow each other without gap or overlap, and are of a size that suits a worker; read
// by many goroutines at once they give what one goroutine reads in order.
func TestRangesAreDisjointAndComplete(t *testing.T) {
	dir := filled(t, 40_000, 100, nil) // 60 MiB in tables of 8 MiB
	db := open(t, badgerOptions(dir))
	for i := range 1000 { // and some that lie over all of them
		set(t, db, 3, badger.NewEntry(fmt.Appendf(nil, "key-%06d", i*40), []byte("new")))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := source(t, dir, Options{})
	for _, since := range []uint64{0, 2} {
		ranges, err := s.Ranges(1, since)
		if err != nil {
			t.Fatal(err)
		}
		if since == 0 && (len(ranges) < 3 || len(ranges) > 10) {
			t.Errorf("%d ranges", len(ranges))
		}
		var total int64
		for i, r := range ranges {
			total += r.Size
			if r.Size > 2*maxRange {
				t.Errorf("range %d has %d bytes", i, r.Size)
			}
			if i > 0 && !bytes.Equal(r.From, ranges[i-1].To) || (i == 0) != (r.From == nil) || (i == len(ranges)-1) != (r.To == nil) {
				t.Errorf("range %d is %q to %q", i, r.From, r.To)
			}
		}
		if since == 0 && (total < 50<<20 || total > 90<<20) {
			t.Errorf("ranges of %d bytes", total)
		}
		want := readAll(t, s, 1, since)
		parts := make([][]backupfile.Entry, len(ranges))
		var wg sync.WaitGroup
		work := make(chan int)
		for range 8 {
			wg.Go(func() {
				for i := range work {
					err := s.Read(context.Background(), 1, ranges[i], since, dgraph.UIDBytes, dgraph.FormV23, func(_ []byte, e *backupfile.Entry) error {
						parts[i] = append(parts[i], clone(e))
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range ranges {
			work <- i
		}
		close(work)
		wg.Wait()
		var got []backupfile.Entry
		for _, p := range parts {
			got = append(got, p...)
		}
		same(t, fmt.Sprintf("since %d", since), got, want)
	}
}

// Parts of long lists belong to no range, however much room they take: they are read with
// their list.
func TestRangesWithoutParts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	w, err := Create(dir, WriterOptions{Kind: manifest.KindDgraph, Group: 1})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 200_000)
	for i := range uint64(200) {
		for j := range value {
			value[j] = byte(rnd.Uint64())
		}
		k := dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Name: "p"}, UID: i + 1}
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
		if err != nil {
			t.Fatal(err)
		}
		k.StartUID = 1
		part, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.WritePart(part, value, dgraph.MetaComplete, 0, 1, 0), w.Write(key, value, dgraph.MetaComplete, 0, 1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if tables, err := filepath.Glob(filepath.Join(dir, "*.sst")); err != nil || len(tables) < 8 || len(tables) > 12 {
		t.Errorf("%d tables, %v", len(tables), err)
	}
	ranges, err := source(t, dir, Options{}).Ranges(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	var at []byte
	for i, r := range ranges {
		last := i == len(ranges)-1
		if last != bytes.Equal(r.From, []byte{prefixPart + 1}) || last != (r.To == nil) || !last && bytes.Compare(r.From, r.To) >= 0 {
			t.Errorf("range %d is %x to %x", i, r.From, r.To)
		}
		if !last && !bytes.Equal(r.From, at) {
			t.Errorf("range %d begins at %x, the one before ends at %x", i, r.From, at)
		}
		at = r.To
	}
	if len(ranges) < 3 || len(ranges) > 6 {
		t.Errorf("%d ranges", len(ranges))
	}
}

// A cancelled read ends soon, and a caller's error comes back as it is.
func TestReadStops(t *testing.T) {
	s := source(t, filled(t, 5000, 1, nil), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err := s.Read(ctx, 1, Range{}, 0, dgraph.UIDBytes, dgraph.FormV23, func([]byte, *backupfile.Entry) error {
		n++
		cancel()
		return nil
	})
	wantError(t, err, context.Canceled)
	if n > 1100 {
		t.Errorf("%d entries after the cancel", n)
	}
	err = s.Read(context.Background(), 1, Range{}, 0, dgraph.UIDBytes, dgraph.FormV23, func([]byte, *backupfile.Entry) error { return os.ErrClosed })
	wantError(t, err, os.ErrClosed)
	if err := s.Read(context.Background(), 7, Range{}, 0, 0, 0, nil); err == nil {
		t.Error("a group that is not there was read")
	}
}

// Since is exclusive: what has exactly that version was in the backup before. Only 1 may be the
// read timestamp of an empty database, to which the first commit then gave version 1.
func TestSince(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badgerOptions(dir))
	for v := uint64(1); v <= 10; v++ {
		set(t, db, v, badger.NewEntry([]byte("k"), fmt.Append(nil, v)), badger.NewEntry(fmt.Appendf(nil, "k%d", v), nil))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for since := range uint64(12) {
		for readTs := uint64(1); readTs <= 10; readTs++ {
			s := source(t, dir, Options{ReadTs: readTs})
			got := map[uint64]int{}
			for _, e := range readAll(t, s, 1, since) {
				got[e.Version]++
			}
			s.Close()
			for v := uint64(1); v <= 10; v++ {
				want := 0
				if (v > since || since == 1) && v <= readTs {
					want = 2
				}
				if got[v] != want {
					t.Errorf("since %d at %d: %d entries of version %d, want %d", since, readTs, got[v], v, want)
				}
			}
		}
	}
}

// Chains of backups of a random history, read at different moments, add up to what a model
// says the database held.
func TestRandomChains(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("BROCK_TEST_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seed %d (BROCK_TEST_SEED)", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for n := range 40 {
		dir := t.TempDir()
		opt := badgerOptions(dir).WithMemTableSize(1 << 20).WithValueThreshold(256)
		model := map[string]string{}    // live
		restored := map[string]string{} // by the chain
		since := uint64(0)
		version := uint64(0)
		for link := range 1 + rnd.IntN(6) {
			db := open(t, opt)
			for range rnd.IntN(60) {
				version += 1 + rnd.Uint64N(2)
				k := fmt.Sprintf("k%02d", rnd.IntN(30))
				if rnd.IntN(4) == 0 {
					remove(t, db, version, []byte(k))
					delete(model, k)
					continue
				}
				v := string(bytes.Repeat([]byte{byte('a' + rnd.IntN(26))}, rnd.IntN(600)))
				set(t, db, version, badger.NewEntry([]byte(k), []byte(v)))
				model[k] = v
			}
			if rnd.IntN(8) == 0 {
				drop := DropAll
				if rnd.IntN(2) == 0 {
					drop = func(db *badger.DB) error { return DropPrefix(db, []byte("k1")) }
					for k := range model {
						if k[:2] == "k1" {
							delete(model, k)
						}
					}
				} else {
					clear(model)
				}
				if err := drop(db); err != nil {
					t.Fatal(err)
				}
				version = db.MaxVersion()
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := source(t, dir, Options{})
			_, drops, err := s.Drops(context.Background(), 1, since)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range drops {
				for k := range restored {
					if d.All || bytes.HasPrefix([]byte(k), d.Prefix) {
						delete(restored, k)
					}
				}
			}
			last := ""
			for _, e := range readAll(t, s, 1, since) {
				if string(e.Key) == last {
					continue // an older version
				}
				last = string(e.Key)
				if e.Meta&metaDelete != 0 {
					delete(restored, last)
				} else {
					restored[last] = string(e.Value)
				}
			}
			since = s.ReadTs()
			s.Close()
			for k := range model {
				if restored[k] != model[k] {
					t.Errorf("history %d, backup %d: %s is %.20q, want %.20q", n, link+1, k, restored[k], model[k])
				}
			}
			for k := range restored {
				if _, ok := model[k]; !ok {
					t.Errorf("history %d, backup %d: %s should not be there", n, link+1, k)
				}
			}
			if t.Failed() {
				for _, e := range badgerSees(t, opt, 0) {
					t.Log(line(&e))
				}
				t.Fatalf("since %d drops %v", since, drops)
			}
		}
	}
}
