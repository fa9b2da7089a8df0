package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/sdk"
)

// reopened is a store on what a kill leaves now.
func reopened(t *testing.T, dir string) *Store {
	t.Helper()
	return openStore(t, Options{Dir: asKilled(t, dir), small: true})
}

func setText(t *testing.T, s *Store, p dgraph.Predicate, uid uint64, value string) uint64 {
	t.Helper()
	return mutate(t, s, Mutation{Set: []Edge{{UID: uid, Predicate: p, Value: text(value)}}})
}

func wantValues(t *testing.T, s *Store, p dgraph.Predicate, uid uint64, want ...string) {
	t.Helper()
	if got := values(t, s, p, uid); !slices.Equal(got, want) {
		t.Errorf("%s at %#x is %q, want %q", p, uid, got, want)
	}
}

// A roll-up that waits for the committer while that waits for readers to go must not be
// one of them.
func TestAReplaceBesideARollUp(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), small: true})
	setText(t, s, pred("a"), 1, "old")
	key := must(dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: pred("a"), UID: 1}))
	waiting := func(n int) {
		for len(s.requests) < n {
			runtime.Gosched()
		}
	}
	busy, release := make(chan struct{}), make(chan struct{})
	replaced := make(chan error, 1)
	go func() {
		replaced <- s.Replace(t.Context(), func(ctx context.Context, dir string, version uint64) error {
			go s.exclusive(ctx, func() error {
				close(busy)
				<-release
				return nil
			})
			<-busy
			return os.CopyFS(dir, os.DirFS(otherDatabase(t, version)))
		})
	}()
	<-busy
	waiting(1) // that everything is swapped
	s.rolls <- roll{1, key}
	waiting(2) // that the list is written
	close(release)
	if err := <-replaced; err != nil {
		t.Fatal(err)
	}
	wantValues(t, s, pred("a"), 1)
	wantValues(t, s, pred("c"), 1, "new@")
}

// A backup that begins while everything is being replaced would have a timestamp that what
// comes then may be given again, and the next one would miss it.
func TestNoBackupBeginsDuringAReplace(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), small: true})
	err := s.Replace(t.Context(), func(ctx context.Context, dir string, version uint64) error {
		if src, err := s.Source(ctx, badgerdb.Options{}); !errors.Is(err, ErrDraining) {
			t.Errorf("got %v, %v", src, err)
		}
		return os.CopyFS(dir, os.DirFS(otherDatabase(t, version)))
	})
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Source(t.Context(), badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

func TestAReplaceThatIsGivenUpLeavesReadersAlone(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), small: true})
	setText(t, s, pred("a"), 1, "old")
	reads, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	ctx, cancel := context.WithCancel(t.Context())
	replaced := make(chan error, 1)
	go func() {
		replaced <- s.Replace(ctx, func(_ context.Context, dir string, version uint64) error {
			return os.CopyFS(dir, os.DirFS(otherDatabase(t, version)))
		})
	}()
	for { // until nobody new is let in
		v, err := s.View()
		if errors.Is(err, ErrDraining) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
	}
	cancel()
	if err := <-replaced; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantValues(t, s, pred("a"), 1, "old@")
	setText(t, s, pred("a"), 1, "new")
}

// What Badger refuses must be refused before it is in the log.
func TestWhatBadgerRefuses(t *testing.T) {
	deleted := dgraph.Predicate{Namespace: 5, Name: "a"}
	for name, change := range map[string]func(*Store) error{
		"drop data":      func(s *Store) error { return s.DropData(t.Context(), 5) },
		"drop predicate": func(s *Store) error { return s.DropAttr(t.Context(), deleted) },
		"type":           func(s *Store) error { return s.Alter(t.Context(), nil, []dgraph.TypeSchema{{Predicate: deleted}}) },
		"schema": func(s *Store) error {
			return s.Alter(t.Context(), []dgraph.PredicateSchema{{Predicate: deleted}}, nil)
		},
		"value": func(s *Store) error {
			_, err := s.Mutate(t.Context(), Mutation{Set: []Edge{{UID: 1, Predicate: deleted, Value: text("x")}}})
			return err
		},
		"long value": func(s *Store) error {
			_, err := s.Mutate(t.Context(), Mutation{Set: []Edge{{UID: 1, Predicate: pred("a"), Value: text(strings.Repeat("x", 2<<20))}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := must(Open(t.Context(), Options{Dir: dir, small: true}))
			if err := errors.Join(s.dbs.byGroup[1].BanNamespace(5), s.Close()); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, Options{Dir: dir, small: true})
			if err := change(s); !errors.Is(err, ErrInvalid) || len(err.Error()) > 200 {
				t.Errorf("got %.200q", err)
			}
			setText(t, s, pred("b"), 1, "later")
			wantValues(t, reopened(t, dir), pred("b"), 1, "later@")
		})
	}
}

func TestATransactionFromBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir, small: true}))
	began := setText(t, s, pred("a"), 1, "as read")
	setText(t, s, pred("a"), 1, "by somebody else")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, Options{Dir: dir, small: true})
	for began, want := range map[uint64]error{began: ErrConflict, s.State().MaxTs: nil} {
		_, err := s.Mutate(t.Context(), Mutation{StartTs: began, Set: []Edge{{UID: 1, Predicate: pred("a"), Value: text("on what was read")}}})
		if !errors.Is(err, want) {
			t.Errorf("begun at %d: %v, want %v", began, err, want)
		}
	}
}

