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

// Whichever operation fails, what is listed afterwards can be restored, and the
// next prune does the rest.
func TestEveryFailureOfPrune(t *testing.T) {
	for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV20} {
		whole := sdktest.NewMemory()
		now := threeSeries(t, Location{URI: "memory", Destination: whole}, compat)
		e := &Engine{Now: func() time.Time { return now }}
		for n := 1; ; n++ {
			mem := sdktest.NewMemory()
			clean := Location{URI: "memory", Destination: mem}
			copyAll(t, whole, mem)
			fault := sdktest.NewFault(mem)
			fault.FailAt(n, errInjected)
			_, err := e.Prune(t.Context(), PruneRequest{At: Location{URI: "faulty", Destination: fault}, Keep: 1})
			if fault.Count() < n {
				if err != nil {
					t.Fatalf("nothing failed, and yet: %v", err)
				}
				t.Logf("%s: %d operations", compat, n-1)
				break
			}
			if err != nil && !errors.Is(err, errInjected) {
				t.Errorf("operation %d: %v does not tell the cause", n, err)
			}
			for _, id := range ids(t, e, clean) {
				series, _, _ := strings.Cut(id, "/")
				report, err := e.Verify(t.Context(), VerifyRequest{From: clean, Series: series})
				if err != nil || !report.OK() {
					t.Errorf("%s: operation %d: series %s is listed, and broken: %v, %+v", compat, n, series, err, report)
				}
			}
			if _, err := e.Prune(t.Context(), PruneRequest{At: clean, Keep: 1, Abandoned: time.Nanosecond}); err != nil {
				t.Fatalf("operation %d: the next prune: %v", n, err)
			}
			if got := ids(t, e, clean); len(got) != 2 {
				t.Errorf("operation %d: after the next prune there are %v", n, got)
			}
			verified(t, e, clean, nil)
			for _, name := range names(t, clean) {
				if strings.Contains(name, "20260101") || strings.Contains(name, "20260102") {
					t.Errorf("%s: operation %d: %s is left after the next prune", compat, n, name)
				}
			}
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
