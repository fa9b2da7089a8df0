package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

var errInjected = errors.New("injected")

// ids lists the backups that are visible.
func ids(t testing.TB, e *Engine, at Location) (names []string) {
	t.Helper()
	list, err := e.List(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		names = append(names, l.Manifest.ID())
	}
	return names
}

// Whichever operation of the destination fails during an incremental backup, no
// backup becomes visible unless Backup said so, and the next one succeeds.
func TestEveryFailureOfBackup(t *testing.T) {
	f := fixtures(t)[0]
	e := &Engine{}
	from := location(t, filepath.Join(f.dir, "backup"))
	var dirs []string
	for point := range 2 {
		dirs = append(dirs, restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true}))
	}
	for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV20} {
		for n := 1; ; n++ {
			mem := sdktest.NewMemory()
			clean := Location{URI: "memory", Destination: mem}
			backup(t, e, dirs[0], BackupRequest{To: clean, Compat: compat})
			fault := sdktest.NewFault(mem)
			fault.FailAt(n, errInjected)
			src := source(t, dirs[1])
			_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: Location{URI: "faulty", Destination: fault}, Compat: compat})
			src.Close()
			if fault.Count() < n {
				if err != nil {
					t.Fatalf("nothing failed, and yet: %v", err)
				}
				t.Logf("%s: %d operations", compat, n-1)
				break
			}
			switch visible := len(ids(t, e, clean)); {
			case err != nil && !errors.Is(err, errInjected):
				t.Errorf("operation %d: %v does not tell the cause", n, err)
			case err != nil && visible != 1:
				t.Errorf("operation %d failed (%v) and %d backups are visible, want 1", n, err, visible)
			case err == nil && visible != 2:
				t.Errorf("operation %d: backup succeeded and %d backups are visible, want 2", n, visible)
			}
			if err != nil {
				backup(t, e, dirs[1], BackupRequest{To: clean, Compat: compat})
			}
			equalsTruth(t, e, f, 1, RestoreRequest{From: clean})
			equalsTruth(t, e, f, 0, RestoreRequest{From: clean, Number: 1})
			verified(t, e, clean, nil)
		}
	}
}

// Whichever operation of the destination fails during a restore, the target
// stays as it was and nothing is left beside it.
func TestEveryFailureOfRestore(t *testing.T) {
	f := fixtures(t)[0]
	e := &Engine{}
	from := location(t, filepath.Join(f.dir, "backup"))
	sealed := Location{URI: "memory", Destination: sdktest.NewMemory()}
	for point := range 2 {
		dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true})
		backup(t, e, dir, BackupRequest{To: sealed})
	}
	for name, at := range map[string]Location{"Dgraph's": from, "sealed": sealed} {
		for n := 1; ; n++ {
			parent := t.TempDir()
			out := filepath.Join(parent, "out")
			fault := sdktest.NewFault(at.Destination)
			fault.FailAt(n, errInjected)
			_, err := e.Restore(t.Context(), RestoreRequest{
				From: Location{URI: "faulty", Destination: fault}, Key: keyOf(f.key), Number: 2, Postings: out,
			})
			if fault.Count() < n {
				if err != nil {
					t.Fatalf("%s: nothing failed, and yet: %v", name, err)
				}
				t.Logf("%s: %d operations", name, n-1)
				break
			}
			if err == nil { // the operation was past what a restore needs
				quads, _ := exported(t, e, out, f.exportCompat())
				want, _ := truth(t, f, 1)
				sameLines(t, name, quads, want)
				continue
			}
			if !errors.Is(err, errInjected) {
				t.Errorf("%s: operation %d: %v does not tell the cause", name, n, err)
			}
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("%s: operation %d: %v is left", name, n, left)
			}
		}
	}
}

// A destination that loses the answer to one operation after carrying it out.
type forgetful struct {
	*sdktest.Memory
	lose, count int
}

func (f *forgetful) lost(err error) error {
	f.count++
	if err == nil && f.count == f.lose {
		return sdk.ErrUnavailable
	}
	return err
}

func (f *forgetful) Put(ctx context.Context, name string, r io.Reader) error {
	return f.lost(f.Memory.Put(ctx, name, r))
}

func (f *forgetful) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	v, err := f.Memory.Replace(ctx, name, r, version)
	return v, f.lost(err)
}

func (f *forgetful) Delete(ctx context.Context, name string) error {
	return f.lost(f.Memory.Delete(ctx, name))
}

// An operation that was carried out although its answer was lost is no reason
// to fail, or to publish twice; only a group's own object is not tried again.
func TestLostAnswers(t *testing.T) {
	f := fixtures(t)[0]
	e := &Engine{}
	dir := restore(t, e, RestoreRequest{From: location(t, filepath.Join(f.dir, "backup")), Key: keyOf(f.key), Number: 1})
	for n := 1; ; n++ {
		dst := &forgetful{Memory: sdktest.NewMemory(), lose: n}
		at := Location{URI: "forgetful", Destination: dst}
		src := source(t, dir)
		_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at})
		src.Close()
		if dst.count < n {
			break
		}
		want := 1
		if err != nil {
			want = 0
		}
		if got := ids(t, e, at); len(got) != want {
			t.Errorf("operation %d: Backup says %v and %q is visible", n, err, got)
		}
		if err != nil && n > 1 {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}

