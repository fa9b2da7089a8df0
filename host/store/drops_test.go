package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk"
)

// A dropKind is one kind of drop: what it is, and what has to be described again before
// the same can be written as before.
type dropKind struct {
	drop  func(w *world)
	again func(w *world)
}

var dropKinds = map[string]dropKind{
	"ALL":  {(*world).dropAll, func(w *world) { w.people(0); w.people(other) }},
	"DATA": {func(w *world) { w.dropData(0) }, func(*world) {}},
	"ATTR": {func(w *world) { w.dropAttr(in(0, "name")); w.dropAttr(in(other, "friend")) }, func(w *world) { w.people(0); w.people(other) }},
	"TYPE": {func(w *world) { w.dropType(in(0, "Person")) }, func(w *world) { w.people(0) }},
	"NS":   {func(w *world) { w.dropNamespace(other) }, func(w *world) { w.people(other) }},
}

// eachDrop runs a story for every kind of drop, in one group and in three.
func eachDrop(t *testing.T, story func(w *world, k dropKind)) {
	t.Helper()
	for name, k := range dropKinds {
		for groups, suffix := range map[int]string{1: "", 3: "-groups"} {
			t.Run(name+suffix, func(t *testing.T) {
				t.Parallel()
				w := newPeople(t, groups)
				story(w, k)
				w.all()
			})
		}
	}
}

// all restores every backup that was taken, in both ways.
func (w *world) all() {
	w.Helper()
	for _, p := range w.points {
		w.restore(p, host.RestoreRequest{})
		w.restore(p, host.RestoreRequest{KeepVersions: true})
		w.reborn(p)
	}
}

// incremental takes a backup that must be the next of its series.
func (w *world) incremental(at string) point {
	w.Helper()
	p := w.backup(at, host.BackupRequest{})
	if p.Full {
		w.Errorf("backup %s is full", p.ID())
	}
	return p
}

// A drop between two backups takes what the first holds, and nothing that comes after it.
func TestDropBetweenBackups(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		w.backup("a", host.BackupRequest{})
		k.drop(w)
		w.check("dropped")
		k.again(w)
		w.addPeople(0, 3, 5, "new")
		w.addPeople(other, 7, 10, "new")
		w.check("written again")
		w.incremental("a")
		w.incremental("a") // an incremental in which the drop is old
	})
}

// A drop after which nothing is written is in the next backup.
func TestDropAndNothing(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		w.backup("a", host.BackupRequest{})
		k.drop(w)
		w.incremental("a")
		w.reopen(false)
		w.check("opened again")
		w.incremental("a")
	})
}

// Twice the same drop is as good as once.
func TestDropTwice(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		w.backup("a", host.BackupRequest{})
		k.drop(w)
		k.drop(w)
		w.check("dropped twice")
		k.again(w)
		w.addPeople(0, 3, 5, "between")
		w.addPeople(other, 3, 5, "between")
		k.drop(w)
		w.incremental("a")
		k.again(w)
		w.addPeople(0, 4, 4, "new")
		w.incremental("a")
	})
}

// What is dropped and made again in one increment is there, and nothing of what was.
func TestDropAndMadeAgain(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		w.backup("a", host.BackupRequest{})
		w.addPeople(0, 1, 3, "never in a backup")
		w.addPeople(other, 1, 3, "never in a backup")
		k.drop(w)
		k.again(w)
		w.addPeople(0, 2, 2, "new")
		w.addPeople(other, 2, 2, "new")
		w.incremental("a")
	})
}

// Of two destinations used in turn each gets the whole difference since its own last backup.
func TestDropTwoDestinations(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		w.backup("a", host.BackupRequest{})
		w.addPeople(0, 9, 9, "after a")
		w.backup("b", host.BackupRequest{})
		k.drop(w)
		w.incremental("a")
		k.again(w)
		w.addPeople(0, 2, 3, "new")
		w.addPeople(other, 2, 3, "new")
		w.incremental("b")
		k.drop(w)
		k.again(w)
		w.addPeople(other, 3, 4, "newer")
		w.incremental("a")
		w.addPeople(0, 3, 4, "newest")
		w.incremental("b")
		w.incremental("a")
	})
}

