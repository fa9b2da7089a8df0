package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// firstOf is a location that holds only the full backup that a real Dgraph began
// a series with.
func firstOf(t testing.TB, f fixture) Location {
	t.Helper()
	all := location(t, filepath.Join(f.dir, "backup"))
	chain, err := (&Engine{}).List(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	mem := sdktest.NewMemory()
	for obj, err := range all.Destination.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := getAll(t.Context(), all.Destination, obj.Name)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case obj.Name == manifest.SummaryName:
			continue
		case obj.Name == manifest.MasterName:
			data = firstManifest(t, data)
		case filepath.Dir(obj.Name) != chain[0].Manifest.Path:
			continue
		}
		if err := mem.Put(context.Background(), obj.Name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	return Location{URI: "Dgraph's", Destination: mem}
}

func firstManifest(t testing.TB, master []byte) []byte {
	t.Helper()
	var m struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(master, &m); err != nil {
		t.Fatal(err)
	}
	m.Manifests = m.Manifests[:1]
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A series that Dgraph began can be continued by Brock, and each of its points is
// what the cluster held.
func TestContinueDgraphSeries(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, compat := range []manifest.Compat{f.compat(), manifest.CompatV23} {
			t.Run(f.name+"/"+string(compat), func(t *testing.T) {
				t.Parallel()
				e := &Engine{}
				from := location(t, filepath.Join(f.dir, "backup"))
				to := firstOf(t, f)
				before := names(t, to)
				for point := 1; point < f.points; point++ {
					dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true})
					res := backup(t, e, dir, BackupRequest{To: to, Key: keyOf(f.key), Compat: compat})
					if res.Manifest.Number != point+1 {
						t.Fatalf("point %d became backup %s", point, res.Manifest.ID())
					}
				}
				for point := range f.points {
					equalsTruth(t, e, f, point, RestoreRequest{From: to, Key: keyOf(f.key), Number: point + 1})
				}
				for _, name := range before {
					if !slices.Contains(names(t, to), name) {
						t.Errorf("%s of Dgraph's is gone", name)
					}
				}
			})
		}
	}
}

func names(t testing.TB, at Location) (names []string) {
	t.Helper()
	for obj, err := range at.Destination.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, obj.Name)
	}
	return names
}

// A group that had not come as far as another when a backup was taken is read
// from where it was, not from the backup's read timestamp.
func TestGroupThatLagged(t *testing.T) {
	parent := t.TempDir()
	p1, p2 := filepath.Join(parent, "p1"), filepath.Join(parent, "p2")
	set := func(dir string, at uint64, key string) {
		inBadger(t, dir, func(db *badger.DB) {
			txn := db.NewTransactionAt(at, true)
			if err := txn.Set([]byte(key), []byte("value")); err != nil {
				t.Fatal(err)
			}
			if err := txn.CommitAt(at, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	e := &Engine{}
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	set(p1, 90, "a")
	set(p2, 100, "b")
	backup(t, e, parent, BackupRequest{To: at})
	set(p1, 95, "late")
	set(p2, 110, "c")
	if res := backup(t, e, parent, BackupRequest{To: at}); res.Entries != 2 {
		t.Errorf("%d entries, want those at 95 and at 110", res.Entries)
	}
	got := restore(t, e, RestoreRequest{From: at})
	inBadger(t, filepath.Join(got, "p1"), func(db *badger.DB) {
		if _, err := db.NewTransactionAt(200, false).Get([]byte("late")); err != nil {
			t.Errorf("the late commit: %v", err)
		}
	})
}

// A series cannot be continued without a group that it has, or under another key
// than that of the Dgraph that began it.
func TestContinueRefuses(t *testing.T) {
	e := &Engine{}
	for _, f := range fixtures(t) {
		from := location(t, filepath.Join(f.dir, "backup"))
		switch f.name {
		case "v21.03-groups":
			dir := restore(t, e, RestoreRequest{From: from, Number: 2, KeepVersions: true})
			src := source(t, filepath.Join(dir, "p1"))
			_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: firstOf(t, f)})
			if !IsUsage(err) || !strings.Contains(err.Error(), "groups [2]") {
				t.Errorf("without group 2: %v", err)
			}
		case "v25-encrypted-32":
			dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: 2, KeepVersions: true})
			_, err := e.Backup(t.Context(), BackupRequest{Source: source(t, dir), To: firstOf(t, f), Key: keyOf(testKeys["AES-256"])})
			if !IsUsage(err) || !errors.Is(err, backupfile.ErrWrongKey) {
				t.Errorf("under another key: %v", err)
			}
		}
	}
}

// A commit record that cannot be read spoils its own series and no other.
func TestBrokenRecord(t *testing.T) {
	e := &Engine{}
	f := fixtures(t)[0]
	dir := restore(t, e, RestoreRequest{From: location(t, filepath.Join(f.dir, "backup")), Key: keyOf(f.key), Number: 1})
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	first := backup(t, e, dir, BackupRequest{To: at}).Manifest
	second := backup(t, e, dir, BackupRequest{To: at, ForceFull: true}).Manifest
	name := manifest.RecordName(first.Series, 1)
	data := mem.Bytes(name)
	data[len(data)/2] ^= 1
	mem.Set(name, data)
	equalsTruth(t, e, f, 0, RestoreRequest{From: at})
	_, err := e.Restore(t.Context(), RestoreRequest{From: at, Series: first.Series, Postings: filepath.Join(t.TempDir(), "out")})
	if !IsDamage(err) || !strings.Contains(err.Error(), name) {
		t.Errorf("restore of the series: %v", err)
	}
	list, err := e.List(t.Context(), at)
	if err != nil || len(list) != 2 {
		t.Fatalf("list: %v, %v", list, err)
	}
	for _, l := range list {
		if broken := l.Manifest.Series == first.Series; (len(l.Missing) > 0) != broken {
			t.Errorf("%s: missing %q", l.Manifest.ID(), l.Missing)
		}
	}
	if second.Series == first.Series {
		t.Error("a forced full backup went on with the series")
	}
}

