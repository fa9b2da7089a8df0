package host

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// threeSeries makes a location with three series of two backups each, one day
// after the other, and returns the time after all of them.
func threeSeries(t *testing.T, at Location, compat manifest.Compat) time.Time {
	t.Helper()
	f := fixtures(t)[0]
	from := location(t, filepath.Join(f.dir, "backup"))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := &Engine{Now: func() time.Time { return now }}
	var dirs []string
	for point := range 2 {
		dirs = append(dirs, restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true}))
	}
	for range 3 {
		backup(t, e, dirs[0], BackupRequest{To: at, Compat: compat, ForceFull: true})
		now = now.Add(12 * time.Hour)
		backup(t, e, dirs[1], BackupRequest{To: at, Compat: compat})
		now = now.Add(12 * time.Hour)
	}
	return now
}

func TestPruneKeeps(t *testing.T) {
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	all := ids(t, e, at)
	objects := names(t, at)
	for _, tt := range []struct {
		req  PruneRequest
		gone int // series
	}{
		{PruneRequest{}, 0},
		{PruneRequest{Keep: 3}, 0},
		{PruneRequest{Keep: 1}, 2},
		{PruneRequest{Keep: 2}, 1},
		{PruneRequest{OlderThan: time.Hour}, 2}, // never the latest
		{PruneRequest{OlderThan: 40 * time.Hour}, 1},
		{PruneRequest{OlderThan: 100 * time.Hour}, 0},
		{PruneRequest{Keep: 2, OlderThan: time.Hour}, 1},
		{PruneRequest{Keep: 1, OlderThan: 100 * time.Hour}, 0},
	} {
		tt.req.At, tt.req.DryRun = at, true
		res, err := e.Prune(t.Context(), tt.req)
		if err != nil || len(res.Series) != tt.gone || len(res.Abandoned) != 0 {
			t.Errorf("%+v: %+v, %v; want %d series", tt.req, res, err, tt.gone)
		}
	}
	if !slices.Equal(names(t, at), objects) {
		t.Fatal("a dry run has removed something")
	}
	res, err := e.Prune(t.Context(), PruneRequest{At: at, Keep: 2})
	if err != nil || res.Objects == 0 || res.Bytes == 0 || len(res.Series) != 1 || res.Series[0].Backups != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	if got := ids(t, e, at); !slices.Equal(got, all[2:]) {
		t.Errorf("%v are left, want %v", got, all[2:])
	}
	closing := manifest.RecordName(res.Series[0].ID, 3)
	for _, name := range names(t, at) {
		if (strings.Contains(name, res.Series[0].ID) || strings.Contains(name, "20260101")) && name != closing {
			t.Errorf("%s is left", name)
		}
	}
	now = now.Add(DefaultAbandoned + time.Hour)
	if res, err := e.Prune(t.Context(), PruneRequest{At: at}); err != nil || !slices.Equal(res.Leftovers, []string{closing}) {
		t.Errorf("%+v, %v; want that %s goes when no backup can be as old", res, err, closing)
	}
	master, err := getAll(t.Context(), at.Destination, manifest.MasterName)
	if ms, parseErr := manifest.ParseMaster(master); err != nil || parseErr != nil || len(ms) != 4 {
		t.Errorf("Dgraph sees %d backups, %v, %v; want 4", len(ms), err, parseErr)
	}
	verified(t, e, at, nil)
}

