package host

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/options"
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A history is the life of a database between its backups, made up from a
// seed. A model in memory knows what the database holds at each backup; at the
// end every backup is restored and compared with it.
//
//	BROCK_HISTORIES=5000        how many; 1000 in CI, otherwise 150
//	BROCK_HISTORY=dgraph/4711   only the one that a failure named
//
// In CI they are always the same ones, so that a failure tells of the change at
// hand; everywhere else they are new ones.
const (
	historiesEnv = "BROCK_HISTORIES"
	historyEnv   = "BROCK_HISTORY"
)

func TestHistories(t *testing.T) {
	if name := os.Getenv(historyEnv); name != "" {
		kind, number, _ := strings.Cut(name, "/")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q: want a kind and a seed, as in badger/17", historyEnv, name)
		}
		runHistory(t, manifest.Kind(kind), seed)
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
				kind := []manifest.Kind{manifest.KindBadger, manifest.KindDgraph}[n/shards%2]
				seed := first + uint64(n)
				t.Run(fmt.Sprintf("%s/%d", kind, seed), func(t *testing.T) { runHistory(t, kind, seed) })
			}
		})
	}
}

func histories(t *testing.T) int {
	t.Helper()
	n := 150
	if os.Getenv("CI") == "true" {
		n = 1000
	}
	if s := os.Getenv(historiesEnv); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s: %v", historiesEnv, err)
		}
	}
	return n
}

// A world is a database and the model of it.
type world interface {
	// live lets about n random things happen and closes the database.
	live(n int)

	// source says where the closed database is, and how it is opened.
	source() (map[uint32]string, badgerdb.Options)

	// form says what the next backup looks like. It never goes back.
	form() manifest.Compat

	// backedUp returns what the database holds now, which is in a backup.
	backedUp(readTs uint64) moment

	// adopt goes on with a directory restored from the last backup instead.
	adopt(dir string, req RestoreRequest)
}

// A moment is what a database held at a backup.
type moment interface {
	// bare reports whether some group holds nothing.
	bare() bool

	// target chooses how it can be restored.
	target(r *rand.Rand, req *RestoreRequest)

	// compare reports how a restored directory differs.
	compare(h *history, dir string, req RestoreRequest, res *RestoreResult)
}

type history struct {
	*testing.T
	r      *rand.Rand
	e      *Engine
	at     Location
	key    *Key
	w      world
	root   string // for all files
	points []point
	story  []string
}

// A point is a backup that was taken, and what it must restore to.
type point struct {
	*manifest.Manifest
	key *Key
	moment
}

func runHistory(t *testing.T, kind manifest.Kind, seed uint64) {
	h := &history{
		T: t, r: rand.New(rand.NewPCG(seed, uint64(len(kind)))),
		at: Location{URI: "memory", Destination: sdktest.NewMemory()},
	}
	h.root = scratch(t)
	h.e = &Engine{Workers: h.r.IntN(3), TempDir: h.root, Now: h.clock()}
	defer func() {
		if t.Failed() {
			t.Logf("replay it with %s=%s/%d", historyEnv, kind, seed)
			t.Logf("%s", strings.Join(h.story, "\n"))
		}
	}()
	switch kind {
	case manifest.KindBadger:
		h.w = newBadgerWorld(h)
	case manifest.KindDgraph:
		h.w = newDgraphWorld(h)
	default:
		t.Fatalf("no histories of kind %q", kind)
	}
	h.key = h.randomKey()
	for n := range h.length() {
		h.chapter(n)
	}
	for _, p := range h.points {
		h.restore(p)
	}
}

