package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/options"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/durable"
	"github.com/brock-backup/brock/host/manifest"
)

const (
	logDir    = "brock-log"
	stateFile = "state"
)

// savedState is what the file state holds, as JSON.
type savedState struct {
	Ts  uint64 `json:"ts"`  // the highest that was given out
	UID uint64 `json:"uid"` // likewise
	Ns  uint64 `json:"ns"`
	ID  string `json:"id"` // of the database, see identity.go

	Next string `json:"next,omitempty"` // the id that it is getting
	New  int    `json:"new,omitempty"`  // so many groups are being made
}

func (s *Store) logDir() string { return filepath.Join(s.opt.Dir, logDir) }

// openDirs locks the directory, ends an interrupted Replace, and opens the Badgers.
func (s *Store) openDirs(ctx context.Context) error {
	if s.opt.Dir == "" {
		return fmt.Errorf("%w: no directory", ErrInvalid)
	}
	if err := suits(s.opt.Dir); err != nil {
		return err
	}
	if _, err := os.Lstat(s.logDir()); errors.Is(err, fs.ErrNotExist) {
		s.madeLog = true
	}
	if err := os.MkdirAll(s.logDir(), 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = os.Open(s.logDir()); err != nil {
		return err
	}
	lock := func() error { return unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	if err := patiently(lock); err != nil {
		return fmt.Errorf("%s: %w", s.opt.Dir, badgerdb.ErrLocked)
	}
	if err := s.hasRoom(kept / 2); err != nil {
		return err
	}
	if err := s.finishReplace(); err != nil {
		return err
	}
	saved, err := s.readState()
	if err != nil {
		return err
	}
	if saved, err = s.known(saved); err != nil {
		return err
	}
	switch {
	case saved == nil:
		if saved, err = s.firstState(ctx); err != nil {
			return err
		}
		saved.ID = rand.Text()
		if saved.New == 0 {
			if err := markGroups(s.opt.Dir, saved.ID); err != nil {
				return err
			}
		}
		if err := s.saveState(*saved); err != nil {
			return err
		}
	case saved.New == 0:
		if err := s.renewID(saved); err != nil {
			return err
		}
	}
	s.ts, s.uid, s.ns, s.id = saved.Ts, saved.UID, saved.Ns, saved.ID
	dirs, err := s.groupDirs(saved.New, saved.ID)
	if err != nil {
		return err
	}
	if s.dbs, err = openDatabases(dirs, s.opt); err != nil || saved.New == 0 {
		return err
	}
	saved.New = 0
	return s.saveState(*saved)
}

// suits refuses a directory that is a file, or one of several groups: the other ones would
// not know what is written to it.
func suits(dir string) error {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.IsDir():
		return invalid("%s is a file, not a directory", dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(abs, badger.ManifestFilename)); err != nil {
		return nil //nolint:nilerr // it is no group
	}
	above := filepath.Dir(abs)
	others, err := os.ReadDir(above)
	if err != nil {
		return nil //nolint:nilerr // what cannot be listed is not served either
	}
	for _, f := range others {
		group := badgerdb.IsGroupDir(f.Name()) && f.Name() != filepath.Base(abs)
		if group || f.Name() == logDir {
			return invalid("%s is one group of the database in %s, where there is %s: serve %s", dir, above, f.Name(), above)
		}
	}
	return nil
}

// groupDirs finds the directories of the groups, or makes those of a new database.
func (s *Store) groupDirs(fresh int, id string) (map[uint32]string, error) {
	if fresh == 0 {
		return badgerdb.FindGroups(s.opt.Dir)
	}
	dirs := map[uint32]string{}
	for g := uint32(1); int(g) <= fresh; g++ {
		dir := filepath.Join(s.opt.Dir, fmt.Sprintf("p%d", g))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "group_id"), fmt.Appendf(nil, "%d\n", g), 0o600); err != nil {
			return nil, err
		}
		if err := durable.ReplaceFile(filepath.Join(dir, idFile), []byte(id)); err != nil {
			return nil, err
		}
		dirs[g] = dir
	}
	return dirs, nil
}

