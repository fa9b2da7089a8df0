package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A rawKey is a key provider that hands out its key, as the key file does.
type rawKey []byte

func (k rawKey) ExportKey(context.Context) (sdk.Secret, error) { return sdk.NewSecret(k), nil }
func (k rawKey) Wrap(context.Context, []byte) (sdk.WrappedKey, error) {
	return sdk.WrappedKey{}, sdk.ErrUnsupported
}

func (k rawKey) Unwrap(context.Context, sdk.WrappedKey) ([]byte, error) {
	return nil, sdk.ErrUnsupported
}

// fixture loads the backups that a real Dgraph made, and their key.
func fixture(t *testing.T, dir string) (host.Location, *host.Key) {
	t.Helper()
	mem := sdktest.NewMemory()
	root := filepath.Join(dir, "backup")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		return errors.Join(err, mem.Put(t.Context(), filepath.ToSlash(name), bytes.NewReader(data)))
	})
	if err != nil {
		t.Fatal(err)
	}
	var key *host.Key
	if raw, err := os.ReadFile(filepath.Join(dir, "key")); err == nil {
		key = &host.Key{Name: "raw", Provider: rawKey(raw)}
	}
	return host.Location{URI: dir, Destination: mem}, key
}

// What Dgraph made and a restore wrote, the store opens: it shows all of it, takes changes, and
// what is backed up of it is the one with the other. No new uid is one that is in use.
func TestOpensWhatDgraphMade(t *testing.T) {
	dirs, err := filepath.Glob("../testdata/fixtures/*/truth")
	if err != nil || len(dirs) < 10 {
		t.Fatalf("%d fixtures: %v", len(dirs), err)
	}
	for _, truth := range dirs {
		dir := filepath.Dir(truth)
		for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV21} {
			t.Run(filepath.Base(dir)+"/"+string(compat), func(t *testing.T) {
				t.Parallel()
				loc, key := fixture(t, dir)
				w := &world{TB: t, root: scratch(t), at: map[string]host.Location{}}
				w.e = &host.Engine{TempDir: w.root, Now: clock()}
				w.opt.Dir = filepath.Join(w.root, "db")
				res, err := w.e.Restore(t.Context(), host.RestoreRequest{From: loc, Key: key, Postings: w.opt.Dir, Compat: compat})
				w.must(err)
				highest := w.learn()
				if len(w.o.preds) < 3 {
					t.Fatalf("%d predicates", len(w.o.preds))
				}
				w.open()
				defer func() { w.close() }()
				w.check("opened")
				w.grow(max(highest, res.MaxUID))
			})
		}
	}
}

// grow makes changes, and backs up before, between and after them.
func (w *world) grow(highest uint64) {
	w.Helper()
	w.backup("a", host.BackupRequest{})
	uid, err := w.s.NewUIDs(100)
	w.must(err)
	if uid <= highest {
		w.Errorf("new uid %#x; %#x is in use", uid, highest)
	}
	w.people(0x77)
	w.addPeople(0x77, uid, uid+50, "new")
	for name, p := range w.o.preds {
		if name.Reserved() || name.Namespace == 0x77 {
			continue
		}
		w.mutate(store.Mutation{Del: []store.Edge{{UID: anyNode(p), Predicate: name, Star: true}}})
	}
	w.check("changed")
	w.incremental("a")
	w.reopen(false)
	w.check("opened again")
	for name := range w.o.preds {
		if !name.Reserved() {
			w.dropAttr(name)
			break
		}
	}
	w.incremental("a")
	for _, p := range w.points {
		w.restore(p, host.RestoreRequest{})
	}
	w.reborn(w.points[len(w.points)-1])
}

// anyNode is the first node of a predicate, or one that does not have it.
func anyNode(p *oraclePredicate) uint64 {
	first := uint64(1)
	for uid := range p.nodes {
		if first == 1 || uid < first {
			first = uid
		}
	}
	return first
}

// learn makes what is in the directory the oracle, and returns the highest uid in use.
func (w *world) learn() (highest uint64) {
	w.Helper()
	w.o = newOracle()
	w.o.records = nil
	groups, err := badgerdb.FindGroups(w.opt.Dir)
	w.must(err)
	src, err := badgerdb.OpenSource(groups, badgerdb.Options{})
	w.must(err)
	defer src.Close()
	lists := map[dgraph.Predicate]map[uint64]map[uint64]dgraph.Posting{}
	w.must(eachEntry(src, 0, func(g uint32, k *dgraph.Key, e *backupfile.Entry) error {
		switch {
		case k.Kind == dgraph.KeyType && !k.Reserved():
			t, err := dgraph.ParseTypeSchema(k.Predicate, e.Value)
			w.o.types[k.Predicate] = t.Fields
			return err
		case k.Kind == dgraph.KeySchema && (!k.Reserved() || k.Name == typePredicate):
			s, err := dgraph.ParsePredicateSchema(k.Predicate, e.Value)
			w.o.add(s).group = g
			return err
		case k.Kind == dgraph.KeyData:
			highest = max(highest, k.UID)
			list := map[uint64]dgraph.Posting{}
			for p, err := range dgraph.Postings(e.Value) {
				if err != nil {
					return err
				}
				p.Value.Data = slices.Clone(p.Value.Data)
				list[p.UID] = p
				if p.Kind == dgraph.PostingRef {
					highest = max(highest, p.UID)
				}
			}
			if lists[k.Predicate] == nil {
				lists[k.Predicate] = map[uint64]map[uint64]dgraph.Posting{}
			}
			lists[k.Predicate][k.UID] = list
		}
		return nil
	}))
	for name, nodes := range lists {
		switch p := w.o.preds[name]; {
		case p != nil:
			p.nodes = nodes
		case !name.Reserved() && !strings.Contains(name.Name, "__vector_"):
			w.Errorf("%s has data and no schema", name)
		}
	}
	return highest
}
