package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// Keys with a byte ff before their end are those that Badger drops badly: namespace 255,
// and names of 255 bytes.
func TestSequencesWithFF(t *testing.T) {
	t.Parallel()
	long := in(0, strings.Repeat("n", 255))
	w := newWorld(t, 2)
	write := func(what string) {
		for _, p := range []dgraph.Predicate{in(255, "name"), in(255, "nam"), in(0x1ff, "name"), in(0, "name"), long} {
			for uid := range uint64(5) {
				w.set(store.Edge{UID: uid + 1, Predicate: p, Value: textValue(fmt.Sprint(what, uid))})
			}
		}
	}
	step := func(change func()) {
		change()
		w.check("changed")
		w.incremental("a")
		w.set(store.Edge{UID: 2, Predicate: in(255, "name"), Value: textValue("later")}, store.Edge{UID: 9, Predicate: long, Value: textValue("later")})
		w.incremental("a")
		w.close()
		w.open()
		w.check("opened again")
	}
	write("first")
	w.backup("a", host.BackupRequest{})
	w.backup("b", host.BackupRequest{})
	other := func(p dgraph.Predicate) uint32 {
		w.adopt()
		return 3 - w.o.preds[p].group
	}
	step(func() { w.dropAttr(long) })
	step(func() { w.move(long, other(long)); w.move(in(255, "name"), other(in(255, "name"))) })
	step(func() { w.dropData(255) })
	step(func() { write("second"); w.dropAttr(in(255, "name")); write("third") })
	step(func() { w.move(long, other(long)); w.dropNamespace(255) })
	step(func() { write("fourth"); w.dropNamespace(0x1ff); w.dropData(0) })
	w.incremental("b")
	step(func() { write("fifth"); w.dropAll() })
	step(func() { write("sixth"); w.move(long, other(long)); w.dropData(0x1ff); w.move(long, other(long)) })
	w.incremental("b")
	w.all()
}

// A predicate that goes and comes back lands in another group; what its groups have of it
// in older backups must not be seen again.
func TestSequencesOfGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	p := in(0, "p")
	one := func(uid uint64, what string) {
		w.set(store.Edge{UID: uid, Predicate: p, Value: textValue(what)})
	}
	del := func(uid uint64) { w.del(store.Edge{UID: uid, Predicate: p, Star: true}) }
	move := func() { w.adopt(); w.move(p, w.o.preds[p].group%3+1) }
	for uid := range uint64(6) {
		one(uid+1, "first")
	}
	w.backup("a", host.BackupRequest{})
	w.backup("b", host.BackupRequest{})
	move()
	del(1)
	for range 70 {
		one(2, "hot")
	}
	del(2)
	move()
	w.incremental("a")
	move() // where it began
	w.incremental("a")
	w.incremental("b")
	w.dropAttr(p)
	one(3, "again")
	move()
	w.incremental("b")
	w.dropData(0)
	one(4, "again")
	move()
	move()
	move()
	w.incremental("a")
	w.dropAttr(p)
	w.set(store.Edge{UID: 1, Predicate: in(0, "q"), Value: textValue("q")}, store.Edge{UID: 1, Predicate: in(0, "r"), Value: textValue("r")})
	one(5, "in another group")
	w.incremental("a")
	w.incremental("b")
	w.replace(w.points[2])
	one(6, "replaced")
	w.incremental("b")
	move()
	del(3)
	w.incremental("a")
	w.dropNamespace(7)
	w.replace(w.points[len(w.points)-1])
	w.dropType(in(0, "T"))
	w.incremental("a")
	w.incremental("b")
	w.all()
}
