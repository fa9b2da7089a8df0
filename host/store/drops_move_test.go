package store_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// groupOf is where a predicate is.
func (w *world) groupOf(p dgraph.Predicate) uint32 {
	w.Helper()
	w.adopt()
	return w.o.preds[p].group
}

// away moves a predicate to the next group and returns where it was.
func (w *world) away(p dgraph.Predicate) uint32 {
	w.Helper()
	from := w.groupOf(p)
	w.move(p, from%uint32(len(w.s.State().Groups))+1)
	return from
}

// After a move the next incremental of the new group holds the whole predicate.
func TestMove(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 3)
	for name := range map[string]bool{"name": true, "tags": true, "friend": true, "boss": true} {
		full := w.backup("a", host.BackupRequest{})
		p := in(0, name)
		from := w.away(p)
		w.check("moved")
		src, err := w.s.Source(w.Context(), badgerdb.Options{})
		w.must(err)
		got := map[uint32]int{}
		w.must(eachEntry(src, full.ReadTs, func(g uint32, k *dgraph.Key, e *backupfile.Entry) error {
			if k.Predicate == p && k.Kind == dgraph.KeyData && e.UserMeta == dgraph.MetaComplete {
				got[g]++
			}
			return nil
		}))
		w.must(src.Close())
		if want := len(w.o.preds[p].nodes); got[w.groupOf(p)] != want || got[from] != 0 {
			w.Errorf("%s went from %d to %d: lists that changed are %v, want %d in the new group", p, from, w.groupOf(p), got, want)
		}
		w.addPeople(0, 5, 9, "written after the move of "+name)
		w.incremental("a")
	}
	w.reopen(false)
	w.check("opened again")
	w.all()
}

// A predicate that goes away and comes back between two backups is whole.
func TestMoveThereAndBack(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.backup("a", host.BackupRequest{})
	p := in(0, "name")
	from := w.away(p)
	w.addPeople(0, 2, 3, "written there")
	w.del(store.Edge{UID: 4, Predicate: p, Star: true})
	w.move(p, from)
	w.check("back")
	w.incremental("a")
	w.addPeople(0, 3, 4, "written here")
	w.incremental("a")

	w.away(p) // and with a backup of each
	w.incremental("a")
	w.del(store.Edge{UID: 5, Predicate: p, Star: true})
	w.incremental("a")
	w.move(p, from)
	w.incremental("a")
	w.reopen(false)
	w.check("opened again")
	w.all()
}

// A drop takes a predicate wherever it has come to, and what it left behind.
func TestMoveThenDrop(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		if len(w.s.State().Groups) == 1 {
			return
		}
		w.backup("a", host.BackupRequest{})
		w.away(in(0, "name"))
		w.away(in(other, "friend"))
		k.drop(w)
		w.check("moved and dropped")
		w.incremental("a")
		k.again(w)
		w.addPeople(0, 3, 5, "new")
		w.addPeople(other, 3, 5, "new")
		w.adopt()
		w.away(in(0, "name"))
		w.incremental("a")
		k.drop(w)
		k.again(w)
		w.addPeople(0, 4, 5, "newer")
		w.adopt()
		w.away(in(0, "name"))
		w.addPeople(other, 4, 5, "newer")
		w.incremental("a")
	})
}

// A list that is so long that it is kept in parts goes with all of them, changes and comes
// back, is dropped and begins anew.
func TestMoveOfLongLists(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	p := in(0, "friend")
	r := rand.New(rand.NewPCG(1, 1))
	var long store.Mutation
	for range 150_000 {
		long.Set = append(long.Set, store.Edge{UID: 3, Predicate: p, Object: 1 + r.Uint64N(1<<44)})
	}
	w.mutate(long)
	w.story = nil
	w.backup("a", host.BackupRequest{})
	from := w.away(p)
	w.check("in parts")
	w.incremental("a")
	w.mutate(store.Mutation{Del: long.Set[:1000]})
	w.reopen(true)
	w.check("opened after a crash")
	w.incremental("a")
	w.move(p, from)
	w.mutate(store.Mutation{Del: long.Set[2000:140_000]})
	w.check("back")
	w.incremental("a")
	w.dropAttr(p)
	w.people(0)
	w.incremental("a")
	w.mutate(store.Mutation{Set: long.Set[:50]})
	w.adopt()
	w.check("anew")
	w.incremental("a")
	w.story = nil
	w.all()
}

// What cannot move says so.
func TestMoveRefused(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	if err := w.s.Move(w.Context(), in(0, "name"), 3); !errors.Is(err, store.ErrInvalid) {
		w.Errorf("to a group that is not there: %v", err)
	}
	if err := w.s.Move(w.Context(), in(0, "nobody"), 2); !errors.Is(err, store.ErrInvalid) {
		w.Errorf("of a predicate that is not there: %v", err)
	}
	w.backup("a", host.BackupRequest{})
	w.move(in(0, "name"), w.groupOf(in(0, "name")))
	w.check("moved to where it is")
	w.incremental("a")
	w.all()
}