// A drop beside a running backup changes nothing in it, and is in the next one.
func TestDropWhileBackupRuns(t *testing.T) {
	eachDrop(t, func(w *world, k dropKind) {
		for range 2 { // a full backup, then an incremental
			w.addPeople(0, 1, 2, "of this round")
			w.addPeople(other, 1, 2, "of this round")
			running := w.begin("a")
			k.drop(w)
			w.check("dropped beside a backup")
			k.again(w)
			w.addPeople(0, 2, 3, "new")
			w.addPeople(other, 2, 3, "new")
			running.end(w)
		}
		w.incremental("a")
	})
}

// A drop of what never existed harms nothing, neither now nor in a restore.
func TestDropOfNothing(t *testing.T) {
	for name, drop := range map[string]func(w *world){
		"ATTR": func(w *world) { w.dropAttr(in(0, "nobody")); w.dropAttr(in(0x77, "name")) },
		"TYPE": func(w *world) { w.dropType(in(0, "Nobody")) },
		"DATA": func(w *world) { w.dropData(0x77) },
		"NS":   func(w *world) { w.dropNamespace(0x77) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPeople(t, 2)
			w.backup("a", host.BackupRequest{})
			drop(w)
			w.check("dropped")
			w.incremental("a")
			w.reopen(false)
			w.check("opened again")
			w.set(store.Edge{UID: 1, Predicate: in(0, "nobody"), Value: stringValue("is here now")})
			w.incremental("a")
			w.all()
		})
	}
}

// Records are those of Dgraph 23, one node each.
func TestDropRecords(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.dropAttr(in(0, "name"))
	w.dropAttr(in(other, "naïve-1"))
	w.dropAttr(in(0, "semi;colon"))
	w.dropData(other)
	w.dropNamespace(5)
	w.dropType(in(0, "Person"))
	w.check("five drops")
	v, err := w.s.View()
	w.must(err)
	defer v.Close()
	w.same("records", recordState(w, v, w.o), state{
		"0-dgraph.drop.op":  "DROP_ATTR;0-name | DROP_ATTR;0-semi;colon | DROP_NS;0x5",
		"1f-dgraph.drop.op": "DROP_DATA;0x1f",
	})
	w.dropData(0)
	w.check("its records are data of the namespace")
	w.dropAll()
	w.check("all")
	w.incrementalDrops([]dgraph.Drop{
		{Kind: dgraph.DropAttr, Predicate: in(0, "name")},
		{Kind: dgraph.DropData, Predicate: in(other, "")},
		{Kind: dgraph.DropNamespace, Predicate: in(5, "")},
	}, func() {
		w.people(0)
		w.dropAttr(in(0, "name"))
		w.dropData(other)
		w.dropNamespace(5)
	})
	w.incrementalDrops([]dgraph.Drop{{Kind: dgraph.DropAll}}, w.dropAll)
}

// incrementalDrops makes sure that a backup says of something that happens what it must.
func (w *world) incrementalDrops(want []dgraph.Drop, happens func()) {
	w.Helper()
	full := w.backup("a", host.BackupRequest{})
	happens()
	src, err := w.s.Source(w.Context(), badgerdb.Options{})
	w.must(err)
	defer src.Close()
	var got []string
	for _, g := range src.Groups() {
		drops, _, err := src.Drops(w.Context(), g, full.ReadTs)
		w.must(err)
		if len(drops) > 0 && g != 1 {
			w.Errorf("group %d has records", g)
		}
		for _, d := range drops {
			got = append(got, d.String())
		}
	}
	for _, d := range want {
		if s := d.String(); !strings.Contains(" "+strings.Join(got, " ")+" ", " "+s+" ") {
			w.Errorf("drops %q, want %s among them", got, s)
		}
	}
	if len(got) != len(want) {
		w.Errorf("drops %q, want %v", got, want)
	}
}

