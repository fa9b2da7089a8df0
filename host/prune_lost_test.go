package host

import (
	"context"
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

// dgraphThenBrock makes a location with a series that Dgraph has made, and one of
// Brock's after it. It returns a time long after both.
func dgraphThenBrock(t *testing.T, mem *sdktest.Memory) (*Engine, Location) {
	t.Helper()
	all := fixtures(t)
	f := all[slices.IndexFunc(all, func(f fixture) bool { return f.name == "v25-plain" })]
	from := location(t, filepath.Join(f.dir, "backup"))
	at := Location{URI: "memory", Destination: mem}
	copyAll(t, from.Destination, mem)
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	e := &Engine{Now: func() time.Time { return now }}
	dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), KeepVersions: true})
	backup(t, e, dir, BackupRequest{To: at, ForceFull: true})
	now = now.Add(100 * 24 * time.Hour)
	return e, at
}

// undeletable refuses to delete objects, from the n-th one on.
type undeletable struct {
	*sdktest.Memory
	n int
}

func (u *undeletable) Delete(ctx context.Context, name string) error {
	if strings.HasSuffix(name, ".json") && !strings.Contains(name, "brock/") {
		return u.Memory.Delete(ctx, name)
	}
	if u.n--; u.n < 0 {
		return sdk.ErrPermission
	}
	return u.Memory.Delete(ctx, name)
}

// What Dgraph has made is in its manifest only. It is there again, in its place, when
// a prune could not remove it.
func TestPruneDeniedKeepsDgraphsBackups(t *testing.T) {
	for n := range 3 {
		mem := sdktest.NewMemory()
		e, at := dgraphThenBrock(t, mem)
		want := ids(t, e, at)
		ours := len(want) - 1
		want = slices.Delete(want, ours-n, ours) // the latest go first, an object each
		_, err := e.Prune(t.Context(), PruneRequest{At: Location{URI: "memory", Destination: &undeletable{mem, n}}, Keep: 1})
		if !errors.Is(err, sdk.ErrPermission) {
			t.Fatalf("%v; want ErrPermission", err)
		}
		if got := ids(t, e, at); !slices.Equal(got, want) {
			t.Errorf("%d deleted: %v are listed; want %v", n, got, want)
		}
		master, err := getAll(t.Context(), mem, manifest.MasterName)
		ms, parseErr := manifest.ParseMaster(master)
		if err != nil || parseErr != nil || len(ms) != len(want) || ms[len(ms)-1].ID() != want[len(want)-1] {
			t.Errorf("%d deleted: Dgraph sees %d backups, %v, %v; want %v", n, len(ms), err, parseErr, want)
		}
		verified(t, e, at, nil)
	}
}

// A series that cannot be restored does not count among those that are to stay:
// the latest one that can is never removed.
func TestPruneKeepsWhatCanBeRestored(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	list, err := e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if err := mem.Delete(t.Context(), list[4].Manifest.Object(1)); err != nil { // of the full backup of the latest series
		t.Fatal(err)
	}
	for _, req := range []PruneRequest{{Keep: 1}, {OlderThan: time.Hour}} {
		req.At = at
		res, err := e.Prune(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range res.Series {
			if s.ID != list[0].Manifest.Series {
				t.Errorf("%+v removes series %s", req, s.ID)
			}
		}
		report, err := e.Verify(t.Context(), VerifyRequest{From: at, Series: list[2].Manifest.Series})
		if err != nil || !report.OK() {
			t.Errorf("%+v: what could be restored before cannot be restored: %v, %+v", req, err, report)
		}
	}
}

// What no backup has made stays, wherever it lies.
func TestPruneLeavesAloneWhatIsNotOurs(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	list, err := e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	dir := list[0].Manifest.Path
	for _, name := range []string{dir + "/notes.txt", dir + "/copy/r1-g1.backup"} {
		if err := mem.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Prune(t.Context(), PruneRequest{At: at, Keep: 1}); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, name := range names(t, at) {
		if strings.HasPrefix(name, dir+"/") {
			left = append(left, name)
		}
	}
	if want := []string{dir + "/copy/r1-g1.backup", dir + "/notes.txt"}; !slices.Equal(left, want) {
		t.Errorf("left: %v; want %v", left, want)
	}
}

// Where every manifest is lost, the data of all backups looks like rubbish.
func TestPruneWithoutManifests(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	all := fixtures(t)
	f := all[slices.IndexFunc(all, func(f fixture) bool { return f.name == "v25-plain" })]
	copyAll(t, location(t, filepath.Join(f.dir, "backup")).Destination, mem)
	for _, name := range []string{manifest.MasterName, manifest.SummaryName} {
		if err := mem.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, at)
	e := &Engine{Now: func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }}
	if res, err := e.Prune(t.Context(), PruneRequest{At: at, Keep: 1}); err != nil || res.Objects != 0 {
		t.Errorf("%+v, %v; want that nothing is removed", res, err)
	}
	if got := names(t, at); !slices.Equal(got, before) {
		t.Errorf("%v are left of %v", got, before)
	}
}
