package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// A restore in place is a drop of all and then data, for every destination.
func TestReplace(t *testing.T) {
	for _, groups := range []int{1, 3} {
		w := newPeople(t, groups)
		first := w.backup("a", host.BackupRequest{})
		w.dropAttr(in(0, "name"))
		w.addPeople(0, 3, 12, "new")
		w.incremental("a")
		w.backup("b", host.BackupRequest{})
		w.addPeople(other, 20, 30, "in no backup")
		uid, err := w.s.NewUIDs(10)
		w.must(err)

		w.replace(first)
		w.check("replaced")
		again, err := w.s.NewUIDs(1)
		w.must(err)
		if again < uid+10 {
			w.Errorf("uid %#x after %#x: it was given out before", again, uid+10)
		}
		w.incremental("a")
		w.addPeople(0, 1, 2, "after the restore")
		w.dropData(other)
		w.incremental("a")
		w.incremental("b")
		w.reopen(false)
		w.check("opened again")
		w.incremental("b")

		w.replace(w.points[1]) // and back to a later state, of a chain
		w.check("replaced again")
		w.addPeople(0, 1, 2, "after the second")
		w.incremental("b")
		w.incremental("a")
		w.all()
	}
}

// A restore that fails leaves everything as it was, and writes are allowed again.
func TestReplaceThatFails(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	full := w.backup("a", host.BackupRequest{})
	sick := errors.New("sick")
	err := w.s.Replace(w.Context(), func(ctx context.Context, dir string, version uint64) error {
		if !w.s.Draining() {
			w.Error("not draining")
		}
		_, err := w.s.Mutate(ctx, person(0, 1, "refused"))
		if !errors.Is(err, store.ErrDraining) {
			w.Errorf("a write while it is replaced: %v", err)
		}
		w.check("reads go on")
		if _, err := w.e.Restore(ctx, host.RestoreRequest{From: w.location("a"), Series: full.Series, Postings: dir, Version: version}); err != nil {
			return err
		}
		return sick
	})
	if !errors.Is(err, sick) {
		w.Fatal(err)
	}
	if w.s.Draining() {
		w.Error("still draining")
	}
	w.check("as it was")

	ctx, cancel := context.WithCancel(w.Context())
	err = w.s.Replace(ctx, func(ctx context.Context, _ string, _ uint64) error {
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		w.Error(err)
	}
	// What is no database is refused.
	err = w.s.Replace(w.Context(), func(_ context.Context, dir string, _ uint64) error {
		p1 := filepath.Join(dir, "p1")
		return errors.Join(os.MkdirAll(p1, 0o700), os.WriteFile(filepath.Join(p1, "MANIFEST"), []byte("nonsense"), 0o600))
	})
	if err == nil {
		w.Error("nonsense was taken for a database")
	}
	w.check("as it was")
	w.addPeople(0, 5, 6, "new")
	w.incremental("a")
	w.reopen(false)
	w.check("opened again")
	w.all()
}

// A restore in place waits for a backup that is running, which shows what was there before.
func TestReplaceWhileBackupRuns(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	first := w.backup("a", host.BackupRequest{})
	w.addPeople(0, 3, 12, "new")
	running := w.begin("a")
	restored, replaced := make(chan struct{}), make(chan error)
	go func() {
		replaced <- w.s.Replace(w.Context(), func(ctx context.Context, dir string, version uint64) error {
			defer close(restored)
			_, err := w.e.Restore(ctx, host.RestoreRequest{From: w.location("a"), Series: first.Series, Number: 1, Postings: dir, Version: version})
			return err
		})
	}()
	<-restored
	running.end(w)
	w.must(<-replaced)
	w.o = first.oracle.clone()
	w.o.records = nil
	w.check("replaced")
	w.addPeople(0, 4, 5, "after")
	w.incremental("a")
	w.all()
}

// Reads and writes are refused or right at every moment of a life that ends.
func TestClosed(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 1)
	s := w.s
	w.close()
	ctx := w.Context()
	_, mutate := s.Mutate(ctx, person(0, 1, "x"))
	_, view := s.View()
	_, source := s.Source(ctx, badgerdb.Options{})
	_, uids := s.NewUIDs(1)
	for what, err := range map[string]error{
		"mutate": mutate, "view": view, "source": source, "uids": uids,
		"drop": s.DropAll(ctx), "move": s.Move(ctx, in(0, "name"), 1), "alter": s.Alter(ctx, []dgraph.PredicateSchema{{Predicate: in(0, "x")}}, nil),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	w.open()
	w.check("opened again")
}