// The database's own records can be neither written nor dropped.
func TestDropRecordsAreReserved(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.dropAttr(in(0, "name"))
	ctx := w.Context()
	for _, ns := range []uint64{0, other} {
		p := in(ns, dgraph.DropPredicate)
		edge := store.Edge{UID: 1, Predicate: p, Value: stringValue("DROP_ALL;")}
		star := store.Edge{UID: 1, Predicate: p, Star: true}
		innocent := store.Edge{UID: 77, Predicate: in(ns, "age"), Value: intValue(1)}
		_, err := w.s.Mutate(ctx, store.Mutation{Set: []store.Edge{innocent, edge}})
		w.reserved("set", err)
		_, err = w.s.Mutate(ctx, store.Mutation{Set: []store.Edge{innocent}, Del: []store.Edge{star}})
		w.reserved("delete", err)
		w.reserved("drop", w.s.DropAttr(ctx, p))
		w.reserved("alter", w.s.Alter(ctx, []dgraph.PredicateSchema{{Predicate: p, Type: dgraph.ValueInt}}, nil))
		w.reserved("type", w.s.Alter(ctx, nil, []dgraph.TypeSchema{{Predicate: in(ns, "dgraph.graphql"), Fields: []string{"name"}}}))
		w.reserved("drop type", w.s.DropType(ctx, in(ns, "dgraph.graphql")))
		w.reserved("move", w.s.Move(ctx, p, 2))
	}
	w.check("nothing has changed")
}

// The schema of an export has the database's own predicates in it, and is taken.
func TestOwnPredicatesAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	text := "[0x99] <dgraph.type>:[string] @index(exact) .\n[0x99] <dgraph.drop.op>:string .\n"
	for _, p := range w.s.Schema() {
		text += p.Text() + "\n"
	}
	for _, x := range w.s.Types() {
		text += x.Text() + "\n"
	}
	before := len(w.s.Schema())
	predicates, types, err := dgraph.ParseSchemaText(0, text)
	w.must(err)
	w.must(w.s.Alter(w.Context(), predicates, types))
	if after := len(w.s.Schema()); after != before {
		t.Errorf("%d predicates were %d", after, before)
	}
	w.check("nothing has changed")
}

// A type that names the records lets nobody delete one with its node.
func TestDropRecordsAreInNoType(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.dropAttr(in(0, "name"))
	w.dropAttr(in(other, "name"))
	for _, ns := range []uint64{0, other} {
		err := w.s.Alter(w.Context(), nil, []dgraph.TypeSchema{{Predicate: in(ns, "Record"), Fields: []string{dgraph.DropPredicate}}})
		if errors.Is(err, store.ErrReserved) {
			continue
		}
		w.must(err)
		v, err := w.s.View()
		w.must(err)
		for uid, err := range v.UIDs(in(ns, dgraph.DropPredicate)) {
			w.must(err)
			w.set(store.Edge{UID: uid, Predicate: in(ns, typePredicate), Value: stringValue("Record")})
			w.del(store.Edge{UID: uid, Predicate: in(ns, ""), Star: true})
		}
		v.Close()
		w.o.types[in(ns, "Record")] = []string{dgraph.DropPredicate}
	}
	w.check("the records are there")
}

func (w *world) reserved(what string, err error) {
	w.Helper()
	if !errors.Is(err, store.ErrReserved) {
		w.Errorf("%s: %v, want ErrReserved", what, err)
	}
}

// A held is a backup that waits in the middle.
type held struct {
	point
	gate *gate
	src  *badgerdb.Source
	done chan error
	res  *host.BackupResult
}