// rubbish adds what prunes and backups before may have left: a backup never committed, and
// a key, a pin and a closing of series that are gone. It returns the names.
func rubbish(t *testing.T, mem *sdktest.Memory) (left []string) {
	t.Helper()
	made := time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)
	_, digest := manifest.Binding("gone_one1", manifest.KindDgraph)
	key, err := manifest.EncodeKeyRecord(&manifest.KeyRecord{
		Series: "gone_one1", Created: made, Provider: "p", KeyCheck: "00", Wrapped: manifest.WrappedKey{Ciphertext: []byte{1}, AAD: digest},
	})
	if err != nil {
		t.Fatal(err)
	}
	pin, err := manifest.EncodePin(&manifest.Pin{Series: "gone_two2", Created: made})
	if err != nil {
		t.Fatal(err)
	}
	closing, err := manifest.EncodeClosing(&manifest.Closing{Series: "gone_three3", Number: 3, Created: made, Paths: []string{"dgraph.20251130.000000.000"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"dgraph.20251201.000000.000/r5-g1.backup": {1},
		"dgraph.20251201.000000.000/r5-g1.seal":   {1},
		manifest.KeyRecordName("gone_one1", 1):    key,
		manifest.PinName("gone_two2", 0):          pin,
		manifest.RecordName("gone_three3", 3):     closing,
	} {
		if err := mem.Put(t.Context(), name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		left = append(left, name)
	}
	slices.Sort(left)
	return left
}

// What is left of series that are gone goes when it is old, and not before.
func TestPruneCollectsWhatIsLeft(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	before := names(t, at)
	left := rubbish(t, mem)
	if res, err := e.Prune(t.Context(), PruneRequest{At: at, Abandoned: 1000 * time.Hour}); err != nil || res.Objects != 0 {
		t.Errorf("%+v, %v; want that nothing goes that is young", res, err)
	}
	for _, dry := range []bool{true, false} {
		res, err := e.Prune(t.Context(), PruneRequest{At: at, DryRun: dry})
		if err != nil || res.Objects != len(left) || len(res.Abandoned) != 1 || len(res.Leftovers) != 3 {
			t.Errorf("%+v, %v; want %v", res, err, left)
		}
	}
	if got := names(t, at); !slices.Equal(got, before) {
		t.Errorf("%v are left, want %v", got, before)
	}
}

var errKilled = errors.New("killed")

// Whichever operation fails, or is the last one before kill -9, what is listed afterwards can
// be restored, pins hold, and the next prune does the rest.
func TestEveryFailureOfPrune(t *testing.T) {
	for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV20} {
		whole := sdktest.NewMemory()
		now := threeSeries(t, Location{URI: "memory", Destination: whole}, compat)
		left := rubbish(t, whole)
		e := &Engine{Now: func() time.Time { return now }}
		all := ids(t, e, Location{URI: "memory", Destination: whole})
		pinned := all[:2]
		if _, err := e.Pin(t.Context(), PinRequest{At: Location{URI: "memory", Destination: whole}, Series: strings.TrimSuffix(pinned[0], "/1"), Number: 1}); err != nil {
			t.Fatal(err)
		}
		for how, fail := range map[string]func(mem *sdktest.Memory, n int) (d sdk.Destination, count func() int){
			"fails": func(mem *sdktest.Memory, n int) (sdk.Destination, func() int) {
				f := sdktest.NewFault(mem)
				f.FailAt(n, errInjected)
				return f, f.Count
			},
			"has no answer": func(mem *sdktest.Memory, n int) (sdk.Destination, func() int) {
				f := sdktest.NewFault(mem)
				f.LoseAt(n, errInjected)
				return f, f.Count
			},
			"comes after the kill": func(mem *sdktest.Memory, n int) (sdk.Destination, func() int) {
				count := 0
				return &watched{mem, func() error {
					if count++; count >= n {
						return errKilled
					}
					return nil
				}}, func() int { return count }
			},
		} {
			n := 1
			for ; ; n++ {
				mem := sdktest.NewMemory()
				copyAll(t, whole, mem)
				d, count := fail(mem, n)
				_, err := e.Prune(t.Context(), PruneRequest{At: Location{URI: "faulty", Destination: d}, Rules: KeepRules{Last: 1}})
				if count() < n {
					if err != nil {
						t.Fatalf("nothing failed, and yet: %v", err)
					}
					break
				}
				if err != nil && !errors.Is(err, errInjected) && !errors.Is(err, errKilled) {
					t.Errorf("operation %d %s: %v does not tell the cause", n, how, err)
				}
				afterAFailure(t, e, Location{URI: "memory", Destination: mem}, append(pinned, all[4:]...), left)
				if t.Failed() {
					t.Fatalf("%s: operation %d %s", compat, n, how)
				}
			}
			t.Logf("%s: each of %d operations %s", compat, n-1, how)
		}
	}
}

// afterAFailure checks a location and prunes it again: then what is wanted is there, and
// nothing else.
func afterAFailure(t *testing.T, e *Engine, at Location, want, left []string) {
	t.Helper()
	for _, id := range ids(t, e, at) {
		series, _, _ := strings.Cut(id, "/")
		report, err := e.Verify(t.Context(), VerifyRequest{From: at, Series: series})
		if err != nil || !report.OK() {
			t.Errorf("series %s is listed, and broken: %v, %+v", series, err, report)
		}
	}
	if _, err := e.Prune(t.Context(), PruneRequest{At: at, Rules: KeepRules{Last: 1}, Abandoned: time.Nanosecond}); err != nil {
		t.Fatalf("the next prune: %v", err)
	}
	if got := ids(t, e, at); !slices.Equal(got, want) {
		t.Errorf("after the next prune there are %v, want %v", got, want)
	}
	verified(t, e, at, nil)
	for _, name := range names(t, at) {
		if strings.Contains(name, "20260102") || slices.Contains(left, name) {
			t.Errorf("%s is left after the next prune", name)
		}
	}
}

func copyAll(t *testing.T, from, to sdk.Destination) {
	t.Helper()
	for o, err := range from.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := getAll(t.Context(), from, o.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Put(t.Context(), o.Name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPruneCollectsWhatWasNeverCommitted(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	for _, name := range []string{
		"dgraph.20251201.000000.000/r5-g1.backup", // rubbish
		"dgraph.20251201.000000.000/r5-g1.seal",
		"dgraph.20251202.000000.000/r5-g1.backup", // somebody keeps notes here
		"dgraph.20251202.000000.000/notes.txt",
		"dgraph.20260103.060000.000/r5-g1.backup", // a backup may be under way
		"other/r5-g1.backup",
		"brock-doctor-abc/object", // somebody who may not delete has tried
		"dgraph.tar",
	} {
		if err := mem.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	res, err := e.Prune(t.Context(), PruneRequest{At: at})
	if err != nil || !slices.Equal(res.Abandoned, []string{"brock-doctor-abc", "dgraph.20251201.000000.000"}) || res.Objects != 3 || len(res.Series) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if left := strings.Join(names(t, at), " "); strings.Contains(left, "20251201") || !strings.Contains(left, "20251202") || !strings.Contains(left, "0103.06") {
		t.Errorf("left: %s", left)
	}
}

// Where Dgraph's list of backups is gone, what Dgraph has made is not rubbish.
func TestPruneWithoutAMaster(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV20)
	const name = "dgraph.20251201.000000.000/r5-g1.backup"
	if err := mem.Put(t.Context(), name, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	e := &Engine{Now: func() time.Time { return now }}
	if res, err := e.Prune(t.Context(), PruneRequest{At: at}); err != nil || res.Objects != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if err := mem.Put(t.Context(), strings.Replace(name, "backup", "seal", 1), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if res, err := e.Prune(t.Context(), PruneRequest{At: at}); err != nil || res.Objects != 2 {
		t.Errorf("with a seal: %+v, %v", res, err)
	}
}

func TestPruneLeavesDamageAlone(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	threeSeries(t, at, manifest.CompatV23)
	if err := mem.Put(t.Context(), "brock/broken/1.json", strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	before := names(t, at)
	if _, err := new(Engine).Prune(t.Context(), PruneRequest{At: at, Keep: 1}); !IsDamage(err) {
		t.Errorf("%v; want damage", err)
	}
	if !slices.Equal(names(t, at), before) {
		t.Error("something was removed")
	}
}
