package badgerdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v3"
)

// A store is one Badger directory, opened for reading.
type store struct {
	dir    string
	lock   *os.File
	keys   *badger.KeyRegistry
	mems   []*memtable // newest first
	runs   []run       // level 0 newest first, then level by level
	values *valueLog
	pin    *pin // of a database that is open in this process; else nil
	lists  bool // it is Dgraph's: see merge
}

// openStore opens dir. A database that was killed is refused unless cut, and is then
// read up to where Badger would cut its logs off.
func openStore(dir string, key []byte, cut bool) (_ *store, err error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	s := &store{dir: dir}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.lock, err = lock(dir); err != nil {
		return nil, err
	}
	if s.keys, err = openKeys(dir, key); err != nil {
		return nil, err
	}
	s.values = newValueLog(dir, s.keys)
	if err := s.openTables(); err != nil {
		return nil, err
	}
	return s, s.openMemtables(cut)
}

func (s *store) close() error {
	if s.values != nil {
		s.values.close()
	}
	if s.pin != nil {
		return s.pin.release()
	}
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// checkDir tells a Badger directory that can be read from everything else.
func checkDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s: %w: it is a file", dir, ErrNotBadger)
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w: it has no %s", dir, ErrNotBadger, badger.ManifestFilename)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 8)
	if _, err := f.ReadAt(magic, 0); err != nil || string(magic[:4]) != "Bdgr" {
		return fmt.Errorf("%s: %w: its %s does not begin as one", dir, ErrNotBadger, badger.ManifestFilename)
	}
	switch v := binary.BigEndian.Uint32(magic[4:]); v {
	case manifestVersion:
		return nil
	case 7:
		return fmt.Errorf("%s: %w: written by Badger 2.2007 or older (Dgraph 20.03, 20.07); open it once with Dgraph 20.11 after an export and import, or use Dgraph's own backup", dir, ErrVersion)
	case 1<<16 | manifestVersion:
		return fmt.Errorf("%s: %w: written by Dgraph 21.09 or 21.12, whose lists are stored in another way; export and import the data with that version", dir, ErrVersion)
	default:
		return fmt.Errorf("%s: %w: its %s has version %#x, known is %d (Badger 3 and 4)", dir, ErrVersion, badger.ManifestFilename, v, manifestVersion)
	}
}

// manifestVersion is that of the MANIFEST of Badger v2.2011, v3 and v4.
const manifestVersion = 8

// openKeys reads the directory's data keys with the key given.
func openKeys(dir string, key []byte) (*badger.KeyRegistry, error) {
	open := func(key []byte) (*badger.KeyRegistry, error) {
		return badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: dir, ReadOnly: true, EncryptionKey: key})
	}
	switch len(key) {
	case 0, 16, 24, 32:
	default:
		return nil, fmt.Errorf("%s: %w: it has %d bytes, not 16, 24 or 32", dir, ErrKey, len(key))
	}
	keys, err := open(key)
	if !errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, badger.KeyRegistryFileName), err)
		}
		return keys, nil
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("%s: %w: the database is encrypted, and no key was given", dir, ErrKey)
	}
	if _, err := open(nil); err == nil {
		return nil, fmt.Errorf("%s: %w: the database is not encrypted, but a key was given", dir, ErrKey)
	}
	return nil, fmt.Errorf("%s: %w: the database is encrypted with another key", dir, ErrKey)
}

// openTables reads the MANIFEST and the index of every table in it.
func (s *store) openTables() error {
	f, err := os.Open(filepath.Join(s.dir, badger.ManifestFilename))
	if err != nil {
		return err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f)
	if err != nil {
		return damaged("%s: %v", f.Name(), err)
	}
	var levels []run
	for id, tm := range m.Tables {
		dk, err := s.keys.DataKey(tm.KeyID)
		if err != nil {
			return fmt.Errorf("%s: %w: table %d needs data key %d, which is not in its %s", s.dir, ErrKey, id, tm.KeyID, badger.KeyRegistryFileName)
		}
		var key []byte
		if dk != nil {
			key = dk.Data
		}
		t, err := openTable(s.dir, id, int(tm.Level), tm.Compression, key)
		if err != nil {
			return err
		}
		for len(levels) <= t.level {
			levels = append(levels, nil)
		}
		levels[t.level] = append(levels[t.level], t)
	}
	for level, r := range levels {
		if level == 0 {
			slices.SortFunc(r, byAge)
			for _, t := range r {
				s.runs = append(s.runs, run{t})
			}
			continue
		}
		sortRun(r)
		if len(r) > 0 {
			s.runs = append(s.runs, r)
		}
	}
	return nil
}

func (s *store) openMemtables(cut bool) error {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(s.dir), "*.mem"))
	if err != nil {
		return err
	}
	for _, p := range paths {
		m, atEnd, err := readMemtable(p, s.keys)
		if err != nil {
			return err
		}
		if !atEnd && !cut {
			return fmt.Errorf("%s: %w: the database was killed, and the end of %s is not final; start and stop it once (Dgraph: the alpha), "+
				"or back it up with --repair, which reads it as it would be found at the next start and changes nothing", s.dir, ErrNotClosed, filepath.Base(p))
		}
		if len(m.items) > 0 {
			s.mems = append(s.mems, m)
		}
	}
	slices.SortFunc(s.mems, func(a, b *memtable) int { return b.id - a.id })
	return nil
}

// RemoveEmptyLogs removes logs without a byte from a directory that nobody has open. They are
// what a process leaves that was killed when it had just made one, or emptied one to remove
// it, and Badger fails to open a directory that has one.
func RemoveEmptyLogs(dir string) error {
	held, err := lock(dir)
	if err != nil {
		return err
	}
	defer held.Close()
	for _, ext := range []string{"mem", "vlog"} {
		paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*."+ext))
		if err != nil {
			return err
		}
		for _, p := range paths {
			fi, err := os.Stat(p)
			if err == nil && fi.Size() == 0 {
				err = os.Remove(p)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// escapeGlob makes a directory's name stand for itself in a pattern.
func escapeGlob(dir string) string {
	var b []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, dir[i])
	}
	return string(b)
}

// maxVersion is the highest version of any key.
func (s *store) maxVersion() uint64 {
	var v uint64
	for _, m := range s.mems {
		v = max(v, m.maxVersion)
	}
	for _, r := range s.runs {
		for _, t := range r {
			v = max(v, t.maxVersion)
		}
	}
	return v
}

// merge walks over everything newer than since; older items may come too.
// all reports that nothing was left out for its age.
func (s *store) merge(since uint64, lost func(error) error) (m *merge, all bool) {
	m, all = &merge{lost: lost, lists: s.lists}, true
	for _, mem := range s.mems {
		if mem.maxVersion <= since {
			all = false
			continue
		}
		m.all = append(m.all, mem.cursor())
	}
	for _, r := range s.runs {
		n := r.newer(since)
		if len(n) < len(r) {
			all = false
		}
		if len(n) > 0 {
			m.all = append(m.all, n.cursor())
		}
	}
	return m, all
}

// value returns what the item holds, from the value log if it is there. buf is
// used for that and may be replaced.
func (s *store) value(it *item, buf *[]byte) ([]byte, error) {
	if it.meta&metaPointer == 0 {
		return it.value, nil
	}
	return s.values.read(it, buf)
}