// Badger cannot drop a prefix with a byte ff in it: the keys are deleted one by one.
// That must come to an end when it is done again at a start, after what was written since.
func TestADropIsRepeatedWhereKeysAreDeletedOneByOne(t *testing.T) {
	p := dgraph.Predicate{Namespace: 255, Name: "a"}
	for name, drop := range map[string]func(s *Store) error{
		"data":      func(s *Store) error { return s.DropData(t.Context(), 255) },
		"namespace": func(s *Store) error { return s.DropNamespace(t.Context(), 255) },
		"predicate": func(s *Store) error { return s.DropAttr(t.Context(), p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, Options{Dir: dir, small: true})
			setText(t, s, p, 1, "old")
			setText(t, s, p, 2, "old")
			if err := drop(s); err != nil {
				t.Fatal(err)
			}
			setText(t, s, p, 1, "new")
			s = reopened(t, dir)
			wantValues(t, s, p, 1, "new@")
			wantValues(t, s, p, 2)
		})
	}
}

// New parts of a long list let older ones go: without the list that points to them, there
// would be nothing left of it.
func TestARollUpIsWholeAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir, small: true}))
	err := s.Alter(t.Context(), []dgraph.PredicateSchema{{Predicate: pred("a"), Type: dgraph.ValueString, List: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func(from int) {
		for i := range 100 {
			setText(t, s, pred("a"), 1, fmt.Sprintf("%d %s", from+i, strings.Repeat("x", 10_000)))
		}
	}
	key := must(dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: pred("a"), UID: 1}))
	write(0)
	if err := s.rollUp(roll{1, key}); err != nil {
		t.Fatal(err)
	}
	write(100)
	s.opt.crash = func(step string) error { return errCrash }
	if err := s.rollUp(roll{1, key}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if err := s.Failure(); !errors.Is(err, errCrash) {
		t.Errorf("the failure is %v", err)
	}
	killed := asKilled(t, dir)
	_ = s.Close() // it has failed
	s = must(Open(t.Context(), Options{Dir: killed, small: true}))
	err = errors.Join(rotated(t, s), s.Close(), compacted(t, killed))
	if err != nil {
		t.Fatal(err)
	}
	s = openStore(t, Options{Dir: killed, small: true})
	if got := values(t, s, pred("a"), 1); len(got) != 200 {
		t.Errorf("%d values are left of 200", len(got))
	}
}

// rotated begins a file of the log.
func rotated(t *testing.T, s *Store) error {
	t.Helper()
	return s.exclusive(t.Context(), func() error {
		s.rotate()
		return nil
	})
}

// compacted lets go of all that no reader needs.
func compacted(t *testing.T, dir string) error {
	t.Helper()
	dbs, err := openDatabases(must(badgerdb.FindGroups(dir)), Options{Dir: dir, small: true, Logger: hclog.NewNullLogger()})
	if err != nil {
		return err
	}
	for _, db := range dbs.byGroup {
		db.SetDiscardTs(db.MaxVersion())
		err = errors.Join(err, db.Flatten(1))
	}
	return errors.Join(err, dbs.close())
}

func TestALogThatCannotBeginAFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, small: true})
	inTheWay := s.log.path(s.log.n + 1)
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	n := s.log.n
	if err := rotated(t, s); err != nil || s.log.n != n {
		t.Errorf("got %v, file %d", err, s.log.n)
	}
	setText(t, s, pred("a"), 1, "in the old file")
	if err := errors.Join(os.Remove(inTheWay), rotated(t, s)); err != nil || s.log.n != n+1 {
		t.Errorf("got %v, file %d", err, s.log.n)
	}
	setText(t, s, pred("b"), 1, "in the new one")
	s = reopened(t, dir)
	wantValues(t, s, pred("a"), 1, "in the old file@")
	wantValues(t, s, pred("b"), 1, "in the new one@")
}

// A move that is still in the log must not take what was written later to a predicate of
// that name, in the group that it left.
func TestAMoveThatIsRepeatedAfterTheNameIsUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, Groups: 2, small: true})
	setText(t, s, pred("a"), 1, "old")
	setText(t, s, pred("b"), 1, "other")
	group := func() uint32 { return s.schema.predicates[pred("a")].Group }
	from, full := group(), filepath.Join(s.logDir(), stateFile+".new")
	s.opt.crash = func(step string) error {
		if step == "leave" {
			return os.Mkdir(full, 0o700) // from now on the log cannot be shortened
		}
		return nil
	}
	if err := s.Move(t.Context(), pred("a"), 3-from); err != nil {
		t.Fatal(err)
	}
	if err := s.DropAttr(t.Context(), pred("a")); err != nil {
		t.Fatal(err)
	}
	setText(t, s, pred("a"), 1, "new")
	if group() != from {
		t.Fatalf("it is in group %d", group())
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	wantValues(t, reopened(t, dir), pred("a"), 1, "new@")
}