// scratch is a directory in memory, where there is room: thousands of small
// databases are otherwise little but waiting for a disk.
func scratch(t *testing.T) string {
	t.Helper()
	const memory, room = "/dev/shm", 1 << 30
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs(memory, &st) != nil || uint64(st.Bsize)*st.Bavail < room {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "brock-history-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// dir is a new directory.
func (h *history) dir() string {
	dir, err := os.MkdirTemp(h.root, "*")
	h.must(err)
	return dir
}

// clock is that of the host, which now and then stands still or goes back.
func (h *history) clock() func() time.Time {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	step := []time.Duration{time.Hour, time.Millisecond}[h.r.IntN(2)]
	if h.chance(30) {
		step = 0
	}
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

// length is how many backups there will be: mostly few, at most ten.
func (h *history) length() int {
	return []int{1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7 + h.r.IntN(4)}[h.r.IntN(12)]
}

// chance is true once in n times.
func (h *history) chance(n int) bool { return h.r.IntN(n) == 0 }

func (h *history) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

// must ends a history that cannot go on.
func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) randomKey() *Key {
	return keyOf([][]byte{nil, testKeys["AES-128"], testKeys["AES-256"]}[h.r.IntN(3)])
}

// databaseKey encrypts a Badger directory; mostly there is none.
func (h *history) databaseKey() []byte {
	if !h.chance(8) {
		return nil
	}
	return slices.Repeat([]byte("d"), []int{16, 24, 32}[h.r.IntN(3)])
}

// chapter lives on to the next backup, and takes it.
func (h *history) chapter(n int) {
	if n > 0 && h.chance(8) {
		h.goOnFromRestore()
	}
	things := 1 + h.r.IntN(12)
	if h.chance(8) {
		things = 60
	}
	h.w.live(things)
	h.backup(n > 0 && h.chance(7))
}

func (h *history) backup(forceFull bool) {
	if forceFull {
		h.key = h.randomKey()
	}
	compat := h.w.form()
	req := BackupRequest{To: h.at, Key: h.key, ForceFull: forceFull, Compat: compat, Prove: h.chance(3)}
	if codecs := map[manifest.Compat][]string{
		manifest.CompatV23: {"snappy", "gzip", "s2", "zstd"}, manifest.CompatV21: {"snappy", "gzip", "zstd"}, manifest.CompatV20: {"gzip"},
	}[compat]; h.chance(2) {
		req.Codec = codecs[h.r.IntN(len(codecs))]
	}
	dirs, opt := h.w.source()
	src, err := badgerdb.OpenSource(dirs, opt)
	h.must(err)
	req.Source = src
	res, err := h.e.Backup(h.Context(), req)
	h.must(errJoin(err, src.Close()))
	if res.Warning != "" || len(res.Damaged) > 0 {
		h.Errorf("backup %s: warning %q, damaged %q", res.Manifest.ID(), res.Warning, res.Damaged)
	}
	if full := forceFull || len(h.points) == 0; res.Manifest.Full != full {
		h.Errorf("backup %s: full is %t, want %t", res.Manifest.ID(), res.Manifest.Full, full)
	}
	h.tell("= backup %s, read timestamp %d, drops %v, badger drops %+v", res.Manifest.ID(), res.Manifest.ReadTs, res.Manifest.Drops, res.Manifest.Record.BadgerDrops)
	h.points = append(h.points, point{res.Manifest, h.key, h.w.backedUp(res.Manifest.ReadTs)})
	if h.chance(10) {
		p := h.points[len(h.points)-1]
		h.verify(p, p.Full || req.Prove && !p.bare())
	}
}

// verify lets the engine compare a restore with the source's fingerprint.
func (h *history) verify(p point, printed bool) {
	report, err := h.e.Verify(h.Context(), VerifyRequest{From: h.at, Key: p.key, Series: p.Series, Number: p.Number, Mode: VerifyRestore})
	h.must(err)
	if !report.OK() || report.Proved != printed {
		h.Errorf("verify %s: proved %t, want %t: %+v", p.ID(), report.Proved, printed, report.Backups)
	}
}

// restore restores one backup and compares it with what the database held.
func (h *history) restore(p point) {
	dir, req, res := h.restoreAs(p, h.chance(3))
	h.tell("= restored %s with %+v", p.ID(), *res)
	p.compare(h, dir, req, res)
	h.must(os.RemoveAll(dir))
	if res.Version != p.ReadTs {
		h.Errorf("%s: restored version is %d, want %d", p.ID(), res.Version, p.ReadTs)
	}
}

func (h *history) restoreAs(p point, keepVersions bool) (string, RestoreRequest, *RestoreResult) {
	req := RestoreRequest{
		From: h.at, Key: p.key, Series: p.Series, Number: p.Number, KeepVersions: keepVersions,
		Postings: filepath.Join(h.dir(), "out"), PostingsKey: sdk.NewSecret(h.databaseKey()),
	}
	p.target(h.r, &req)
	res, err := h.e.Restore(h.Context(), req)
	if err != nil {
		h.Fatalf("%s: %v", p.ID(), err)
	}
	return req.Postings, req, res
}

// goOnFromRestore replaces the database by its last backup, restored: the
// series goes on from there.
func (h *history) goOnFromRestore() {
	p := h.points[len(h.points)-1]
	dir, req, _ := h.restoreAs(p, !h.chance(4))
	h.tell("= goes on with %s restored, versions kept: %t, form %s", p.ID(), req.KeepVersions, req.Compat)
	h.w.adopt(dir, req)
}

// same compares what a restored database has with what it must have.
func (h *history) same(what string, got, want map[string]string) {
	h.Helper()
	shown := 0
	for _, keys := range [][]string{sorted(want), sorted(got)} {
		for _, k := range keys {
			g, inGot := got[k]
			w, inWant := want[k]
			if g == w && inGot == inWant || shown >= 6 {
				continue
			}
			shown++
			h.Errorf("%s: %s\n got %s\nwant %s", what, k, orNothing(g, inGot), orNothing(w, inWant))
			delete(got, k)
		}
	}
}

func orNothing(s string, ok bool) string {
	if !ok {
		return "nothing"
	}
	return s
}

// badgerOptions are those of a small database that opens fast and forgets
// nothing, with variety where files differ.
func badgerOptions(r *rand.Rand, dir string, key []byte) badger.Options {
	o := badger.DefaultOptions(dir).WithLogger(nil).WithMetricsEnabled(false).
		WithMemTableSize(512 << 10).WithBaseTableSize(32 << 10).WithBlockSize(1 << 10).
		WithValueLogFileSize(1 << 20).WithValueThreshold([]int64{16, 128, 8 << 10, 32 << 10}[r.IntN(4)]).
		WithBlockCacheSize(1 << 18).WithEncryptionKey(key).
		WithNumVersionsToKeep(math.MaxInt).WithDetectConflicts(false).
		WithNumGoroutines(1).WithNumCompactors(0).WithNumLevelZeroTables(1000).WithNumLevelZeroTablesStall(2000).
		WithCompression([]options.CompressionType{options.None, options.Snappy, options.ZSTD}[r.IntN(3)])
	if key != nil {
		o = o.WithIndexCacheSize(1 << 18)
	}
	return o
}