// firstState looks at a directory that no store has had open before: it is empty, or a
// database of which it finds out how far timestamps and uids have come.
func (s *Store) firstState(ctx context.Context) (*savedState, error) {
	files, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f fs.DirEntry) bool { return f.Name() == logDir || f.Name() == "lost+found" })
	if len(files) == 0 {
		return &savedState{New: max(1, s.opt.Groups)}, nil
	}
	dirs, err := badgerdb.FindGroups(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	state := &savedState{}
	for g, dir := range dirs {
		if err := state.add(ctx, g, dir, s.opt); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	return state, nil
}

// plain refuses a Badger database that is not Dgraph's.
func plain(group uint32, dir string, o Options) error {
	src, err := badgerdb.OpenSource(map[uint32]string{group: dir}, badgerdb.Options{Logger: o.Logger, EncryptionKey: o.EncryptionKey, ReadWrite: true})
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Kind() == manifest.KindBadger && src.ReadTs() > 1 {
		return invalid("it is a Badger database, but not Dgraph's: the program that owns it backs it up, or brock backup does")
	}
	return nil
}

func (st *savedState) add(ctx context.Context, group uint32, dir string, o Options) error {
	if err := plain(group, dir, o); err != nil {
		return err
	}
	src, err := badgerdb.OpenSource(map[uint32]string{group: dir}, badgerdb.Options{
		Logger: o.Logger, EncryptionKey: o.EncryptionKey, Kind: manifest.KindDgraph, ReadWrite: true,
	})
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Layout() != dgraph.LayoutV21 {
		return fmt.Errorf("%w: it is Dgraph 20's, which knows no namespaces; back it up and restore it, then serve that", badgerdb.ErrVersion)
	}
	st.Ts = max(st.Ts, src.ReadTs())
	ranges, err := src.Ranges(group, 0)
	if err != nil {
		return err
	}
	var k dgraph.Key
	for _, r := range ranges {
		err := src.Read(ctx, group, r, 0, dgraph.UIDBytes, dgraph.FormV23, func(sortKey []byte, e *backupfile.Entry) error {
			if err := dgraph.ParseKey(dgraph.LayoutV21, sortKey, &k); err != nil {
				return err
			}
			st.Ns = max(st.Ns, k.Namespace)
			if k.Kind == dgraph.KeySchema || k.Kind == dgraph.KeyType {
				return nil
			}
			uid, err := dgraph.MaxUID(&k, e.Value)
			st.UID = max(st.UID, uid)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readState() (*savedState, error) {
	path := filepath.Join(s.logDir(), stateFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var st savedState
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("%s: %w: %w; remove it, and it is found out again", path, ErrDamaged, err)
	}
	return &st, nil
}

// saveState replaces the file, durably.
func (s *Store) saveState(st savedState) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return durable.ReplaceFile(filepath.Join(s.logDir(), stateFile), append(b, '\n'))
}

// openDatabases opens Badger as Dgraph does.
func openDatabases(dirs map[uint32]string, o Options) (*databases, error) {
	d := &databases{byGroup: map[uint32]*badger.DB{}, banned: map[uint64]bool{}}
	for g, dir := range dirs {
		opt := badger.DefaultOptions(dir).
			WithLogger(badgerLog{o.Logger.Named("badger")}).
			WithNumVersionsToKeep(math.MaxInt32).
			WithNamespaceOffset(1).
			WithDetectConflicts(false).
			WithMetricsEnabled(false).
			WithCompression(options.Snappy).
			WithMemTableSize(memTable).
			WithNumMemtables(3).
			WithBlockCacheSize(64 << 20).
			WithValueLogFileSize(256 << 20).
			WithEncryptionKey(o.EncryptionKey.Reveal())
		if len(opt.EncryptionKey) > 0 {
			opt = opt.WithIndexCacheSize(64 << 20)
		}
		if o.small {
			opt = opt.WithMemTableSize(1 << 20).WithValueLogFileSize(1 << 20).WithValueThreshold(32 << 10)
		}
		var db *badger.DB
		err := patiently(func() (err error) {
			if err = badgerdb.RemoveEmptyLogs(dir); err == nil {
				db, err = badger.OpenManaged(opt)
			}
			return err
		})
		if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
			err = badgerdb.ErrKey
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), d.close())
		}
		d.byGroup[g] = db
		for _, ns := range db.BannedNamespaces() {
			d.banned[ns] = true
		}
	}
	return d, nil
}

// memTable bounds what a group holds in memory, three times over, and what a backup reads
// anew of it.
const memTable = 32 << 20

// badgerLog tells Badger's news.
type badgerLog struct{ hclog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.Error(fmt.Sprintf(f, a...)) }
func (l badgerLog) Warningf(f string, a ...any) { l.Warn(fmt.Sprintf(f, a...)) }
func (l badgerLog) Infof(f string, a ...any)    { l.Debug(fmt.Sprintf(f, a...)) }
func (l badgerLog) Debugf(f string, a ...any)   { l.Trace(fmt.Sprintf(f, a...)) }
