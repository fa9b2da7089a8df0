package store_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/store"
)

// A commit is a transaction that was acknowledged.
type commit struct {
	ts uint64
	m  store.Mutation
}

// A crowd is goroutines that write, at a pace, until they are told to stop.
type crowd struct {
	s      *store.Store
	tokens chan struct{}
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	commits   []commit
	latencies []time.Duration
	err       error
	began     time.Time
}

// gather starts n goroutines that together write rate transactions a second; with rate 0
// as many as they can.
func gather(ctx context.Context, s *store.Store, n, rate int) *crowd {
	ctx, cancel := context.WithCancel(ctx)
	c := &crowd{s: s, cancel: cancel, began: time.Now()}
	if rate > 0 {
		c.tokens = make(chan struct{}, rate/2+1)
		c.wg.Go(func() { c.pace(ctx, rate) })
	}
	for i := range n {
		c.wg.Go(func() { c.write(ctx, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	return c
}

// pace hands out the tokens of each millisecond. What nobody takes in half a second is lost.
func (c *crowd) pace(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	given := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(c.began).Seconds() * float64(rate))
		for ; given < due; given++ {
			select {
			case c.tokens <- struct{}{}:
			default:
			}
		}
	}
}

func (c *crowd) write(ctx context.Context, r *rand.Rand) {
	var commits []commit
	var latencies []time.Duration
	var err error
	for ctx.Err() == nil && err == nil {
		if c.tokens != nil {
			select {
			case <-ctx.Done():
				continue
			case <-c.tokens:
			}
		}
		m := busyMutation(r)
		began := time.Now()
		var ts uint64
		// Not ctx: what it cuts off may be committed all the same.
		if ts, err = c.s.Mutate(context.WithoutCancel(ctx), m); err == nil {
			latencies = append(latencies, time.Since(began))
			commits = append(commits, commit{ts, m})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits = append(c.commits, commits...)
	c.latencies = append(c.latencies, latencies...)
	if c.err == nil {
		c.err = err
	}
}

// stop ends it and returns every commit, by timestamp, and how many a second there were.
func (c *crowd) stop(t testing.TB) (commits []commit, rate float64) {
	t.Helper()
	c.cancel()
	c.wg.Wait()
	rate = float64(len(c.commits)) / time.Since(c.began).Seconds()
	if c.err != nil {
		t.Fatal(c.err)
	}
	slices.SortFunc(c.commits, func(a, b commit) int { return cmp.Compare(a.ts, b.ts) })
	for i := 1; i < len(c.commits); i++ {
		if c.commits[i].ts == c.commits[i-1].ts {
			t.Fatalf("two transactions have timestamp %d", c.commits[i].ts)
		}
	}
	return c.commits, rate
}

// p99 is what one write in a hundred took longer than.
func (c *crowd) p99() time.Duration {
	slices.Sort(c.latencies)
	if len(c.latencies) == 0 {
		return 0
	}
	return c.latencies[len(c.latencies)*99/100]
}

// busyMutation is one of a mix: mostly single values, some reads before writing, now and then a
// whole node; and some nodes that everybody writes to.
func busyMutation(r *rand.Rand) store.Mutation {
	uid := 1 + r.Uint64N(20_000)
	if r.IntN(10) == 0 {
		uid = 1 + r.Uint64N(8)
	}
	edge := func(name string) store.Edge { return store.Edge{UID: uid, Predicate: in(0, name)} }
	value := func(name, v string) store.Edge {
		e := edge(name)
		e.Value = stringValue(v)
		return e
	}
	set := func(e ...store.Edge) store.Mutation { return store.Mutation{Set: e} }
	del := func(e ...store.Edge) store.Mutation { return store.Mutation{Del: e} }
	some := fmt.Sprint(r.IntN(50))
	switch n := r.IntN(100); {
	case n < 40:
		return set(value("name", some))
	case n < 52:
		return set(value("tags", some))
	case n < 64:
		e := edge("friend")
		e.Object = 1 + r.Uint64N(50)
		return set(e)
	case n < 74:
		e := edge("age")
		e.Value = intValue(r.Int64N(1000))
		return set(e)
	case n < 80:
		e := value("name", some)
		e.Lang = []string{"de", "en"}[r.IntN(2)]
		return set(e)
	case n < 84:
		e := edge("boss")
		e.Object = 1 + r.Uint64N(50)
		return set(e)
	case n < 88:
		e := edge("name")
		e.Star = true
		m := del(e)
		if n%2 == 0 {
			m.Set = []store.Edge{value("name", some)}
		}
		return m
	case n < 91:
		return del(value("tags", some))
	case n < 93:
		return del(value("name", some))
	case n < 96:
		e := edge("friend")
		e.Object = 1 + r.Uint64N(50)
		return del(e)
	case n < 97:
		e := edge("")
		e.Star = true
		return del(e)
	}
	return person(0, uid, some)
}

// onlineRate is how many transactions a second a store must take while it is backed up.
const onlineRate = 10_000

// Each backup that is taken while many write shows exactly what was committed up to its
// read timestamp.
func TestOnline(t *testing.T) {
	w := newBusy(t)
	able := w.ability()
	rate := min(onlineRate, int(able/1.3))
	start := w.o.clone()
	c := gather(t.Context(), w.s, 48, rate)
	var backups []*host.BackupResult
	next := time.NewTicker(250 * time.Millisecond)
	defer next.Stop()
	for range 20 {
		backups = append(backups, w.online())
		<-next.C
	}
	commits, got := c.stop(t)
	backups = append(backups, w.online())
	t.Logf("%.0f writes a second of %d wanted, p99 %v, beside %d backups", got, rate, c.p99(), len(backups))
	w.o = start
	for _, b := range backups {
		n, _ := slices.BinarySearchFunc(commits, b.Manifest.ReadTs+1, func(c commit, ts uint64) int { return cmp.Compare(c.ts, ts) })
		for _, c := range commits[:n] {
			w.o.apply(c.m)
		}
		commits = commits[n:]
		w.adopt()
		p := point{at: "a", Manifest: b.Manifest, oracle: w.o, groups: w.s.State().Groups}
		w.restore(p, host.RestoreRequest{})
		if t.Failed() {
			t.Fatalf("backup %s, read timestamp %d", p.ID(), p.ReadTs)
		}
	}
	w.check("at the end")
	w.reopen(true)
	w.check("opened after a crash")
	// Backups need a processor, too, and a slow machine, or one that others use, has none to spare.
	if least := min(0.9*float64(rate), able/4); got < least {
		t.Errorf("%.0f writes a second beside backups, want %.0f; without there were %.0f", got, least, able)
	}
}

// newBusy is a store on a real disk that holds something.
func newBusy(t testing.TB) *world {
	t.Helper()
	w := newWorldIn(t, t.TempDir(), 3)
	w.e.Now = nil
	w.people(0)
	w.spread()
	return w
}

// ability is how many writes a second this machine can do, without a backup.
func (w *world) ability() float64 {
	w.Helper()
	c := gather(w.Context(), w.s, 48, 0)
	timer := time.NewTimer(time.Second)
	<-timer.C
	commits, rate := c.stop(w)
	for _, c := range commits {
		w.o.apply(c.m)
	}
	w.Logf("%.0f writes a second without a backup, p99 %v", rate, c.p99())
	return rate
}

// online takes the next backup of one series.
func (w *world) online() *host.BackupResult {
	w.Helper()
	src, err := w.s.Source(w.Context(), badgerdb.Options{})
	w.must(err)
	defer src.Close()
	res, err := w.e.Backup(w.Context(), host.BackupRequest{Source: src, To: w.location("a")})
	w.must(err)
	return res
}

// fill writes n values, many at once, so that a backup takes a while.
func (w *world) fill(n uint64) {
	w.Helper()
	var m store.Mutation
	for uid := range n {
		m.Set = append(m.Set, store.Edge{UID: 1<<20 + uid, Predicate: in(0, "name"), Value: stringValue(fmt.Sprintf("%0100d", uid))})
		if len(m.Set) == 5000 {
			_, err := w.s.Mutate(w.Context(), m)
			w.must(err)
			m.Set = nil
		}
	}
}

// BenchmarkWritesBesideBackup tells what one write in a hundred waits for, with a backup
// running and without, in turn and at the same pace. The ratio is to stay below 2.
func BenchmarkWritesBesideBackup(b *testing.B) {
	w := newBusy(b)
	w.fill(500_000)
	procs := runtime.GOMAXPROCS(0) // all as brock serve has it
	w.e.Workers, w.e.Background = max(1, procs/2), true
	runtime.GOMAXPROCS(procs + 2)
	defer runtime.GOMAXPROCS(procs)
	const round = 2 * time.Second
	pace := min(onlineRate, int(w.ability()/2))
	var alone, beside []time.Duration
	backups := 0
	quiet := func() {
		c := gather(b.Context(), w.s, 48, pace)
		<-time.NewTimer(round).C
		c.stop(b)
		alone = append(alone, c.latencies...)
	}
	for b.Loop() {
		quiet()
		c := gather(b.Context(), w.s, 48, pace)
		for began := time.Now(); time.Since(began) < round; backups++ {
			src, err := w.s.Source(b.Context(), badgerdb.Options{})
			w.must(err)
			_, err = w.e.Backup(b.Context(), host.BackupRequest{Source: src, To: w.location("a"), ForceFull: true})
			w.must(err)
			w.must(src.Close())
		}
		c.stop(b)
		beside = append(beside, c.latencies...)
		quiet()
	}
	slow := func(l []time.Duration) float64 {
		slices.Sort(l)
		return float64(l[len(l)*99/100].Microseconds())
	}
	b.ReportMetric(slow(alone), "p99-alone-µs")
	b.ReportMetric(slow(beside), "p99-beside-µs")
	b.ReportMetric(slow(beside)/slow(alone), "ratio")
	b.ReportMetric(float64(pace), "writes/s")
	b.ReportMetric(float64(backups)/float64(b.N), "backups/round")
}
