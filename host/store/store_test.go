package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
)

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func text(s string) dgraph.Value { return dgraph.Value{Type: dgraph.ValueDefault, Data: []byte(s)} }

func pred(name string) dgraph.Predicate { return dgraph.Predicate{Name: name} }

func mutate(t *testing.T, s *Store, m Mutation) uint64 {
	t.Helper()
	ts, err := s.Mutate(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// values returns the values of a list as text.
func values(t *testing.T, s *Store, p dgraph.Predicate, uid uint64) []string {
	t.Helper()
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	postings, err := v.Postings(p, uid)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range postings {
		out = append(out, string(p.Value.Data)+"@"+p.Lang)
	}
	return out
}

func TestWritesSurviveAReopening(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Groups: 2})
	if err != nil {
		t.Fatal(err)
	}
	mutate(t, s, Mutation{Set: []Edge{
		{UID: 1, Predicate: pred("name"), Value: text("Alice")},
		{UID: 1, Predicate: pred("name"), Value: text("Алиса"), Lang: "ru"},
		{UID: 1, Predicate: pred("knows"), Object: 2},
		{UID: 2, Predicate: pred("name"), Value: text("Bob")},
	}})
	mutate(t, s, Mutation{Set: []Edge{{UID: 1, Predicate: pred("name"), Value: text("Alicia")}}, Del: []Edge{{UID: 2, Predicate: pred("name"), Star: true}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, Options{Dir: dir})
	if got, want := values(t, s, pred("name"), 1), []string{"Алиса@ru", "Alicia@"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := values(t, s, pred("name"), 2); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	if got := s.State(); len(got.Groups) != 2 || got.MaxUID < 2 {
		t.Errorf("got %+v", got)
	}
}

// A type that shows what is hashed, or hides what is not, is none that a predicate with data can get.
func TestTypesThatPredicatesWithDataCannotGet(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	for _, c := range []struct {
		from, to string
		value    Edge
		want     bool
	}{
		{"password", "string", Edge{Value: text("open sesame")}, false},
		{"string", "password", Edge{Value: text("open sesame")}, false},
		{"password", "uid", Edge{Value: text("open sesame")}, false},
		{"uid", "string", Edge{Object: 2}, false},
		{"[string]", "string", Edge{Value: text("a")}, false},
		{"string", "[string]", Edge{Value: text("a")}, true},
		{"string", "int", Edge{Value: text("1")}, true},
		{"uid", "[uid]", Edge{Object: 2}, true},
	} {
		alter := func(to string) error {
			p, _, err := dgraph.ParseSchemaText(0, "p: "+to+" .")
			if err != nil {
				t.Fatal(err)
			}
			return s.Alter(t.Context(), p, nil)
		}
		if err := errors.Join(alter(c.from), alter(c.to), alter(c.from)); err != nil {
			t.Errorf("%s to %s without data: %v", c.from, c.to, err)
		}
		c.value.UID, c.value.Predicate = 1, pred("p")
		mutate(t, s, Mutation{Set: []Edge{c.value}})
		if err := alter(c.to); (err == nil) != c.want || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if err := s.DropAttr(t.Context(), pred("p")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADropIsRecorded(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	mutate(t, s, Mutation{Set: []Edge{{UID: 1, Predicate: pred("name"), Value: text("Alice")}, {UID: 1, Predicate: pred("age"), Value: text("3")}}})
	before, err := s.Source(t.Context(), badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := s.DropAttr(t.Context(), pred("name")); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s, pred("name"), 1); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	if got := values(t, s, pred("age"), 1); len(got) != 1 {
		t.Errorf("got %q, want one", got)
	}
	src, err := s.Source(t.Context(), badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	drops, _, err := src.Drops(t.Context(), 1, before.ReadTs())
	if err != nil || len(drops) != 1 || drops[0].Kind != dgraph.DropAttr || drops[0].Name != "name" {
		t.Errorf("got %v, %v", drops, err)
	}
	preds, err := before.Predicates(1)
	if err != nil || !slices.Contains(preds, pred("name")) {
		t.Errorf("what was opened before shows %v, %v", preds, err)
	}
}

func TestWhatIsNoDatabaseIsLeftAlone(t *testing.T) {
	several := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: several, Groups: 2, small: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "file"), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(plain).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "l"} {
		if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(key), []byte("v")) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]error{
		filepath.Join(several, "p1"):   ErrInvalid, // one of two groups
		filepath.Join(foreign, "file"): ErrInvalid,
		foreign:                        badgerdb.ErrNotBadger,
		plain:                          ErrInvalid,
	} {
		s, err := Open(t.Context(), Options{Dir: dir})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", dir, err, want)
		}
		if err == nil {
			s.Close()
		}
		if _, err := os.Lstat(filepath.Join(dir, logDir)); err == nil {
			t.Errorf("%s: a log was left behind", dir)
		}
	}
}