// Two backups that chose one directory in the same millisecond cannot both be committed.
func TestOneDirectoryForTwo(t *testing.T) {
	clock := time.Date(2026, 11, 21, 4, 18, 13, 437e6, time.UTC)
	e := &Engine{Now: func() time.Time { return clock }}
	a, b := newShelf(t), newShelf(t)
	a.put("a", 0, 3)
	b.put("b", 0, 5)
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	src := source(t, b.dir)
	defer src.Close()
	var first *BackupResult
	meet := &meeting{Memory: mem, at: func() { first = backup(t, e, a.dir, BackupRequest{To: at}) }}
	_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: Location{URI: "meeting", Destination: meet}})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), first.Manifest.Path) {
		t.Errorf("the slower one: %v", err)
	}
	if got := ids(t, e, at); len(got) != 1 || got[0] != first.Manifest.ID() {
		t.Errorf("visible: %q", got)
	}
	a.restores(at, nil, 0, a.has)
	if n := len(names(t, at)); n != 3 {
		t.Errorf("%q are there, want the first one's three", names(t, at))
	}
	if res := backup(t, e, b.dir, BackupRequest{To: at, ForceFull: true}); res.Manifest.Path == first.Manifest.Path {
		t.Errorf("the next one is in %s, too", res.Manifest.Path)
	}
}

// Of a database that Dgraph has no list for, too, the latest backup is the one that was taken last.
func TestTheLatestIsLastWhateverTheClockSays(t *testing.T) {
	clock := time.Date(2026, 11, 21, 4, 18, 13, 437e6, time.UTC)
	e := &Engine{Now: func() time.Time { return clock }}
	s := newShelf(t)
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	var want []string
	for i, hours := range []time.Duration{0, -1, 9000, -9001, 1} {
		clock = clock.Add(hours * time.Hour)
		s.put("a", i, i+1)
		res := backup(t, e, s.dir, BackupRequest{To: at, ForceFull: true})
		want = append(want, res.Manifest.ID())
		if got := ids(t, e, at); !slices.Equal(got, want) {
			t.Errorf("%q are there; want %q", got, want)
		}
		if got := res.Manifest.Taken(); !got.Equal(clock) {
			t.Errorf("it was taken at %v; want %v", got, clock)
		}
		s.restores(at, nil, 0, s.has)
	}
}

// A cutter keeps half of the files it is given.
type cutter struct{ *sdktest.Memory }

func (c cutter) Put(ctx context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err == nil && strings.HasSuffix(name, ".backup") {
		data = data[:len(data)/2]
	}
	return errors.Join(err, c.Memory.Put(ctx, name, bytes.NewReader(data)))
}

// A backup is not complete if its files are not what they were when they were stored.
func TestABackupThatWasCutOffIsNotCommitted(t *testing.T) {
	s := newShelf(t)
	s.put("a", 0, 3)
	at := Location{URI: "cutter", Destination: cutter{sdktest.NewMemory()}}
	src := source(t, s.dir)
	defer src.Close()
	_, err := (&Engine{}).Backup(t.Context(), BackupRequest{Source: src, To: at})
	if !IsDamage(err) || !strings.Contains(err.Error(), ".backup: ") {
		t.Errorf("Backup: %v; want damage that names the file", err)
	}
	if got := names(t, at); len(got) > 0 {
		t.Errorf("%q are left", got)
	}
}

// A meeting lets something happen before the first object is stored.
type meeting struct {
	*sdktest.Memory
	at   func()
	once sync.Once
}

func (m *meeting) Put(ctx context.Context, name string, r io.Reader) error {
	m.once.Do(m.at)
	return m.Memory.Put(ctx, name, r)
}

// Whoever can write to a location, but has no key, cannot make a restore drop anything.
func TestForgedRecord(t *testing.T) {
	e := &Engine{}
	key := keyOf(testKeys["AES-256"])
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	s := newShelf(t)
	s.put("a", 0, 3)
	backup(t, e, s.dir, BackupRequest{To: at, Key: key})
	s.put("b", 0, 3)
	m := backup(t, e, s.dir, BackupRequest{To: at, Key: key}).Manifest
	s.restores(at, key, 0, s.has)
	m.Record.BadgerDrops = []manifest.BadgerDrop{{Prefix: []byte("a")}}
	forged, err := manifest.EncodeRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	mem.Set(manifest.RecordName(m.Series, m.Number), forged)
	_, err = e.Restore(t.Context(), RestoreRequest{From: at, Key: key, Postings: filepath.Join(t.TempDir(), "out")})
	if !IsDamage(err) || !strings.Contains(err.Error(), manifest.RecordName(m.Series, m.Number)) {
		t.Errorf("a drop was added to the record: %v", err)
	}
}
