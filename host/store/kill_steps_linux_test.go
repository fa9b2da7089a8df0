package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host"

	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A store that is killed before any step of something that has several has done all of it
// at the next start, or nothing; and the next backup holds what is there then.
func TestKillAtEveryStep(t *testing.T) {
	for name, do := range map[string]func(w *world){
		"ALL":     func(w *world) { w.dropAll() },
		"DATA":    func(w *world) { w.dropData(0) },
		"ATTR":    func(w *world) { w.dropAttr(in(other, "friend")) },
		"NS":      func(w *world) { w.dropNamespace(other) },
		"move":    func(w *world) { w.away(in(0, "name")) },
		"replace": func(w *world) { w.replace(w.points[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPeople(t, 2)
			w.backup("a", host.BackupRequest{})
			w.dropAttr(in(0, "tags"))
			w.addPeople(0, 3, 5, "new")
			w.incremental("a")
			w.addPeople(other, 7, 10, "newer")

			w.close()
			var steps []string
			var hook func(step string) error
			store.CrashAt(&w.opt, func(step string) error { return hook(step) })
			hook = func(string) error { return nil }
			w.open()
			before, copies := w.o.clone(), w.dir()
			hook = func(step string) error {
				to := filepath.Join(copies, fmt.Sprint(len(steps)))
				steps = append(steps, step)
				return asKilled(w.opt.Dir, to)
			}
			do(w)
			w.must(hook("done"))
			hook = func(string) error { return nil }
			done := 0
			for n, step := range steps {
				dir := filepath.Join(copies, fmt.Sprint(n))
				if w.survives(fmt.Sprintf("%d, before %s", n, step), dir, before, w.o) {
					done++
				}
			}
			t.Logf("steps %q: %d completed", steps, done)
			if len(steps) < 3 || done == 0 {
				t.Errorf("steps %q: %d completed", steps, done)
			}
		})
	}
}

// survives opens what a crash has left, and reports whether what was under way has
// happened.
func (w *world) survives(what, dir string, before, after *oracle) (done bool) {
	w.Helper()
	c := &world{TB: w.TB, root: w.root, e: w.e, opt: store.Options{Dir: dir}, at: map[string]host.Location{}}
	c.at["a"] = host.Location{URI: "memory:a", Destination: w.at["a"].Destination.(*sdktest.Memory).Clone()}
	c.open()
	defer c.close()
	var wrong []string
	for _, o := range []*oracle{after, before} {
		c.o = o.clone()
		for _, p := range c.o.preds {
			p.group = 0 // a move may have happened, or not
		}
		d := c.wrong()
		if len(d) == 0 {
			wrong = nil
			done = o == after
			break
		}
		wrong = append(wrong, d...)
	}
	if wrong != nil {
		w.Errorf("%s: neither as before nor as after: %s", what, strings.Join(wrong, "\n"))
		return done
	}
	c.restore(c.incremental("a"), host.RestoreRequest{})
	c.people(0)
	c.addPeople(0, 4, 6, "after the crash")
	c.check(what)
	c.restore(c.incremental("a"), host.RestoreRequest{})
	return done
}
