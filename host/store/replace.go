package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/durable"
)

const (
	sideDir  = "new"     // where a Replace is made, with all that is needed for that
	newDir   = "new/db"  // what it makes
	oldDir   = "old"     // what it replaces
	planFile = "replace" // that it happens: from here on there is no way back
)

// A replacement is what the file replace holds, as JSON: directories, relative to that
// of the store.
type replacement struct {
	Old   []string   `json:"old"` // go to brock-log/old
	New   []string   `json:"new"` // come from brock-log/new/db
	State savedState `json:"state"`
}

// Replace puts another database in the place of this one. The function writes it to
// dir, which is not there yet, as p1, p2, ..., every list at that version, and may use the
// directory above; until it returns, reads go on and
// writes fail with ErrDraining. An error leaves everything as it was. A backup that
// follows sees a DROP_ALL and all of the new data.
func (s *Store) Replace(ctx context.Context, restore func(ctx context.Context, dir string, version uint64) error) error {
	if !s.replacing.TryLock() {
		return fmt.Errorf("%w: another restore is running", ErrDraining)
	}
	defer s.replacing.Unlock()
	if was := s.draining.Swap(true); !was {
		defer s.draining.Store(false)
	}
	if _, err := os.Stat(filepath.Join(s.opt.Dir, "MANIFEST")); err == nil {
		return invalid("%s is a p directory itself, which cannot be replaced while it is in use: serve the directory above it", s.opt.Dir)
	}
	defer s.restoring.Store(false)
	var version uint64
	err := s.exclusive(ctx, func() error {
		version = s.ts + 1
		s.restoring.Store(true)
		return s.write(&record{kind: recordTs, ts: version, uid: s.leasedUIDs()})
	})
	if err != nil {
		return err
	}
	side, dir := filepath.Join(s.logDir(), sideDir), filepath.Join(s.logDir(), newDir)
	if err := os.RemoveAll(side); err != nil {
		return err
	}
	defer func() {
		if _, err := os.Lstat(filepath.Join(s.logDir(), planFile)); errors.Is(err, fs.ErrNotExist) {
			os.RemoveAll(side) // with a plan, the next start needs it
		}
	}()
	if err := errors.Join(os.Mkdir(side, 0o700), durable.SyncDir(s.logDir())); err != nil {
		return err
	}
	if err := restore(ctx, dir, version); err != nil {
		return err
	}
	state, err := s.finishNew(ctx, dir, version)
	if err != nil {
		return fmt.Errorf("what was restored cannot be used: %w", err)
	}
	return s.exclusive(ctx, func() error { return s.swap(ctx, dir, *state) })
}

// finishNew opens what was restored, to see that it can be, and adds what tells backups
// that nothing is as it was.
func (s *Store) finishNew(ctx context.Context, dir string, version uint64) (_ *savedState, err error) {
	dirs, err := badgerdb.FindGroups(dir)
	if err != nil {
		return nil, err
	}
	state := &savedState{}
	for g, d := range dirs {
		if err := state.add(ctx, g, d, s.opt); err != nil {
			return nil, err
		}
	}
	present := s.State()
	next := &Store{opt: s.opt, uid: max(state.UID, present.MaxUID, s.leasedUIDs()), schema: newSchema()}
	if next.dbs, err = openDatabases(dirs, s.opt); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, next.dbs.close()) }()
	sc, err := loadSchema(next.dbs)
	if err != nil {
		return nil, err
	}
	ts := max(version, state.Ts) + 1
	entries, _, err := next.reserved(sc, ts, 0)
	if err != nil {
		return nil, err
	}
	tell, uid, err := next.tell(dgraph.Drop{Kind: dgraph.DropAll}, ts)
	if err != nil {
		return nil, err
	}
	if err := next.apply(next.dbs, &record{kind: recordCommit, entries: append(entries, tell)}); err != nil {
		return nil, err
	}
	return &savedState{Ts: ts, UID: uid, Ns: max(state.Ns, present.MaxNs), ID: s.id}, markGroups(dir, s.id)
}

