package host

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

var testKeys = map[string][]byte{
	"plain":   nil,
	"AES-128": bytes.Repeat([]byte("k"), 16),
	"AES-256": bytes.Repeat([]byte("K"), 32),
}

func restore(t testing.TB, e *Engine, req RestoreRequest) string {
	t.Helper()
	req.Postings = filepath.Join(t.TempDir(), "out")
	if _, err := e.Restore(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return req.Postings
}

func backup(t testing.TB, e *Engine, postings string, req BackupRequest) *BackupResult {
	t.Helper()
	src := source(t, postings)
	defer src.Close()
	req.Source = src
	res, err := e.Backup(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// equalsTruth restores one backup and compares its text with a fixture's.
func equalsTruth(t testing.TB, e *Engine, f fixture, point int, req RestoreRequest) {
	t.Helper()
	quads, schema := exported(t, e, restore(t, e, req), f.exportCompat())
	wantQuads, wantSchema := truth(t, f, point)
	sameLines(t, fmt.Sprintf("point %d", point), quads, wantQuads)
	sameLines(t, fmt.Sprintf("point %d schema", point), schema, wantSchema)
}

// Every point of every fixture, backed up by Brock in every form and restored,
// is what Dgraph's cluster held.
func TestBackupOfRestoredPoint(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			e := &Engine{}
			from := location(t, filepath.Join(f.dir, "backup"))
			for point := range f.points {
				dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1})
				for name, key := range testKeys {
					for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV21, manifest.CompatV20} {
						t.Run(fmt.Sprintf("point%d/%s/%s", point, name, compat), func(t *testing.T) {
							to := Location{URI: "memory", Destination: sdktest.NewMemory()}
							backup(t, e, dir, BackupRequest{To: to, Key: keyOf(key), Compat: compat})
							equalsTruth(t, e, f, point, RestoreRequest{From: to, Key: keyOf(key)})
							proved(t, e, to, keyOf(key))
						})
					}
				}
			}
		})
	}
}

// verified restores the latest backup to a scratch directory and compares.
func verified(t testing.TB, e *Engine, at Location, key *Key) *VerifyReport {
	t.Helper()
	report, err := e.Verify(t.Context(), VerifyRequest{From: at, Key: key, Mode: VerifyRestore})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Errorf("verify: %+v", report.Backups)
	}
	return report
}

// proved is verified, for a backup that carries the database's fingerprint.
func proved(t testing.TB, e *Engine, at Location, key *Key) {
	t.Helper()
	if !verified(t, e, at, key).Proved {
		t.Error("the restored database was not compared with the fingerprint")
	}
}

// A chain of incrementals over a fixture's points restores to each of them.
func TestChainOverPoints(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV21, manifest.CompatV20} {
			t.Run(f.name+"/"+string(compat), func(t *testing.T) {
				t.Parallel()
				e := &Engine{}
				from := location(t, filepath.Join(f.dir, "backup"))
				to := Location{URI: "memory", Destination: sdktest.NewMemory()}
				key := keyOf(testKeys["AES-256"])
				for point := range f.points {
					dir := restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true})
					res := backup(t, e, dir, BackupRequest{To: to, Key: key, Compat: compat, Prove: true})
					if res.Manifest.Number != point+1 {
						t.Fatalf("point %d became backup %s", point, res.Manifest.ID())
					}
					proved(t, e, to, key)
				}
				for point := range f.points {
					equalsTruth(t, e, f, point, RestoreRequest{From: to, Key: key, Number: point + 1})
				}
			})
		}
	}
}

// What a plain Badger database lost without a record, an incremental backup
// records as deleted.
func TestKeysThatVanished(t *testing.T) {
	s := newShelf(t)
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	s.put("a", 0, 20)
	s.put("b", 0, 20)
	s.put("c", 0, 1)
	backup(t, &Engine{}, s.dir, BackupRequest{To: at})
	drop := func(prefix string, drop func(*badger.DB, ...[]byte) error) {
		inBadger(t, s.dir, func(db *badger.DB) {
			if err := drop(db, []byte(prefix)); err != nil {
				t.Fatal(err)
			}
			s.clock = max(s.clock, db.MaxVersion())
		})
		maps.DeleteFunc(s.has, func(k, _ string) bool { return strings.HasPrefix(k, prefix) })
	}
	drop("a", (*badger.DB).DropPrefix)
	s.put("c", 0, 1)
	if res := backup(t, &Engine{}, s.dir, BackupRequest{To: at}); res.Manifest.Number != 2 || res.Entries != 21 {
		t.Errorf("after a drop without a record: backup %s of %d entries, want 20 deletes and one that is new", res.Manifest.ID(), res.Entries)
	}
	s.restores(at, nil, 2, s.has)
	drop("b", badgerdb.DropPrefix)
	if res := backup(t, &Engine{}, s.dir, BackupRequest{To: at}); res.Manifest.Number != 3 || res.Entries != 0 {
		t.Errorf("after a recorded drop: backup %s of %d entries", res.Manifest.ID(), res.Entries)
	}
	s.restores(at, nil, 3, s.has)
}

func inBadger(t testing.TB, dir string, do func(*badger.DB)) {
	t.Helper()
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil).WithNumVersionsToKeep(math.MaxInt32))
	if err != nil {
		t.Fatal(err)
	}
	do(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
