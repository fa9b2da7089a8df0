package store_test

import (
	"fmt"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// other is a namespace whose number needs hex.
const other = 0x1f

func in(ns uint64, name string) dgraph.Predicate {
	return dgraph.Predicate{Namespace: ns, Name: name}
}

// people describes persons in a namespace.
func (w *world) people(ns uint64) {
	w.Helper()
	w.alter([]dgraph.PredicateSchema{
		{Predicate: in(ns, "name"), Type: dgraph.ValueString, Lang: true},
		{Predicate: in(ns, "age"), Type: dgraph.ValueInt},
		{Predicate: in(ns, "tags"), Type: dgraph.ValueString, List: true},
		{Predicate: in(ns, "friend"), Type: dgraph.ValueUID, List: true, Reverse: true},
		{Predicate: in(ns, "boss"), Type: dgraph.ValueUID},
		{Predicate: in(ns, "naïve-1"), Type: dgraph.ValueFloat},
	}, dgraph.TypeSchema{Predicate: in(ns, "Person"), Fields: []string{"name", "age", "friend"}})
}

// person writes everything that a person can have; what says which version it is.
func person(ns, uid uint64, what string) store.Mutation {
	value := func(name string, v dgraph.Value) store.Edge {
		return store.Edge{UID: uid, Predicate: in(ns, name), Value: v}
	}
	name := value("name", stringValue(what))
	de := name
	de.Value, de.Lang = stringValue(what+" auf deutsch"), "de"
	return store.Mutation{Set: []store.Edge{
		name, de,
		value("age", textValue(fmt.Sprint(uid))),
		value("tags", stringValue(what)), value("tags", stringValue("all")),
		value("naïve-1", intValue(int64(uid))),
		value(typePredicate, stringValue("Person")),
		{UID: uid, Predicate: in(ns, "friend"), Object: uid + 1},
		{UID: uid, Predicate: in(ns, "friend"), Object: 1 << 40},
		{UID: uid, Predicate: in(ns, "boss"), Object: uid + 2},
	}}
}

func (w *world) addPeople(ns, first, last uint64, what string) {
	w.Helper()
	for uid := first; uid <= last; uid++ {
		w.mutate(person(ns, uid, what))
	}
}

// newPeople is a world with people in two namespaces.
func newPeople(t testing.TB, groups int) *world {
	t.Helper()
	w := newWorld(t, groups)
	for _, ns := range []uint64{0, other} {
		w.people(ns)
		w.addPeople(ns, 1, 8, "old")
	}
	w.spread()
	w.check("at the beginning")
	return w
}

// spread makes sure that predicates live in more than one group, if there are several.
func (w *world) spread() {
	w.Helper()
	w.adopt()
	groups := w.s.State().Groups
	for i, name := range []string{"name", "age", "tags", "friend", "boss"} {
		for _, ns := range []uint64{0, other} {
			to := groups[(i+int(ns&1))%len(groups)]
			if p := w.o.preds[in(ns, name)]; p != nil && p.group != to {
				w.move(in(ns, name), to)
			}
		}
	}
}