// swap closes the database, puts the other in its place and opens that.
func (s *Store) swap(ctx context.Context, dir string, state savedState) error {
	old := s.dbs
	if err := s.lastReader(ctx); err != nil {
		return err
	}
	reopened := false
	defer func() {
		if !reopened {
			s.admitReaders()
		}
	}()
	if err := s.checkpoint(); err != nil {
		return err
	}
	plan := replacement{State: state}
	for _, db := range old.byGroup {
		plan.Old = append(plan.Old, filepath.Base(db.Opts().Dir))
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.IsDir() && badgerdb.IsGroupDir(n.Name()) {
			plan.New = append(plan.New, n.Name())
		}
	}
	b, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	if err := s.crash("plan"); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.logDir(), oldDir)); err != nil { // what is there counts as moved
		return err
	}
	path := filepath.Join(s.logDir(), planFile)
	if err := durable.ReplaceFile(path, b); err != nil {
		// The next start must not find it: what is written until then would go.
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			s.fail(err)
		}
		return err
	}
	reopened = true // or failed for good
	if err := s.reopen(old); err != nil {
		s.fail(err)
		return err
	}
	return nil
}

// reopen completes a Replace whose plan is written.
func (s *Store) reopen(old *databases) error {
	if err := old.close(); err != nil {
		s.opt.Logger.Warn("the replaced database did not close well", "error", err)
	}
	if err := s.finishReplace(); err != nil {
		return err
	}
	saved, err := s.readState()
	if err != nil || saved == nil {
		return errors.Join(err, fmt.Errorf("%w: no state", ErrDamaged))
	}
	dirs, err := badgerdb.FindGroups(s.opt.Dir)
	if err != nil {
		return err
	}
	dbs, err := openDatabases(dirs, s.opt)
	if err != nil {
		return err
	}
	sc, err := loadSchema(dbs)
	if err != nil {
		return errors.Join(err, dbs.close())
	}
	s.mu.Lock()
	s.dbs, s.ts, s.applied = dbs, saved.Ts, saved.Ts
	s.uid, s.leased, s.ns = max(s.uid, saved.UID), max(s.leased, saved.UID), max(s.ns, saved.Ns)
	s.epoch++
	s.mu.Unlock()
	s.touched.forget(saved.Ts)
	s.hot = hotKeys{}
	s.setSchema(sc)
	return nil
}

// lastReader lets no new reader in and waits for those that are there.
func (s *Store) lastReader(ctx context.Context) error {
	s.mu.Lock()
	s.dbs.closing = true
	gone := s.dbs.readers.empty()
	s.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		s.admitReaders()
		return ctx.Err()
	}
}

func (s *Store) admitReaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dbs.closing = false
}

// finishReplace carries out a plan, or what is left of one. Without a plan what was
// being restored is rubbish.
func (s *Store) finishReplace() error {
	path := filepath.Join(s.logDir(), planFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(os.RemoveAll(filepath.Join(s.logDir(), sideDir)), os.RemoveAll(filepath.Join(s.logDir(), oldDir)))
	}
	if err != nil {
		return err
	}
	var plan replacement
	if err := json.Unmarshal(b, &plan); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	from, to := filepath.Join(s.logDir(), newDir), filepath.Join(s.logDir(), oldDir)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range plan.Old { // one that is there already has been moved
		if _, err := os.Lstat(filepath.Join(to, name)); err == nil {
			continue
		}
		if err := s.crash("old"); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(s.opt.Dir, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	for _, name := range plan.New { // one that is not there any more has been moved
		if _, err := os.Lstat(filepath.Join(from, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := s.crash("new"); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, name), filepath.Join(s.opt.Dir, name)); err != nil {
			return err
		}
	}
	if err := errors.Join(durable.SyncDir(s.opt.Dir), s.saveState(plan.State)); err != nil {
		return err
	}
	if err := s.crash("swapped"); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := durable.SyncDir(s.logDir()); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Join(s.logDir(), sideDir)), os.RemoveAll(to))
}
