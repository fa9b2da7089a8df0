package host

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestPins(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	now := threeSeries(t, at, manifest.CompatV23)
	e := &Engine{Now: func() time.Time { return now }}
	list, err := e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	series := list[0].Manifest.Series
	first, err := e.Pin(t.Context(), PinRequest{At: at, Series: series, Number: 1, Reason: "before the migration"})
	if err != nil || first.Reason != "before the migration" || !first.Created.Equal(now) {
		t.Fatalf("%+v, %v", first, err)
	}
	now = now.Add(time.Hour)
	again, err := e.Pin(t.Context(), PinRequest{At: at, Series: series, Number: 1, Reason: "another"})
	if err != nil || *again != *first {
		t.Errorf("%+v, %v; want the pin that there is, %+v", again, err, first)
	}
	if latest, err := e.Pin(t.Context(), PinRequest{At: at}); err != nil || latest.Series != list[4].Manifest.Series || latest.Number != 0 {
		t.Errorf("%+v, %v; want the latest series", latest, err)
	}
	list, err = e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false, false, true, true} {
		if got := list[i].Pin != nil; got != want {
			t.Errorf("%s is pinned: %v, want %v", list[i].Manifest.ID(), got, want)
		}
	}
	c := &catalogue{pins: map[string]*manifest.Pin{}}
	for _, n := range []int{0, 2, 4, 10} {
		c.pins[manifest.PinName("s", n)] = nil
	}
	for number, want := range []int{2, 2, 2, 4, 4, 10, 10, 10, 10, 10, 10, 0} {
		if got := c.pinned(&manifest.Manifest{Series: "s", Number: number}); got.Number != want {
			t.Errorf("backup %d is held by pin %d, want %d", number, got.Number, want)
		}
	}
	prune := func(wantGone, wantKept int) *PruneResult {
		t.Helper()
		res, err := e.Prune(t.Context(), PruneRequest{At: at, Rules: KeepRules{Last: 1}, DryRun: true})
		if err != nil || len(res.Series) != wantGone || len(res.Kept) != wantKept {
			t.Errorf("%+v, %v; want that %d go and %d stay", res, err, wantGone, wantKept)
		}
		return res
	}
	if got := prune(1, 2).Kept[0]; got.ID != series || len(got.Picked) != 1 || !slices.Equal(got.Picked[0].Reasons, []string{StaysPinned}) || got.Picked[0].Number != 1 {
		t.Errorf("%+v; want backup 1 of %s, which is pinned", got, series)
	}

	// One that is damaged holds all the same, and can be taken away.
	name := manifest.PinName(series, 1)
	if err := mem.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	prune(2, 1)
	if err := mem.Put(t.Context(), name, strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	prune(1, 2)
	if _, err := e.Pin(t.Context(), PinRequest{At: at, Series: series, Number: 1}); !IsDamage(err) {
		t.Errorf("%v; want damage", err)
	}
	if n, err := e.Unpin(t.Context(), at, series, 1); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	prune(2, 1)
}

func TestUnpin(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	threeSeries(t, at, manifest.CompatV23)
	e := new(Engine)
	all := ids(t, e, at)
	series, _, _ := strings.Cut(all[0], "/")
	for _, n := range []int{0, 1, 2} {
		if _, err := e.Pin(t.Context(), PinRequest{At: at, Series: series, Number: n}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := e.Unpin(t.Context(), at, series, 2); n != 1 || err != nil {
		t.Errorf("of one backup: %d, %v", n, err)
	}
	if n, err := e.Unpin(t.Context(), at, series, 0); n != 2 || err != nil {
		t.Errorf("of the series: %d, %v", n, err)
	}
	if _, err := e.Unpin(t.Context(), at, series, 0); !errors.Is(err, manifest.ErrNoBackup) {
		t.Errorf("of one that is not pinned: %v", err)
	}
	for _, req := range []PinRequest{{Series: "nobody_here0"}, {Series: series, Number: 9}} {
		req.At = at
		if _, err := e.Pin(t.Context(), req); !errors.Is(err, manifest.ErrNoBackup) {
			t.Errorf("%+v: %v; want ErrNoBackup", req, err)
		}
	}
	for _, reason := range []string{"two\nlines", strings.Repeat("x", manifest.MaxReason+1)} {
		if _, err := e.Pin(t.Context(), PinRequest{At: at, Series: series, Reason: reason}); !IsUsage(err) {
			t.Errorf("%.10q: %v; want a usage error", reason, err)
		}
	}
	for _, name := range names(t, at) {
		if _, pin := manifest.IsPin(name); pin {
			t.Errorf("%s is left", name)
		}
	}
}

// A dry run writes nothing, not even what other commands would repair.
func TestPruneDryRunWritesNothing(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	threeSeries(t, at, manifest.CompatV23)
	if err := mem.Delete(t.Context(), manifest.MasterName); err != nil { // as if every backup had been killed after its commit
		t.Fatal(err)
	}
	tr := sdktest.NewTrace(mem)
	res, err := new(Engine).Prune(t.Context(), PruneRequest{At: Location{URI: "trace", Destination: tr}, Rules: KeepRules{Last: 1}, DryRun: true})
	if err != nil || len(res.Series) != 2 || res.Objects == 0 {
		t.Errorf("%+v, %v", res, err)
	}
	for _, line := range tr.Lines() {
		if verb, _, _ := strings.Cut(line, " "); verb != "list" && verb != "get" {
			t.Errorf("a dry run does: %s", line)
		}
	}
}