// begin starts a backup that has begun to read and waits before it stores anything.
func (w *world) begin(at string) *held {
	w.Helper()
	src, err := w.s.Source(w.Context(), badgerdb.Options{})
	w.must(err)
	b := &held{point: w.point(at), src: src, done: make(chan error, 1)}
	b.gate = &gate{Destination: w.location(at).Destination, reached: make(chan struct{}), open: make(chan struct{})}
	to := host.Location{URI: "memory:" + at, Destination: b.gate}
	ctx := w.Context()
	go func() {
		var err error
		b.res, err = w.e.Backup(ctx, host.BackupRequest{Source: src, To: to})
		b.done <- err
	}()
	select {
	case <-b.gate.reached:
	case err := <-b.done:
		w.Fatalf("the backup ended before it stored anything: %v", err)
	}
	w.tell("= a backup to %s has begun at %d", at, src.ReadTs())
	return b
}

// end lets the backup end.
func (b *held) end(w *world) point {
	w.Helper()
	close(b.gate.open)
	w.must(<-b.done)
	w.must(b.src.Close())
	return w.took(b.point, b.res)
}

// A gate is a destination whose first Put waits until it is opened.
type gate struct {
	sdk.Destination
	reached chan struct{}
	open    chan struct{}
	passed  bool
}

func (g *gate) Put(ctx context.Context, name string, r io.Reader) error {
	if !g.passed {
		g.passed = true
		close(g.reached)
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.Destination.Put(ctx, name, r)
}

// Replace is there because the memory below has it.
func (g *gate) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	return g.Destination.(sdk.Replacer).Replace(ctx, name, r, version)
}

// Version belongs to Replace.
func (g *gate) Version(ctx context.Context, name string) (string, error) {
	return g.Destination.(sdk.Replacer).Version(ctx, name)
}

// What an export of a restored backup shows is what Dgraph's would of the same data.
func TestDropAndExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.alter([]dgraph.PredicateSchema{
		{Predicate: in(0, "name"), Type: dgraph.ValueString, Lang: true},
		{Predicate: in(0, "friend"), Type: dgraph.ValueUID, List: true},
	})
	name := func(uid uint64, s, lang string) store.Edge {
		return store.Edge{UID: uid, Predicate: in(0, "name"), Value: stringValue(s), Lang: lang}
	}
	w.set(name(1, "Alice", ""), name(1, "Алиса", "ru"), store.Edge{UID: 1, Predicate: in(0, "friend"), Object: 2}, name(2, "Bob", ""))
	w.backup("a", host.BackupRequest{})
	w.dropAttr(in(0, "friend"))
	w.set(name(2, "Robert", ""), store.Edge{UID: 2, Predicate: in(0, "friend"), Object: 1})
	w.del(name(1, "Алиса", "ru"))
	p := w.incremental("a")
	for n, want := range []string{
		`<0x1> <friend> <0x2> <0x0> .
<0x1> <name> "Alice"^^<xs:string> <0x0> .
<0x1> <name> "Алиса"@ru <0x0> .
<0x2> <name> "Bob"^^<xs:string> <0x0> .
`,
		`<0x1> <name> "Alice"^^<xs:string> <0x0> .
<0x2> <friend> <0x1> <0x0> .
<0x2> <name> "Robert"^^<xs:string> <0x0> .
`,
	} {
		var got bytes.Buffer
		_, err := w.e.Export(w.Context(), host.ExportRequest{From: w.location("a"), Series: p.Series, Number: n + 1, Sort: true, Data: &got})
		w.must(err)
		if got.String() != want {
			w.Errorf("backup %d:\n%swant\n%s", n+1, got.String(), want)
		}
	}
}

// Records of earlier drops that a drop of data leaves where they are, are no difference between
// the database and what is restored of it.
func TestADropOfDataAfterOneOfANamespaceIsProved(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.dropNamespace(other)
	w.backup("a", host.BackupRequest{})
	w.dropData(0)
	w.addPeople(0, 1, 3, "new")
	w.backup("a", host.BackupRequest{Prove: true})
	report, err := w.e.Verify(w.Context(), host.VerifyRequest{From: w.location("a"), Mode: host.VerifyRestore})
	w.must(err)
	if !report.OK() || !report.Proved {
		w.Errorf("%+v", report)
	}
}