// Beside a manifest or a commit record that is broken or gone, what is whole is listed
// and can be restored by its name; nothing is built on the rest.
func TestBesideBrokenManifests(t *testing.T) {
	e := &Engine{}
	key := keyOf(testKeys["AES-256"])
	f := fixtures(t)[0]
	var dirs []string
	for point := range 2 {
		dirs = append(dirs, restore(t, e, RestoreRequest{From: location(t, filepath.Join(f.dir, "backup")), Key: keyOf(f.key), Number: point + 1, KeepVersions: true}))
	}
	spoil := func(mem *sdktest.Memory, name string) {
		data := mem.Bytes(name)
		data[len(data)/2] ^= 1
		mem.Set(name, data)
	}
	for name, test := range map[string]struct {
		spoil   func(mem *sdktest.Memory, series string)
		object  func(series string) string
		listed  int
		first   bool // the first backup needs no name
		last    bool // the second can be restored by its name
		newFull bool // a new series may begin beside it
	}{
		"master is garbage": {
			func(mem *sdktest.Memory, _ string) { mem.Set(manifest.MasterName, []byte("{")) },
			func(string) string { return manifest.MasterName }, 3, false, true, false,
		},
		"master contradicts": {
			func(mem *sdktest.Memory, _ string) {
				mem.Set(manifest.MasterName, bytes.Replace(mem.Bytes(manifest.MasterName), []byte(`"backup_num":2`), []byte(`"backup_num":3`), 1))
			},
			func(string) string { return manifest.MasterName }, 3, false, true, false,
		},
		"last record is garbage": {
			func(mem *sdktest.Memory, series string) { spoil(mem, manifest.RecordName(series, 2)) },
			func(series string) string { return manifest.RecordName(series, 2) }, 2, true, false, true,
		},
		"last record is garbage and not published": {
			func(mem *sdktest.Memory, series string) {
				spoil(mem, manifest.RecordName(series, 2))
				mem.Set(manifest.MasterName, firstManifest(t, mem.Bytes(manifest.MasterName)))
			},
			func(series string) string { return manifest.RecordName(series, 2) }, 2, true, false, true,
		},
		"last record is gone": {
			func(mem *sdktest.Memory, series string) {
				if err := mem.Delete(context.Background(), manifest.RecordName(series, 2)); err != nil {
					t.Fatal(err)
				}
			},
			func(series string) string { return manifest.RecordName(series, 2) }, 2, true, true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := sdktest.NewMemory()
			at := Location{URI: "memory", Destination: mem}
			series := backup(t, e, dirs[0], BackupRequest{To: at, Key: key}).Manifest.Series
			backup(t, e, dirs[1], BackupRequest{To: at, Key: key})
			test.spoil(mem, series)
			object := test.object(series)
			list, err := e.List(t.Context(), at)
			if err != nil || len(list) != test.listed {
				t.Fatalf("%d backups are listed, want %d; %v", len(list), test.listed, err)
			}
			if len(list[0].Missing) > 0 {
				t.Errorf("the first backup lacks %q", list[0].Missing)
			}
			if last := list[len(list)-1]; len(last.Missing) != 1 || !strings.Contains(last.Missing[0], object) {
				t.Errorf("the last one listed lacks %q, want %s", last.Missing, object)
			}
			named := func(number int) error {
				_, err := e.Restore(t.Context(), RestoreRequest{From: at, Key: key, Series: series, Number: number, Postings: filepath.Join(t.TempDir(), "out")})
				return err
			}
			equalsTruth(t, e, f, 0, RestoreRequest{From: at, Key: key, Series: series, Number: 1})
			if report, err := e.Verify(t.Context(), VerifyRequest{From: at, Key: key, Series: series, Number: 1, Mode: VerifyDeep}); err != nil || !report.OK() {
				t.Errorf("verify of the first: %+v, %v", report, err)
			}
			if test.first {
				equalsTruth(t, e, f, 0, RestoreRequest{From: at, Key: key, Number: 1})
			}
			switch err := named(2); {
			case test.last && err != nil:
				t.Errorf("restore of the second: %v", err)
			case !test.last && (!IsDamage(err) || !strings.Contains(err.Error(), object)):
				t.Errorf("restore of the second: %v, want damage of %s", err, object)
			}
			src := source(t, dirs[1])
			defer src.Close()
			for _, force := range []bool{false, true} {
				_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at, Key: key, ForceFull: force})
				if wanted := force && test.newFull; wanted != (err == nil) || err != nil && (!strings.Contains(err.Error(), object) && force || Hint(err) == "") {
					t.Errorf("backup, forced %t: %v, hint %q", force, err, Hint(err))
				}
			}
		})
	}
}
