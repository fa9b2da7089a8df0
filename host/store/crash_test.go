package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
)

var errCrash = errors.New("crash")

// crashAt ends things at the n-th step that a store comes to, and from then on.
func crashAt(n int, steps *[]string) func(string) error {
	return func(step string) error {
		*steps = append(*steps, step)
		if len(*steps) > n {
			return errCrash
		}
		return nil
	}
}

// asKilled copies a directory as a killed process would leave it.
func asKilled(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := t.TempDir()
		switch err := os.CopyFS(to, os.DirFS(dir)); {
		case errors.Is(err, fs.ErrNotExist): // what was there has been renamed
		case err != nil:
			t.Fatal(err)
		default:
			return to
		}
	}
}

// each runs a change with a crash at each of its steps, and looks at what the next start
// makes of it.
func eachCrash(t *testing.T, change func(*Store) error, check func(t *testing.T, s *Store)) {
	for n := 0; ; n++ {
		var steps []string
		dir := t.TempDir()
		s, err := Open(t.Context(), Options{Dir: dir, Groups: 2, small: true})
		if err != nil {
			t.Fatal(err)
		}
		for uid := range uint64(20) {
			mutate(t, s, Mutation{Set: []Edge{
				{UID: uid + 1, Predicate: pred("a"), Value: text(fmt.Sprint("a", uid))},
				{UID: uid + 1, Predicate: pred("b"), Value: text(fmt.Sprint("b", uid))},
			}})
		}
		s.opt.crash = crashAt(n, &steps)
		err = change(s)
		killed := asKilled(t, dir)
		s.opt.crash = nil
		_ = s.Close() // it may have failed
		if err == nil {
			if n == 0 {
				t.Error("there was no step to crash at")
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: %v", n, err)
		}
		t.Run(fmt.Sprintf("%d %s", n, steps[n]), func(t *testing.T) {
			check(t, openStore(t, Options{Dir: killed, small: true}))
		})
	}
}

func recordsOf(t *testing.T, s *Store) (out []string) {
	t.Helper()
	src, err := s.Source(t.Context(), badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	drops, _, err := src.Drops(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drops {
		out = append(out, d.String())
	}
	return out
}

func TestADropIsCompletedAfterACrash(t *testing.T) {
	eachCrash(t, func(s *Store) error { return s.DropAttr(t.Context(), pred("a")) }, func(t *testing.T, s *Store) {
		if got := values(t, s, pred("a"), 1); got != nil {
			t.Errorf("a is %q", got)
		}
		if got := values(t, s, pred("b"), 20); !slices.Equal(got, []string{"b19@"}) {
			t.Errorf("b is %q", got)
		}
		if got := recordsOf(t, s); len(got) != 1 {
			t.Errorf("the records are %q", got)
		}
	})
}

func TestAMoveIsCompletedAfterACrash(t *testing.T) {
	eachCrash(t, func(s *Store) error {
		for _, p := range s.Schema() {
			if p.Name == "a" {
				return s.Move(t.Context(), p.Predicate, 3-p.Group)
			}
		}
		return errors.New("no predicate a")
	}, func(t *testing.T, s *Store) {
		for uid := range uint64(20) {
			if got, want := values(t, s, pred("a"), uid+1), []string{fmt.Sprint("a", uid, "@")}; !slices.Equal(got, want) {
				t.Errorf("a is %q, want %q", got, want)
			}
		}
		src, err := s.Source(t.Context(), badgerdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		owners := 0
		for _, g := range src.Groups() {
			preds, err := src.Predicates(g)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(preds, pred("a")) {
				owners++
			}
		}
		if owners != 1 {
			t.Errorf("%d groups own a", owners)
		}
	})
}

func TestAReplaceIsCompletedOrUndoneAfterACrash(t *testing.T) {
	fresh := func(_ context.Context, dir string, version uint64) error {
		return os.CopyFS(dir, os.DirFS(otherDatabase(t, version)))
	}
	eachCrash(t, func(s *Store) error { return s.Replace(t.Context(), fresh) }, func(t *testing.T, s *Store) {
		a, c := values(t, s, pred("a"), 1), values(t, s, pred("c"), 1)
		switch records := recordsOf(t, s); {
		case slices.Equal(a, []string{"a0@"}) && c == nil && len(records) == 0:
		case a == nil && slices.Equal(c, []string{"new@"}) && len(records) == 1:
		default:
			t.Errorf("a is %q, c is %q, the records are %q", a, c, records)
		}
		mutate(t, s, Mutation{Set: []Edge{{UID: 1, Predicate: pred("d"), Value: text("later")}}})
	})
}

// otherDatabase makes a database with one predicate, at a version.
func otherDatabase(t *testing.T, version uint64) string {
	t.Helper()
	dir := t.TempDir()
	p := dgraph.PredicateSchema{Predicate: pred("c"), Type: dgraph.ValueString}
	for g := range uint32(2) {
		w, err := badgerdb.Create(filepath.Join(dir, fmt.Sprintf("p%d", g+1)), badgerdb.WriterOptions{Group: g + 1, Kind: "dgraph"})
		if err != nil {
			t.Fatal(err)
		}
		if g == 0 {
			list := dgraph.AppendDelta(nil, []dgraph.Posting{{UID: dgraph.UntaggedUID, Kind: dgraph.PostingValue, Value: dgraph.Value{Type: dgraph.ValueString, Data: []byte("new")}}}, version, version)
			for _, e := range []struct {
				k     dgraph.Key
				value []byte
				meta  byte
			}{
				{dgraph.Key{Kind: dgraph.KeyData, Predicate: p.Predicate, UID: 1}, list, dgraph.MetaDelta},
				{dgraph.Key{Kind: dgraph.KeySchema, Predicate: p.Predicate}, must(p.AppendUpdate(nil, dgraph.FormV23)), dgraph.MetaSchema},
			} {
				if err := w.Write(must(dgraph.AppendKey(nil, dgraph.LayoutV21, &e.k)), e.value, e.meta, 0, version, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestALogThatEndsInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, small: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(10) {
		mutate(t, s, Mutation{Set: []Edge{{UID: i + 1, Predicate: pred("a"), Value: text("whole")}}})
	}
	killed := asKilled(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(killed, logDir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	last := logs[len(logs)-1]
	f, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{200, 1, 0, 0, 9, 9, 9, 9, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds nothing of it
		s := must(Open(t.Context(), Options{Dir: killed, small: true}))
		if got := values(t, s, pred("a"), 10); !slices.Equal(got, []string{"whole@"}) {
			t.Errorf("got %q", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALogThatAKillLeftEmptyIsNoObstacle(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, small: true})
	if err != nil {
		t.Fatal(err)
	}
	mutate(t, s, Mutation{Set: []Edge{{UID: 1, Predicate: pred("a"), Value: text("kept")}}})
	killed := asKilled(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00077.mem", "000077.vlog"} {
		if err := os.WriteFile(filepath.Join(killed, "p1", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := values(t, openStore(t, Options{Dir: killed, small: true}), pred("a"), 1), []string{"kept@"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A restore makes its directories beside what it makes: hundreds of gigabytes, maybe.
func TestWhatAKilledReplaceHasMadeGoes(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), small: true})
	setText(t, s, pred("a"), 1, "old")
	var killed string
	err := s.Replace(t.Context(), func(_ context.Context, dir string, _ uint64) error {
		if err := os.Mkdir(filepath.Join(filepath.Dir(dir), "half-made"), 0o700); err != nil {
			return err
		}
		killed = asKilled(t, s.opt.Dir)
		return errCrash
	})
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	wantValues(t, openStore(t, Options{Dir: killed, small: true}), pred("a"), 1, "old@")
	for _, dir := range []string{s.opt.Dir, killed} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Base(path) == "half-made" {
				t.Errorf("%s is there", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