// An offline restore leaves the log where it is, which tells of another database.
func TestADatabaseThatWasReplacedOffline(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir, Groups: 2, small: true}))
	setText(t, s, pred("a"), 1, "old")
	if err := s.Took("series", 1, 2); err != nil {
		t.Fatal(err)
	}
	killed := asKilled(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace := func(dir string) {
		for _, p := range []string{"p1", "p2"} {
			if err := os.RemoveAll(filepath.Join(dir, p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(dir, os.DirFS(otherDatabase(t, 1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := Finished(filepath.Join(killed, "p2")); !errors.Is(err, badgerdb.ErrNotClosed) {
		t.Errorf("killed: %v", err)
	}
	if err := Finished(filepath.Join(dir, "p2")); err != nil {
		t.Errorf("closed: %v", err)
	}
	replace(killed)
	if err := Finished(filepath.Join(killed, "p2")); err != nil {
		t.Errorf("replaced: %v", err)
	}
	if s, err := Open(t.Context(), Options{Dir: killed, small: true}); !errors.Is(err, ErrDamaged) {
		t.Errorf("with a log that holds writes: %v, %v", s, err)
	}
	replace(dir)
	for range 2 {
		s = must(Open(t.Context(), Options{Dir: dir, small: true}))
		if s.HasTaken("series", 1, 2) {
			t.Error("an incremental backup could follow that of the replaced database")
		}
		wantValues(t, s, pred("a"), 1)
		wantValues(t, s, pred("c"), 1, "new@")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy of the groups alone leaves the log where it is, which tells of what came later.
func TestAnEarlierCopyThatWasPutBack(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir, small: true}))
	setText(t, s, pred("a"), 1, "old")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	group, copied := filepath.Join(dir, "p1"), t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(group)); err != nil {
		t.Fatal(err)
	}
	s = must(Open(t.Context(), Options{Dir: dir, small: true}))
	setText(t, s, pred("a"), 1, "new")
	if err := s.Took("series", 1, s.State().MaxTs); err != nil {
		t.Fatal(err)
	}
	readTs := s.State().MaxTs
	if err := errors.Join(s.Close(), os.RemoveAll(group), os.CopyFS(group, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, Options{Dir: dir, small: true})
	if s.HasTaken("series", 1, readTs) {
		t.Error("an incremental backup could follow one of what came later")
	}
	wantValues(t, s, pred("a"), 1, "old@")
}

func TestACrashWhileADatabaseGetsItsNextID(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir, Groups: 2, small: true}))
	setText(t, s, pred("a"), 1, "kept")
	if err := errors.Join(s.Took("series", 1, 2), s.Close()); err != nil {
		t.Fatal(err)
	}
	saved := must(s.readState())
	saved.Next = "NEXT"
	if err := errors.Join(s.saveState(*saved), os.WriteFile(filepath.Join(dir, "p2", idFile), []byte(saved.Next), 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = must(Open(t.Context(), Options{Dir: dir, small: true}))
		if !s.HasTaken("series", 1, 2) {
			t.Error("no incremental backup could follow")
		}
		wantValues(t, s, pred("a"), 1, "kept@")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	setText(t, openStore(t, Options{Dir: dir, small: true}), pred("a"), 1, "x")
}

func TestADiskThatIsFull(t *testing.T) {
	room := uint64(kept)
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, small: true, room: func(string) (uint64, error) { return room, nil }})
	setText(t, s, pred("a"), 1, "old")
	room--
	if _, err := s.Mutate(t.Context(), Mutation{Set: []Edge{{UID: 1, Predicate: pred("a"), Value: text("new")}}}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	src, err := s.Source(t.Context(), badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	wantValues(t, s, pred("a"), 1, "old@")
	if err := s.DropData(t.Context(), 0); err != nil {
		t.Error(err)
	}
	room++
	setText(t, s, pred("a"), 1, "new")
	wantValues(t, reopened(t, dir), pred("a"), 1, "new@")
}

func TestTheLogOfAnEncryptedDatabase(t *testing.T) {
	dir := t.TempDir()
	opt := Options{Dir: dir, EncryptionKey: sdk.NewSecret([]byte("0123456789abcdef")), small: true}
	s := openStore(t, opt)
	const value = "what nobody may read"
	setText(t, s, pred("a"), 1, value)
	setText(t, s, pred("a"), 2, value)
	opt.Dir = asKilled(t, dir)
	logs := must(filepath.Glob(filepath.Join(opt.Dir, logDir, "*.log")))
	if len(logs) != 1 {
		t.Fatal(logs)
	}
	b := must(os.ReadFile(logs[0]))
	if bytes.Contains(b, []byte(value)) {
		t.Error("the log holds values in the clear")
	}
	if _, err := (&log{seal: must(chacha20poly1305.NewX(make([]byte, 32)))}).read(logs[0], nil); !errors.Is(err, badgerdb.ErrKey) {
		t.Errorf("with another key: %v", err)
	}
	wantValues(t, openStore(t, opt), pred("a"), 2, value+"@")
}
