package host

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A watched destination asks before each operation whether it may take place.
type watched struct {
	*sdktest.Memory
	may func() error
}

func (w *watched) Put(ctx context.Context, name string, r io.Reader) error {
	if err := w.may(); err != nil {
		return err
	}
	return w.Memory.Put(ctx, name, r)
}

func (w *watched) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := w.may(); err != nil {
		return nil, err
	}
	return w.Memory.Get(ctx, name, offset)
}

func (w *watched) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		if err := w.may(); err != nil {
			yield(sdk.Object{}, err)
			return
		}
		w.Memory.List(ctx, prefix)(yield)
	}
}

func (w *watched) Delete(ctx context.Context, name string) error {
	if err := w.may(); err != nil {
		return err
	}
	return w.Memory.Delete(ctx, name)
}

func (w *watched) Version(ctx context.Context, name string) (string, error) {
	if err := w.may(); err != nil {
		return "", err
	}
	return w.Memory.Version(ctx, name)
}

func (w *watched) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if err := w.may(); err != nil {
		return "", err
	}
	return w.Memory.Replace(ctx, name, r, version)
}

// A party is one of two users of a location, each of whose operations waits for its turn.
type party struct{ ask, turn, done chan struct{} }

// inTurns runs two uses of a location at once. Before each operation, next says whose
// turn it is; the other one's is taken if that one has ended. It returns how many
// operations each did.
func inTurns(mem *sdktest.Memory, next func() int, uses [2]func(Location)) (did [2]int) {
	var parties [2]*party
	for i, use := range uses {
		p := &party{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		parties[i] = p
		wait := func() error {
			p.ask <- struct{}{}
			<-p.turn
			return nil
		}
		go func() {
			defer close(p.done)
			use(Location{URI: "memory", Destination: &watched{mem, wait}})
		}()
	}
	var waits, ended [2]bool
	for {
		for i, p := range parties {
			if waits[i] || ended[i] {
				continue
			}
			select {
			case <-p.ask:
				waits[i] = true
			case <-p.done:
				ended[i] = true
			}
		}
		if ended[0] && ended[1] {
			return did
		}
		i := next()
		if ended[i] {
			i = 1 - i
		}
		did[i]++
		waits[i] = false
		parties[i].turn <- struct{}{}
	}
}

// schedules yields orders of turns: the first party does i operations, the other one j,
// then the first ends, and then the other; and the same with the parties exchanged; and some
// orders by lot. CI tries every i and j, others every fourth.
func schedules(did [2]int) iter.Seq[func() int] {
	step, lots := 4, uint64(40)
	if os.Getenv("CI") == "true" {
		step, lots = 1, 400
	}
	return func(yield func(func() int) bool) {
		for first := range 2 {
			for i := 0; i <= did[first]; i += step {
				for j := i / step % step; j <= did[1-first]; j += step {
					n := 0
					if !yield(func() int {
						n++
						if n <= i || n > i+j {
							return first
						}
						return 1 - first
					}) {
						return
					}
				}
			}
		}
		for seed := range lots {
			r := rand.New(rand.NewPCG(seed, 7))
			if !yield(func() int { return r.IntN(2) }) {
				return
			}
		}
	}
}

// A race is two uses of one location, and what must hold whichever way they interleave.
type race struct {
	base  *sdktest.Memory
	uses  func() [2]func(Location)
	check func(at Location)
}

func (r race) run(t *testing.T) {
	t.Helper()
	fresh := func() *sdktest.Memory {
		mem := sdktest.NewMemory()
		copyAll(t, r.base, mem)
		return mem
	}
	turn := 0
	did := inTurns(fresh(), func() int { turn++; return turn % 2 }, r.uses())
	n := 0
	for next := range schedules(did) {
		mem := fresh()
		inTurns(mem, next, r.uses())
		r.check(Location{URI: "memory", Destination: mem})
		n++
		if t.Failed() {
			break
		}
	}
	t.Logf("%d and %d operations, %d orders", did[0], did[1], n)
}

// sound makes sure that what is listed can be restored, and that Dgraph's manifest names nothing
// that is not there.
func sound(t *testing.T, e *Engine, at Location) (list []Listing) {
	t.Helper()
	list, err := e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range list {
		if len(l.Missing) > 0 {
			t.Errorf("%s is listed and damaged: %v", l.Manifest.ID(), l.Missing)
		}
		if s := l.Manifest.Series; !seen[s] {
			seen[s] = true
			if report, err := e.Verify(t.Context(), VerifyRequest{From: at, Series: s}); err != nil || !report.OK() {
				t.Errorf("series %s is listed and broken: %v, %+v", s, err, report)
			}
		}
	}
	data, err := getAll(t.Context(), at.Destination, manifest.MasterName)
	if errors.Is(err, sdk.ErrNotExist) { // those of Dgraph 20.x have manifests of their own
		return list
	}
	if err != nil {
		t.Fatal(err)
	}
	ms, err := manifest.ParseMaster(data)
	if err != nil {
		t.Fatal(err)
	}
	there := names(t, at)
	for _, m := range ms {
		for g := range m.Groups {
			if !slices.Contains(there, m.Object(g)) {
				t.Errorf("Dgraph's manifest names %s, and %s is not there", m.ID(), m.Object(g))
			}
		}
	}
	return list
}

// twoStates restores a database at two moments.
func twoStates(t *testing.T) (dirs [2]string) {
	f := fixtures(t)[0]
	from := location(t, filepath.Join(f.dir, "backup"))
	for point := range dirs {
		dirs[point] = restore(t, new(Engine), RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true})
	}
	return dirs
}

