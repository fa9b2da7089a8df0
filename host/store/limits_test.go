package store

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
)

// What one client asks for keeps nobody else from writing.

func TestManyNewPredicatesAtOnce(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), Groups: 3})
	const n = 20_001 // looking at all of them for each one takes minutes
	var m Mutation
	for i := range n {
		m.Set = append(m.Set, Edge{UID: 1, Predicate: pred(fmt.Sprint("p", i)), Value: text("x")})
	}
	mutate(t, s, m)
	in := map[uint32]int{}
	for _, p := range s.Schema() {
		if !p.Reserved() {
			in[p.Group]++
		}
	}
	for _, g := range s.State().Groups {
		if in[g] != n/3 {
			t.Errorf("group %d has %d predicates of %d, want a third", g, in[g], n)
		}
	}
	for _, i := range []int{0, 1, 2, n - 1} {
		if got := values(t, s, pred(fmt.Sprint("p", i)), 1); len(got) != 1 {
			t.Errorf("p%d: got %q, want one value", i, got)
		}
	}
}

func TestMoreNewPredicatesThanThereMayBe(t *testing.T) {
	fresh := map[dgraph.Predicate]*dgraph.PredicateSchema{}
	p := &prepared{schema: newSchema()}
	for i := range maxFresh + 1 {
		e := Edge{UID: 1, Predicate: pred(fmt.Sprint("p", i)), Value: text("x")}
		if err := p.prepareSet(&e, fresh); (err == nil) != (i < maxFresh) {
			t.Fatalf("the %dth: %v", i+1, err)
		}
	}
}

func TestAPredicateThatASchemaNamesTwiceIsInOneGroup(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), Groups: 2})
	a := dgraph.PredicateSchema{Predicate: pred("a"), Type: dgraph.ValueString}
	if err := s.Alter(t.Context(), []dgraph.PredicateSchema{a, a}, nil); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, db := range s.dbs.byGroup {
		txn := db.NewTransactionAt(s.State().MaxTs, false)
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: a.Predicate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Get(key); err == nil {
			found++
		}
		txn.Discard()
	}
	if found != 1 {
		t.Errorf("%d groups have the predicate, want 1", found)
	}
}

func TestTheHighestUIDLeavesSomeForNewNodes(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // and after a start
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		mutate(t, s, Mutation{Set: []Edge{{UID: maxGiven, Predicate: pred("name"), Value: text("the last one")}}})
		if _, err := s.Mutate(t.Context(), Mutation{Set: []Edge{{UID: maxUID, Predicate: pred("name"), Value: text("no")}}}); err == nil {
			t.Error("a uid was taken that nobody gave out")
		}
		uid, err := s.NewUIDs(1)
		if err != nil {
			t.Fatal(err)
		}
		mutate(t, s, Mutation{Set: []Edge{{UID: uid, Predicate: pred("name"), Value: text("new")}}})
		if got := values(t, s, pred("name"), uid); len(got) != 1 {
			t.Errorf("got %q, want one value", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyValuesOfOneListAreDeleted(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	const n = 20_000
	var set, del Mutation
	for i := range n {
		e := Edge{UID: 1, Predicate: pred("tags"), Value: text(fmt.Sprint("tag ", i))}
		set.Set = append(set.Set, e)
		if i%2 == 0 {
			del.Del = append(del.Del, e)
		}
	}
	mutate(t, s, set)
	mutate(t, s, del)
	if got := values(t, s, pred("tags"), 1); len(got) != n/2 {
		t.Errorf("%d values are left, want %d", len(got), n/2)
	}
}

// A list of which many values are deleted is read once, and what is held of all lists is bounded.
func TestListsAreHeld(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	large := strings.Repeat("x", 1<<20)
	for uid := range uint64(3 * maxHeld >> 21) {
		setText(t, s, pred("large"), uid+1, large)
	}
	r := s.reader()
	defer r.close()
	most, again := 0, 0
	for uid := range uint64(3 * maxHeld >> 21) {
		l := listKey{pred("large"), uid + 1}
		if _, ok, err := r.posting(l, dgraph.UntaggedUID); !ok || err != nil {
			t.Fatalf("uid %d: %v, %v", uid+1, ok, err)
		}
		if _, held := r.held[l]; !held || r.holds > maxHeld {
			t.Fatalf("uid %d: held %v, %d bytes in all", uid+1, held, r.holds)
		}
		if most = max(most, len(r.held)); len(r.held) == 1 {
			again++
		}
	}
	if most < 10 || again < 2 {
		t.Errorf("%d lists were held at most, from %d beginnings", most, again)
	}
}

// Clusters give out uids near the end of all that there are, and their databases are served, too.
func TestHighUIDs(t *testing.T) {
	const high = 0xfffd8d72745f0650
	s := openStore(t, Options{Dir: t.TempDir()})
	mutate(t, s, Mutation{Set: []Edge{{UID: high, Predicate: pred("name"), Value: text("high")}}})
	for range 2 {
		uid, err := s.NewUIDs(1)
		if err != nil || uid <= high {
			t.Fatalf("got %#x, %v", uid, err)
		}
		mutate(t, s, Mutation{Set: []Edge{{UID: uid, Predicate: pred("name"), Value: text("new")}}})
		if err := s.DropAttr(t.Context(), pred("other")); err != nil {
			t.Fatal(err)
		}
	}

	s.mu.Lock()
	s.uid, s.leased = math.MaxUint64, math.MaxUint64 // as after a restore of a node that has it
	s.mu.Unlock()
	if uid, err := s.NewUIDs(1); !errors.Is(err, ErrInvalid) {
		t.Errorf("after the last uid: %#x, %v", uid, err)
	}
	if err := s.DropAttr(t.Context(), pred("name")); !errors.Is(err, ErrInvalid) {
		t.Errorf("a drop that no node can tell of: %v", err)
	}
}

func TestManyPasswordsAtOnce(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	secret := dgraph.PredicateSchema{Predicate: pred("secret"), Type: dgraph.ValuePassword}
	if err := s.Alter(t.Context(), []dgraph.PredicateSchema{secret}, nil); err != nil {
		t.Fatal(err)
	}
	p := &prepared{schema: s.schema, hashes: MaxPasswords - 1}
	e := Edge{UID: 1, Predicate: secret.Predicate, Value: text("open sesame")}
	if err := p.prepareSet(&e, nil); err != nil {
		t.Errorf("the last one: %v", err)
	}
	e = Edge{UID: 2, Predicate: secret.Predicate, Value: text("open sesame")}
	if err := p.prepareSet(&e, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("one more: %v", err)
	}
}
