package store_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/store"
)

// Drops and moves beside many writers to the same few lists, which are rolled up all the
// time, take what was committed before them and nothing else.
func TestDropsBesideHotLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	p := in(0, "friend")
	var mu sync.Mutex
	var happened []happening
	note := func(ts uint64, do func(o *oracle)) {
		mu.Lock()
		defer mu.Unlock()
		happened = append(happened, happening{ts, do})
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 8 {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		writers.Go(func() {
			for ctx.Err() == nil {
				e := store.Edge{UID: 1 + r.Uint64N(3), Predicate: p, Object: 1 + r.Uint64N(200)}
				m := store.Mutation{Set: []store.Edge{e}}
				if r.IntN(4) == 0 {
					m = store.Mutation{Del: m.Set}
				}
				ts, err := w.s.Mutate(context.WithoutCancel(ctx), m)
				if err != nil {
					t.Error(err)
					return
				}
				note(ts, func(o *oracle) { o.apply(m) })
			}
		})
	}
	var views []happening
	for n := range 60 {
		if n%3 == 2 {
			// It may have been dropped and not be there yet again.
			_ = w.s.Move(t.Context(), p, uint32(1+n%2))
		} else {
			w.must(w.s.DropAttr(t.Context(), p))
			src, err := w.s.Source(t.Context(), badgerdb.Options{})
			w.must(err)
			tr, err := readTraces(src)
			w.must(err)
			w.must(src.Close())
			note(tr.drop, func(o *oracle) { o.dropAttr(p) })
		}
		v, err := w.s.View()
		w.must(err)
		got := viewState(w, v, names(w.s, w.o))
		views = append(views, happening{v.ReadTs(), func(o *oracle) { w.same(fmt.Sprintf("view %d", n), got, o.data()) }})
		v.Close()
	}
	stop()
	writers.Wait()
	slices.SortFunc(happened, func(a, b happening) int { return cmp.Compare(a.ts, b.ts) })
	for _, h := range happened {
		for len(views) > 0 && views[0].ts < h.ts {
			views[0].do(w.o)
			views = views[1:]
		}
		h.do(w.o)
	}
	w.check("at the end")
	w.reopen(true)
	w.check("opened after a crash")
}