// A backup continues what was the latest series when it looked. Meanwhile somebody begins a
// new one and prunes the old one. Whoever is faster, no chain lacks its beginning.
func TestPruneBesideABackup(t *testing.T) {
	dirs := twoStates(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *Engine {
		return &Engine{Now: func() time.Time { return start.Add(d) }, Workers: 1}
	}
	for _, by := range []struct {
		when   time.Duration // by the backup's clock: before or after the new series
		compat manifest.Compat
	}{{5 * time.Hour, manifest.CompatV23}, {7 * time.Hour, manifest.CompatV23}, {5 * time.Hour, manifest.CompatV20}} {
		base := sdktest.NewMemory()
		for i := range 2 {
			backup(t, at(time.Duration(i)*time.Hour), dirs[0], BackupRequest{To: Location{URI: "memory", Destination: base}, ForceFull: true, Compat: by.compat})
		}
		var res *BackupResult
		var pruned *PruneResult
		var backupErr, pruneErr error
		outcomes := map[string]int{}
		race{
			base: base,
			uses: func() [2]func(Location) {
				res, pruned, backupErr, pruneErr = nil, nil, nil, nil
				return [2]func(Location){
					func(to Location) {
						src := source(t, dirs[1])
						defer src.Close()
						res, backupErr = at(by.when).Backup(t.Context(), BackupRequest{Source: src, To: to, AutoFull: true, Compat: by.compat})
					},
					func(to Location) {
						src := source(t, dirs[0])
						defer src.Close()
						if _, pruneErr = at(6*time.Hour).Backup(t.Context(), BackupRequest{Source: src, To: to, ForceFull: true, Compat: by.compat}); pruneErr == nil {
							pruned, pruneErr = at(8*time.Hour).Prune(t.Context(), PruneRequest{At: to, Rules: KeepRules{Last: 1}})
						}
					},
				}
			},
			check: func(at Location) {
				if pruneErr != nil {
					t.Errorf("prune: %v", pruneErr)
					return
				}
				if backupErr != nil && !errors.Is(backupErr, ErrConflict) {
					t.Errorf("backup: %v", backupErr)
				}
				list := sound(t, new(Engine), at)
				switch {
				case backupErr != nil:
					outcomes["refused"]++
				case slices.ContainsFunc(list, func(l Listing) bool { return l.Manifest.ID() == res.Manifest.ID() }):
					outcomes["listed"]++
				case slices.ContainsFunc(pruned.Series, func(s PrunedSeries) bool {
					return s.ID == res.Manifest.Series && s.Backups == res.Manifest.Number
				}):
					outcomes["pruned"]++ // by the rules: it was there before
				default:
					t.Errorf("backup %s was complete, and is lost; pruned: %+v", res.Manifest.ID(), pruned.Series)
				}
				later := &Engine{Now: func() time.Time { return start.Add(1000 * time.Hour) }}
				if _, err := later.Prune(t.Context(), PruneRequest{At: at, Rules: KeepRules{Last: 1}}); err != nil {
					t.Errorf("the next prune: %v", err)
				}
				list = sound(t, later, at)
				for _, name := range names(t, at) {
					if dir, _, ok := strings.Cut(name, "/"); ok && dir != "brock" &&
						!slices.ContainsFunc(list, func(l Listing) bool { return l.Manifest.Path == dir }) {
						t.Errorf("%s is left", name)
					}
				}
			},
		}.run(t)
		t.Logf("%v", outcomes)
		if outcomes["listed"] == 0 || outcomes["refused"] == 0 {
			t.Errorf("%v: the race was none", outcomes)
		}
	}
}

// Whoever is told that a pin holds finds the series as it was, whatever a prune does meanwhile.
func TestPruneBesideAPin(t *testing.T) {
	base := sdktest.NewMemory()
	now := threeSeries(t, Location{URI: "memory", Destination: base}, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	all := ids(t, e, Location{URI: "memory", Destination: base})
	series, _, _ := strings.Cut(all[0], "/")
	var pinErr, pruneErr error
	outcomes := map[string]int{}
	race{
		base: base,
		uses: func() [2]func(Location) {
			return [2]func(Location){
				func(at Location) { _, pinErr = e.Pin(t.Context(), PinRequest{At: at, Series: series, Number: 1}) },
				func(at Location) { _, pruneErr = e.Prune(t.Context(), PruneRequest{At: at, Rules: KeepRules{Last: 2}}) },
			}
		},
		check: func(at Location) {
			listed := 0
			for _, l := range sound(t, e, at) {
				if l.Manifest.Series == series {
					listed++
				}
			}
			switch {
			case pruneErr != nil:
				t.Errorf("prune: %v", pruneErr)
			case pinErr == nil && listed != 2:
				t.Errorf("the pin was said to hold, and of 2 backups there are %d", listed)
			case pinErr == nil:
				outcomes["holds"]++
			case errors.Is(pinErr, sdk.ErrConflict), errors.Is(pinErr, manifest.ErrNoBackup):
				outcomes["not sure"]++
			default:
				t.Errorf("pin: %v", pinErr)
			}
			if _, err := e.Prune(t.Context(), PruneRequest{At: at, Keep: 1}); err != nil {
				t.Errorf("the next prune: %v", err)
			}
			if after := sound(t, e, at); pinErr == nil && len(after) != 4 || len(after) < 2 {
				t.Errorf("after the next prune there are %d backups; the pin: %v", len(after), pinErr)
			}
		},
	}.run(t)
	t.Logf("%v", outcomes)
	if outcomes["holds"] == 0 || outcomes["not sure"] == 0 {
		t.Errorf("%v: the race was none", outcomes)
	}
}

// Two prunes, with rules of their own, and a listing beside a prune do not disturb each other.
func TestPruneBesideAPrune(t *testing.T) {
	base := sdktest.NewMemory()
	now := threeSeries(t, Location{URI: "memory", Destination: base}, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	all := ids(t, e, Location{URI: "memory", Destination: base})
	var errs [2]error
	var listed []Listing
	prune := func(i, keep int) func(Location) {
		return func(at Location) { _, errs[i] = e.Prune(t.Context(), PruneRequest{At: at, Keep: keep}) }
	}
	list := func(at Location) { listed, errs[1] = e.List(t.Context(), at) }
	for _, other := range []func(Location){prune(1, 2), list} {
		race{
			base: base,
			uses: func() [2]func(Location) { listed = nil; return [2]func(Location){prune(0, 1), other} },
			check: func(at Location) {
				if errs[0] != nil || errs[1] != nil {
					t.Errorf("%v, %v", errs[0], errs[1])
				}
				for _, l := range listed {
					if len(l.Missing) > 0 {
						t.Errorf("%s is listed and damaged: %v", l.Manifest.ID(), l.Missing)
					}
				}
				sound(t, e, at)
				if got := ids(t, e, at); !slices.Equal(got, all[4:]) {
					t.Errorf("%v are left, want %v", got, all[4:])
				}
			},
		}.run(t)
	}
}
