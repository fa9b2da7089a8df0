package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// A history is the life of a store between its backups, made up from a seed: everything
// that can happen to it, and two destinations that are used in turn. After each backup what
// it restores to is compared with the oracle.
//
//	BROCK_STORE_HISTORIES=5000   how many; 500 in CI, otherwise 100
//	BROCK_STORE_HISTORY=4711     only the one that a failure named
//
// In CI they are always the same ones, so that a failure tells of the change at hand;
// everywhere else they are new ones.
const (
	historiesEnv = "BROCK_STORE_HISTORIES"
	historyEnv   = "BROCK_STORE_HISTORY"
)

func TestHistories(t *testing.T) {
	if s := os.Getenv(historyEnv); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", historyEnv, err)
		}
		runHistory(t, seed)
		return
	}
	first, total := uint64(0), histories(t)
	if os.Getenv("CI") != "true" {
		first = rand.Uint64N(1e9) * 1e6
	}
	fmt.Fprintf(os.Stderr, "%d histories from seed %d on\n", total, first)
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprintf("shard%d", shard), func(t *testing.T) {
			t.Parallel()
			for n := shard; n < total; n += shards {
				seed := first + uint64(n)
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { runHistory(t, seed) })
			}
		})
	}
}

func histories(t *testing.T) int {
	t.Helper()
	n := 100
	switch {
	case os.Getenv("CI") == "true":
		n = 500
	case testing.Short():
		n = 20
	}
	if s := os.Getenv(historiesEnv); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s: %v", historiesEnv, err)
		}
	}
	return n
}

type history struct {
	*world
	r      *rand.Rand
	groups int
	every  int // a backup after about so many things
	begun  map[string]bool
	busy   bool // a backup is running
}

func runHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	h := &history{r: r, groups: 1 + r.IntN(3), every: 1 + r.IntN(12), begun: map[string]bool{}}
	h.world = newWorld(t, h.groups)
	if h.chance(3) {
		store.Small(&h.opt)
		h.reopen(false)
	}
	defer func() {
		if t.Failed() {
			t.Logf("replay it with %s=%d", historyEnv, seed)
		}
	}()
	h.describe()
	for range 2 + r.IntN(6) {
		for range 1 + r.IntN(2*h.every) {
			h.happen()
		}
		h.chapter()
		if t.Failed() {
			return
		}
	}
	h.close()
}

func (h *history) chance(n int) bool { return h.r.IntN(n) == 0 }

// chapter takes a backup, beside which something may happen, and restores it.
func (h *history) chapter() {
	at := []string{"a", "b"}[h.r.IntN(2)]
	full := !h.begun[at] || h.chance(8)
	var p point
	if !full && h.chance(4) {
		running := h.begin(at)
		h.busy = true
		for range 1 + h.r.IntN(4) {
			h.happen()
		}
		h.busy = false
		p = running.end(h.world)
	} else {
		p = h.backup(at, host.BackupRequest{ForceFull: full, Prove: h.chance(4)})
	}
	if p.Full != full {
		h.Errorf("backup %s to %s: full is %t, want %t", p.ID(), at, p.Full, full)
	}
	h.begun[at] = true
	h.restore(p, host.RestoreRequest{KeepVersions: h.chance(3)})
	if h.chance(6) {
		h.reborn(p)
	}
	if h.chance(3) {
		h.check("after a backup")
	}
}

// happen lets one thing happen.
func (h *history) happen() {
	switch n := h.r.IntN(100); {
	case n < 60:
		h.mutate(h.mutation())
	case n < 66:
		h.describe()
	case n < 71:
		h.dropAttr(h.pred())
	case n < 74:
		h.dropData(h.ns())
	case n < 76:
		h.dropAll()
	case n < 79:
		h.dropNamespace(historyNamespaces[1+h.r.IntN(2)])
	case n < 82:
		h.dropType(in(h.ns(), historyTypes[h.r.IntN(len(historyTypes))]))
	case n < 90:
		h.wander()
	case n < 96 && !h.busy:
		crash := h.chance(2)
		h.reopen(crash)
		h.check(fmt.Sprintf("opened again, after a crash: %t", crash))
	case n < 97:
		if _, err := h.s.NewUIDs(1 + h.r.IntN(5000)); err != nil {
			h.Fatal(err)
		}
	case n < 99 && !h.busy:
		if len(h.points) > 0 {
			h.goBack()
		}
	default:
		h.check("for no reason")
	}
}

// goBack restores some backup into the store.
func (h *history) goBack() {
	h.replace(h.points[h.r.IntN(len(h.points))])
	h.check("replaced")
}

