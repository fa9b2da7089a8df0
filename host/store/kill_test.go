package store_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// lifeEnv makes this program another process: one that lives on a store until it is killed.
// Its value is a directory; lifeSeedEnv says which life it is.
const (
	lifeEnv     = "BROCK_TEST_STORE_LIFE"
	lifeSeedEnv = "BROCK_TEST_STORE_LIFE_SEED"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(lifeEnv); dir != "" {
		seed, err := strconv.ParseUint(os.Getenv(lifeSeedEnv), 10, 64)
		if err == nil {
			err = (&life{dir: dir, seed: seed}).live()
		}
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A life writes to a store in several goroutines, and tells of each thing before it does it
// and when it is done:
//
//	begin WORKER N          something that follows from the life's seed, the worker and N
//	done WORKER N TS        it was acknowledged
//	uids FIRST N            these were given out
//	backup SERIES NUM TS    this backup was taken
type life struct {
	dir  string
	seed uint64
	s    *store.Store
	out  sync.Mutex
}

const (
	lifeWriters = 6
	lifeDropper = 100 // the number of the worker that drops
)

// lifeNamespaces are where a life happens.
var lifeNamespaces = []uint64{0, 5}

func (l *life) tell(format string, a ...any) {
	l.out.Lock()
	defer l.out.Unlock()
	fmt.Fprintf(os.Stdout, format+"\n", a...)
}

// live never returns without an error.
func (l *life) live() (err error) {
	o := store.Options{Dir: filepath.Join(l.dir, "db"), Groups: 3}
	if l.seed%2 == 0 {
		store.Small(&o)
	}
	if l.s, err = store.Open(context.Background(), o); err != nil {
		return err
	}
	failed := make(chan error)
	start := func(what string, work func(n uint64) error) {
		go func() {
			for n := uint64(1); ; n++ {
				if err := work(n); err != nil {
					failed <- fmt.Errorf("%s %d: %w", what, n, err)
					return
				}
			}
		}()
	}
	for worker := range uint64(lifeWriters) {
		start("writer", func(n uint64) error { return l.write(worker, n) })
	}
	calmly := func(pause time.Duration, work func(n uint64) error) func(n uint64) error {
		tick := time.NewTicker(pause)
		return func(n uint64) error {
			<-tick.C
			return work(n)
		}
	}
	start("dropper", calmly(20*time.Millisecond, l.drop))
	start("mover", calmly(20*time.Millisecond, l.move))
	start("backup", calmly(50*time.Millisecond, l.backup))
	start("uids", calmly(5*time.Millisecond, l.uids))
	return <-failed
}

func (l *life) random(worker, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(l.seed, worker<<40|n))
}

func (l *life) write(worker, n uint64) error {
	m := lifeMutation(l.random(worker, n), worker, n)
	l.tell("begin %d %d", worker, n)
	ts, err := l.s.Mutate(context.Background(), m)
	if err != nil {
		return err
	}
	l.tell("done %d %d %d", worker, n, ts)
	return nil
}

// lifeMutation writes at nodes of the worker's own, in both namespaces, and says in each
// how far the worker has come.
func lifeMutation(r *rand.Rand, worker, n uint64) (m store.Mutation) {
	node := func() uint64 { return 1000*(worker+1) + r.Uint64N(6) }
	for _, ns := range lifeNamespaces {
		m.Set = append(m.Set, store.Edge{UID: worker + 1, Predicate: in(ns, "seq"), Value: intValue(int64(n))})
		for range 1 + r.IntN(3) {
			e := store.Edge{UID: node()}
			switch r.IntN(4) {
			case 0:
				e.Predicate, e.Value = in(ns, "name"), stringValue(fmt.Sprint(n))
			case 1:
				e.Predicate, e.Value = in(ns, "age"), intValue(int64(n))
			case 2:
				e.Predicate, e.Value = in(ns, "plain"), textValue(strings.Repeat("x", r.IntN(3000)))
			default:
				e.Predicate, e.Object = in(ns, "friend"), 1+r.Uint64N(100)
			}
			m.Set = append(m.Set, e)
		}
		if r.IntN(3) == 0 {
			m.Del = append(m.Del, store.Edge{UID: node(), Predicate: in(ns, []string{"name", "age", "friend"}[r.IntN(3)]), Star: true})
		}
		if r.IntN(10) == 0 {
			for uid := range uint64(100) {
				m.Set = append(m.Set, store.Edge{UID: 1000*(worker+1) + 10, Predicate: in(ns, "friend"), Object: 1 + uid + n%7})
			}
		}
	}
	return m
}

// A lifeDrop is one of the drops of a life. The predicate seq is left alone: it tells what
// was committed.
type lifeDrop struct {
	do func(ctx context.Context, s *store.Store) error
	in func(o *oracle)
}

func lifeDropOf(r *rand.Rand) lifeDrop {
	ns := lifeNamespaces[r.IntN(2)]
	switch n := r.IntN(10); {
	case n < 5:
		p := in(ns, []string{"name", "age", "friend", "plain"}[r.IntN(4)])
		return lifeDrop{
			func(ctx context.Context, s *store.Store) error { return s.DropAttr(ctx, p) },
			func(o *oracle) { o.dropAttr(p) },
		}
	case n < 7:
		return lifeDrop{
			func(ctx context.Context, s *store.Store) error { return s.DropData(ctx, ns) },
			func(o *oracle) { o.dropData(ns) },
		}
	case n < 9:
		return lifeDrop{
			func(ctx context.Context, s *store.Store) error { return s.DropNamespace(ctx, lifeNamespaces[1]) },
			func(o *oracle) { o.dropNamespace(lifeNamespaces[1]) },
		}
	}
	return lifeDrop{
		func(ctx context.Context, s *store.Store) error { return s.DropAll(ctx) },
		func(o *oracle) { o.dropAll() },
	}
}

func (l *life) drop(n uint64) error {
	ctx := context.Background()
	d := lifeDropOf(l.random(lifeDropper, n))
	l.tell("begin %d %d", lifeDropper, n)
	if err := d.do(ctx, l.s); err != nil {
		return err
	}
	src, err := l.s.Source(ctx, badgerdb.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	traces, err := readTraces(src)
	if err != nil {
		return err
	}
	l.tell("done %d %d %d", lifeDropper, n, traces.drop)
	return nil
}

func (l *life) move(n uint64) error {
	r := l.random(200, n)
	all := l.s.Schema()
	p := all[r.IntN(len(all))]
	if p.Reserved() || p.Name == "seq" {
		return nil
	}
	err := l.s.Move(context.Background(), p.Predicate, uint32(1+r.IntN(3)))
	for _, now := range l.s.Schema() {
		if now.Predicate == p.Predicate {
			return err
		}
	}
	return nil // it was dropped meanwhile
}

func (l *life) backup(uint64) error {
	ctx := context.Background()
	src, err := l.s.Source(ctx, badgerdb.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	to := host.Location{URI: "files", Destination: files{filepath.Join(l.dir, "backups")}}
	res, err := (&host.Engine{TempDir: l.dir}).Backup(ctx, host.BackupRequest{Source: src, To: to, AutoFull: true})
	if err != nil {
		return err
	}
	l.tell("backup %s %d %d", res.Manifest.Series, res.Manifest.Number, res.Manifest.ReadTs)
	return nil
}

func (l *life) uids(n uint64) error {
	count := 1 + l.random(300, n).IntN(3000)
	first, err := l.s.NewUIDs(count)
	if err != nil {
		return err
	}
	l.tell("uids %d %d", first, count)
	return nil
}

// traces are what a store shows of how far a life had come.
type traces struct {
	drop    uint64            // timestamp of the newest record of a drop
	seq     map[uint64]uint64 // by worker: the last that it has done
	version map[uint64]uint64 // and when
}

func readTraces(src *badgerdb.Source) (*traces, error) {
	tr := &traces{seq: map[uint64]uint64{}, version: map[uint64]uint64{}}
	err := eachEntry(src, 0, func(_ uint32, k *dgraph.Key, e *backupfile.Entry) error {
		switch {
		case k.Kind == dgraph.KeyData && k.Name == dgraph.DropPredicate:
			tr.drop = max(tr.drop, e.Version)
		case k.Kind == dgraph.KeyData && k.Name == "seq":
			for p, err := range dgraph.Postings(e.Value) {
				if err != nil {
					return err
				}
				if e.Version > tr.version[k.UID-1] {
					tr.seq[k.UID-1], tr.version[k.UID-1] = uintOf(p.Value), e.Version
				}
			}
		}
		return nil
	})
	return tr, err
}

// A happening is something in a life that surely happened.
type happening struct {
	ts uint64
	do func(o *oracle)
}

// lifeSeeds is how many lives one store has.
func lifeSeeds() int {
	if testing.Short() {
		return 5
	}
	return 24
}

// A store that is killed at any moment has lost nothing that it acknowledged, and has no half of
// anything: no transaction, no drop.
func TestKill(t *testing.T) {
	w := &world{TB: t, root: scratch(t), o: newOracle(), at: map[string]host.Location{}}
	w.e = &host.Engine{TempDir: w.root}
	w.opt = store.Options{Dir: filepath.Join(w.root, "db")}
	w.must(os.Mkdir(filepath.Join(w.root, "backups"), 0o700))
	w.at["files"] = host.Location{URI: "files", Destination: files{filepath.Join(w.root, "backups")}}
	seed := rand.Uint64()
	if os.Getenv("CI") == "true" {
		seed = 1
	}
	t.Logf("seed %d", seed)
	var m mortal
	for range lifeSeeds() {
		seed++
		m.outlive(w, seed)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d of them in a drop: %d transactions, %d drops, %d backups, %d things that were under way had happened",
		lifeSeeds(), m.inDrop, m.transactions, m.drops, m.backups, m.unknown)
}

// A mortal is what is known over several lives.
type mortal struct {
	drop uint64 // timestamp of the last drop
	uid  uint64 // given out last
	ts   uint64

	transactions, drops, backups, unknown, inDrop int
}

// outlive lets one life begin, kills it and makes sure that everything is there.
func (m *mortal) outlive(w *world, seed uint64) {
	w.Helper()
	lines := w.killed(seed, &m.inDrop)
	l := &life{seed: seed}
	var happened []happening
	underWay := map[uint64]uint64{}
	last := point{}
	for _, line := range lines {
		f := strings.Fields(line)
		n := make([]uint64, len(f))
		for i := range f {
			n[i], _ = strconv.ParseUint(f[i], 10, 64)
		}
		switch {
		case len(f) == 3 && f[0] == "begin":
			underWay[n[1]] = n[2]
		case len(f) == 4 && f[0] == "done":
			delete(underWay, n[1])
			happened = append(happened, l.happening(n[1], n[2], n[3]))
			if n[1] == lifeDropper {
				m.drop = n[3]
				m.drops++
			} else {
				m.transactions++
			}
		case len(f) == 3 && f[0] == "uids":
			if n[1] <= m.uid {
				w.Errorf("uids from %d on were given out; %d was already", n[1], m.uid)
			}
			m.uid = n[1] + n[2] - 1
		case len(f) == 4 && f[0] == "backup":
			m.backups++
			last = w.latest(f[1], int(n[2]))
			if last.ReadTs != n[3] {
				w.Errorf("backup %s has read timestamp %d, want %d", last.ID(), last.ReadTs, n[3])
			}
		default:
			w.Fatalf("life %d: %s", seed, line)
		}
	}
	w.open()
	happened = append(happened, m.found(w, l, underWay)...)
	slices.SortFunc(happened, func(a, b happening) int { return cmp.Compare(a.ts, b.ts) })
	restored := last.Manifest == nil
	for _, h := range happened {
		if !restored && h.ts > last.ReadTs {
			w.restoreData(last)
			restored = true
		}
		if h.ts <= m.ts {
			w.Errorf("timestamp %d after %d", h.ts, m.ts)
		}
		m.ts = h.ts
		h.do(w.o)
	}
	if !restored {
		w.restoreData(last)
	}
	for _, p := range w.o.preds {
		p.group = 0
	}
	w.check(fmt.Sprintf("life %d", seed))
	if !w.Failed() {
		w.story = nil
	}
	w.close()
}

// happening is what a worker does as its n-th thing.
func (l *life) happening(worker, n, ts uint64) happening {
	r := l.random(worker, n)
	if worker == lifeDropper {
		return happening{ts, lifeDropOf(r).in}
	}
	m := lifeMutation(r, worker, n)
	return happening{ts, func(o *oracle) { o.apply(m) }}
}

// found says which of the things that nobody was told of have happened.
func (m *mortal) found(w *world, l *life, underWay map[uint64]uint64) (all []happening) {
	w.Helper()
	src, err := w.s.Source(w.Context(), badgerdb.Options{})
	w.must(err)
	defer src.Close()
	tr, err := readTraces(src)
	w.must(err)
	for worker, n := range underWay {
		ts := tr.version[worker]
		if worker == lifeDropper {
			if ts = tr.drop; ts <= m.drop {
				continue
			}
			m.drop = ts
		} else if tr.seq[worker] != n {
			continue
		}
		m.unknown++
		all = append(all, l.happening(worker, n, ts))
	}
	return all
}

// latest is a backup that was told of.
func (w *world) latest(series string, number int) point {
	w.Helper()
	list, err := w.e.List(w.Context(), w.at["files"])
	w.must(err)
	for i := range list {
		if m := &list[i].Manifest; m.Series == series && m.Number == number {
			return point{at: "files", Manifest: m}
		}
	}
	w.Fatalf("backup %s/%d was taken and is not there", series, number)
	return point{}
}

// restoreData compares what a backup holds with what the oracle has now.
func (w *world) restoreData(p point) {
	w.Helper()
	p.groups = []uint32{1, 2, 3}
	dir := w.restoreTo(p, host.RestoreRequest{})
	got := state{}
	for name, text := range diskState(w, dir) {
		if _, name, ok := strings.Cut(name, " "); ok && !strings.HasPrefix(name, "schema ") {
			got[name] = text
		}
	}
	w.same("restored "+p.ID(), got, w.o.data())
	w.must(os.RemoveAll(dir))
}

// killed lets a life begin, kills it after some lines and returns all that it has said.
func (w *world) killed(seed uint64, inDrop *int) (lines []string) {
	w.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lifeEnv+"="+w.root, fmt.Sprintf("%s=%d", lifeSeedEnv, seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	least, dropping := 50+r.IntN(2500), r.IntN(2) == 0
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		line := scanner.Text()
		lines = append(lines, line)
		drops := strings.HasPrefix(line, fmt.Sprintf("begin %d ", lifeDropper))
		if len(lines) >= least && (drops || !dropping) {
			if drops {
				*inDrop++
				<-time.NewTimer(time.Duration(r.IntN(3000)) * time.Microsecond).C
			}
			break
		}
	}
	_ = cmd.Process.Kill()
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	_ = cmd.Wait()
	w.must(scanner.Err())
	return lines
}
