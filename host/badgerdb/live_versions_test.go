package badgerdb

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
)

// A scribe writes to keys of its own, one transaction after another. What its n-th
// transaction wrote follows from n.
type scribe struct {
	db             *badger.DB
	name           string
	started, acked atomic.Uint64

	checked uint64                   // what has been written up to here
	want    map[string]*badger.Entry // is this
}

const scribeKeys = 40

func (s *scribe) key(i uint64) string { return fmt.Sprintf("%s/%02d", s.name, i) }

// entries are what transaction n writes: nil is a delete.
func (s *scribe) entries(n uint64) map[string]*badger.Entry {
	rnd := rand.New(rand.NewPCG(n, uint64(len(s.name))))
	out := map[string]*badger.Entry{}
	for range 1 + rnd.IntN(6) {
		k := s.key(rnd.Uint64N(scribeKeys))
		out[k] = nil
		if rnd.IntN(4) == 0 {
			continue
		}
		size := rnd.IntN(300)
		if rnd.IntN(4) == 0 {
			size = 2000 // goes to the value log
		}
		e := badger.NewEntry([]byte(k), bytes.Repeat(fmt.Appendf(nil, "%d-", n), size/4)).WithMeta(byte(n))
		switch rnd.IntN(8) {
		case 0:
			e.ExpiresAt = farFuture + n
		case 1:
			e.ExpiresAt = 1000 + n // long ago
		}
		out[k] = e
	}
	head := s.name + "/head"
	out[head] = badger.NewEntry([]byte(head), fmt.Appendf(nil, "%d", n))
	return out
}

const farFuture = 4_000_000_000

func (s *scribe) write(n uint64) error {
	s.started.Store(n)
	err := s.db.Update(func(txn *badger.Txn) error {
		for k, e := range s.entries(n) {
			err := error(nil)
			if e == nil {
				err = txn.Delete([]byte(k))
			} else {
				err = txn.SetEntry(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.acked.Store(n)
	}
	return err
}

// check compares what a source shows of the scribe's keys: the state after one transaction, which
// was acknowledged no earlier than atLeast and begun no later than atMost.
func (s *scribe) check(shown map[string]backupfile.Entry, atLeast, atMost uint64) error {
	var n uint64
	if head, ok := shown[s.name+"/head"]; ok {
		if _, err := fmt.Sscan(string(head.Value), &n); err != nil {
			return err
		}
	}
	if n < atLeast || n > atMost {
		return fmt.Errorf("%s: shows transaction %d; %d was done before, %d not begun after", s.name, n, atLeast, atMost+1)
	}
	for ; s.checked < n; s.checked++ {
		maps.Copy(s.want, s.entries(s.checked+1))
	}
	for k, e := range s.want {
		got, ok := shown[k]
		gone := !ok || got.Meta&metaDelete != 0 || got.ExpiresAt != 0 && got.ExpiresAt < farFuture
		switch {
		case e == nil || e.ExpiresAt != 0 && e.ExpiresAt < farFuture:
			if !gone {
				return fmt.Errorf("after transaction %d, %s should be gone: %s", n, k, line(&got))
			}
		case gone || !bytes.Equal(got.Value, e.Value) || got.UserMeta != e.UserMeta || got.ExpiresAt != e.ExpiresAt:
			return fmt.Errorf("after transaction %d, %s is %s, want %.20q", n, k, line(&got), e.Value)
		}
	}
	for k := range shown {
		if strings.HasPrefix(k, s.name+"/") {
			if _, ok := s.want[k]; !ok {
				return fmt.Errorf("after transaction %d, %s should not be there", n, k)
			}
		}
	}
	return nil
}

// While several write, with times to live, user meta, deletes and long values, each live source
// shows one moment: of every writer all up to some transaction and nothing of the next, with
// everything that was acknowledged before the source was opened.
func TestLiveVersionsWhileWriting(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.Open(small(badgerOptions(dir)).WithNumVersionsToKeep(1))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var (
		writers sync.WaitGroup
		stop    = make(chan struct{})
		scribes []*scribe
	)
	for i := range 3 {
		s := &scribe{db: db, name: strings.Repeat("s", i+1), want: map[string]*badger.Entry{}}
		scribes = append(scribes, s)
		writers.Go(func() {
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.write(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer writers.Wait()
	defer close(stop)
	begun := time.Now()
	collected := 0
	for round := 0; (collected < 3 || round < 20) && time.Since(begun) < time.Minute && !t.Failed(); round++ {
		var low, high [3]uint64
		for i, s := range scribes {
			low[i] = s.acked.Load()
		}
		l, err := PinLive(map[uint32]*badger.DB{1: db}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range scribes {
			high[i] = s.started.Load()
		}
		if round%3 == 0 { // long values are moved and their log removed, but for the source
			err := db.RunValueLogGC(0.01)
			if err == nil {
				collected++
			} else if !errors.Is(err, badger.ErrNoRewrite) {
				t.Fatal(err)
			}
		}
		s, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		first := readAll(t, s, 1, 0)
		shown := map[string]backupfile.Entry{}
		for _, e := range first {
			if e.Version > s.ReadTs() {
				t.Errorf("%s is above the read timestamp %d", line(&e), s.ReadTs())
			}
			if old, ok := shown[string(e.Key)]; !ok || old.Version < e.Version {
				shown[string(e.Key)] = e
			}
		}
		for i, sc := range scribes {
			if err := sc.check(shown, low[i], high[i]); err != nil {
				t.Errorf("round %d, read timestamp %d: %v", round, s.ReadTs(), err)
			}
		}
		again := readAll(t, s, 1, 0)
		same(t, "read again", again, first)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if collected == 0 {
		t.Error("no value log was ever collected: there was nothing to withstand")
	}
	if left := unreferenced(t, db); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// unreferenced waits until the only tables there are those of the database, and
// returns the others if that does not come.
func unreferenced(t testing.TB, db *badger.DB) []string {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		known := map[string]bool{}
		for _, info := range db.Tables() {
			known[fmt.Sprintf("%06d.sst", info.ID)] = true
		}
		files, err := os.ReadDir(db.Opts().Dir)
		if err != nil {
			t.Fatal(err)
		}
		left = nil
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".sst") && !known[f.Name()] {
				left = append(left, f.Name())
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return left
}