// wander moves a predicate.
func (h *history) wander() {
	h.adopt()
	var known []dgraph.Predicate
	for p := range h.o.preds {
		if !p.Reserved() {
			known = append(known, p)
		}
	}
	if len(known) == 0 {
		return
	}
	slices.SortFunc(known, func(a, b dgraph.Predicate) int {
		if a.Namespace != b.Namespace {
			return int(a.Namespace) - int(b.Namespace)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	h.move(known[h.r.IntN(len(known))], uint32(1+h.r.IntN(h.groups)))
}

// What can be in a history. A predicate's kind follows from its name, so that what is
// written fits whether somebody has described it or not.
var (
	historyNamespaces = []uint64{0, 1, 0xab}
	historyTypes      = []string{"Person", "Thing"}
	historyPreds      = []string{"name", "tags", "age", "friend", "boss", "plain", "x"}
)

func (h *history) ns() uint64 {
	if h.chance(3) {
		return historyNamespaces[1+h.r.IntN(2)]
	}
	return 0
}

func (h *history) pred() dgraph.Predicate {
	return in(h.ns(), historyPreds[h.r.IntN(len(historyPreds))])
}

// describe alters some predicates and types of a namespace.
func (h *history) describe() {
	ns := h.ns()
	var preds []dgraph.PredicateSchema
	for _, name := range historyPreds {
		if p := historySchema(in(ns, name)); h.chance(2) && name != "plain" {
			known := h.o.preds[p.Predicate]
			p.List = p.List || known != nil && known.schema.List || name == "x" && h.chance(4) // never back
			p.Upsert, p.NoConflict, p.Count = h.chance(4), h.chance(6), h.chance(8)
			preds = append(preds, p)
		}
	}
	var types []dgraph.TypeSchema
	for _, name := range historyTypes {
		if h.chance(3) {
			t := dgraph.TypeSchema{Predicate: in(ns, name)}
			for _, p := range historyPreds {
				if h.chance(2) {
					t.Fields = append(t.Fields, p)
				}
			}
			types = append(types, t)
		}
	}
	if len(preds)+len(types) > 0 {
		h.alter(preds, types...)
	}
}

func historySchema(p dgraph.Predicate) dgraph.PredicateSchema {
	s := dgraph.PredicateSchema{Predicate: p, Type: dgraph.ValueString}
	switch p.Name {
	case "name":
		s.Lang = true
	case "tags":
		s.List = true
	case "age":
		s.Type = dgraph.ValueInt
	case "friend":
		s.Type, s.List = dgraph.ValueUID, true
	case "boss":
		s.Type = dgraph.ValueUID
	case "plain":
		s.Type = dgraph.ValueDefault
	}
	return s
}

// mutation is a transaction of a few edges.
func (h *history) mutation() (m store.Mutation) {
	for range 1 + h.r.IntN(4) {
		m.Set = append(m.Set, h.edge())
	}
	for range h.r.IntN(3) {
		e := h.edge()
		switch h.r.IntN(5) {
		case 0, 1:
			e = store.Edge{UID: e.UID, Predicate: e.Predicate, Star: true}
		case 2:
			if e.Predicate.Name == "name" {
				e = store.Edge{UID: e.UID, Predicate: e.Predicate, Star: true, Lang: "de"}
			}
		case 3:
			if h.chance(3) {
				e = store.Edge{UID: e.UID, Predicate: in(e.Predicate.Namespace, ""), Star: true}
			}
		}
		m.Del = append(m.Del, e)
	}
	if h.chance(6) {
		m.Set = nil
		if len(m.Del) == 0 {
			m.Del = append(m.Del, h.edge())
		}
	}
	return m
}

// edge is one that fits its predicate.
func (h *history) edge() store.Edge {
	e := store.Edge{UID: h.uid(), Predicate: h.pred()}
	known := h.o.preds[e.Predicate]
	switch e.Predicate.Name {
	case "name":
		e.Value = stringValue(h.text())
		// Without a description a first value makes no @lang.
		if known != nil && known.schema.Lang && h.chance(3) {
			e.Lang = []string{"de", "en", "zh-Hant"}[h.r.IntN(3)]
		}
	case "tags":
		if known == nil {
			e.Predicate.Name, e.Value = typePredicate, stringValue(historyTypes[h.r.IntN(2)])
			break
		}
		e.Value = stringValue(h.text())
	case "age":
		e.Value = intValue(int64(h.r.IntN(5)))
		if known != nil && h.chance(2) {
			e.Value = textValue(strconv.Itoa(h.r.IntN(5)))
		}
	case "friend":
		e.Object = h.uid()
	case "boss":
		if known == nil {
			e.Predicate.Name = "friend"
		}
		e.Object = h.uid()
	case "plain":
		e.Value = textValue(h.text())
	default:
		e.Value = stringValue(h.text())
	}
	return e
}

func (h *history) uid() uint64 {
	if h.chance(20) {
		return 1<<40 + uint64(h.r.IntN(3))
	}
	return 1 + uint64(h.r.IntN(12))
}

func (h *history) text() string {
	switch h.r.IntN(12) {
	case 0:
		return ""
	case 1:
		return "\x00\xff\n\"" + strconv.Itoa(h.r.IntN(3))
	case 2:
		return string(make([]byte, 5000))
	}
	return strconv.Itoa(h.r.IntN(6))
}
