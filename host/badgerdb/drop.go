package badgerdb

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v3"
	badgerpb "github.com/dgraph-io/badger/v3/pb"

	"github.com/brock-backup/brock/host/durable"
	"github.com/brock-backup/brock/host/manifest"
)

// Badger forgets that something was dropped: the next incremental backup does not see
// it, and a restore would bring the data back. DropAll and DropPrefix drop and leave a
// record, which backups carry. First a file beside the database says what is going
// to be dropped; then it is dropped; then a key records it, one version above all
// others; then the file goes. While the file is there, the drop may or may not have
// happened: backups are refused until [FinishDrop] has brought it to its end.

// dropPrefix begins the keys of the records. Each holds JSON, a list of drops.
const dropPrefix = brockPrefix + "drop!"

// dropFile holds the drop that is under way.
const dropFile = "BROCK-DROP"

// A pending is the drop that is under way.
type pending struct {
	Drops   []manifest.BadgerDrop `json:"drops"`
	Version uint64                `json:"version"` // of the record, and of deletes that the drop takes
}

// DropAll deletes everything in db, as Badger's DropAll does, and records it for backups.
// Nothing else may write to db meanwhile.
//
// Where a live source is being read, it drops every prefix there is, for Badger's own
// DropAll would take the value logs away from under the source.
func DropAll(db *badger.DB) error {
	s := lockDrops(db)
	defer s.unlockDrops()
	return s.begin(manifest.BadgerDrop{All: true})
}

// DropPrefix deletes all keys that begin with one of the prefixes, as Badger's DropPrefix
// does, and records it for backups. Nothing else may write to db meanwhile.
//
// Badger passes over a prefix of which no key is visible, and keeps the deleted and expired
// versions there: such a drop is not recorded either. Where Badger leaves visible keys,
// they are deleted: their older versions stay until Badger compacts them away.
//
// A live source goes on showing what was there when it was opened.
func DropPrefix(db *badger.DB, prefixes ...[]byte) error {
	s := lockDrops(db)
	defer s.unlockDrops()
	var drops []manifest.BadgerDrop
	for _, p := range prefixes {
		if strings.HasPrefix(dropPrefix, string(p)) || bytes.HasPrefix(p, []byte(brockPrefix)) {
			return fmt.Errorf("prefix %q would delete the records of drops: drop all, or by longer prefixes", p)
		}
		if len(visibleKeys(db, math.MaxUint64, p, nil, 1)) > 0 {
			drops = append(drops, manifest.BadgerDrop{Prefix: bytes.Clone(p)})
		}
	}
	if len(drops) == 0 {
		return nil
	}
	return s.begin(drops...)
}

// FinishDrop completes a drop that a crash cut short; without one it does nothing. Call it
// after opening a database, before anything is written to it.
func FinishDrop(db *badger.DB) error {
	s := lockDrops(db)
	defer s.unlockDrops()
	return s.finishDrop()
}

func (s *sharing) finishDrop() error {
	db := s.db
	b, err := os.ReadFile(filepath.Join(db.Opts().Dir, dropFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var p pending
	if err := json.Unmarshal(b, &p); err != nil || len(p.Drops) == 0 {
		// The file was being written: nothing has been dropped yet.
		return removeDropFile(db.Opts().Dir)
	}
	return s.finish(p)
}

func (s *sharing) begin(drops ...manifest.BadgerDrop) error {
	if err := s.finishDrop(); err != nil {
		return err
	}
	db := s.db
	p := pending{Drops: drops, Version: db.MaxVersion() + 1}
	if now, ok := clock(db); ok {
		p.Version = max(p.Version, now+1) // compactions remove deletes, and the highest version with them
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	dir := db.Opts().Dir
	if err := writeFile(filepath.Join(dir, dropFile), b, 0o600); err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	return s.finish(p)
}

func (s *sharing) finish(p pending) error {
	db := s.db
	var prefixes [][]byte
	for _, d := range p.Drops {
		prefixes = append(prefixes, d.Prefix)
	}
	all := slices.ContainsFunc(p.Drops, func(d manifest.BadgerDrop) bool { return d.All })
	switch {
	case all && !s.read():
		if err := db.DropAll(); err != nil {
			return err
		}
	case all:
		prefixes = nil
		for first := range 256 {
			prefixes = append(prefixes, []byte{byte(first)})
		}
		fallthrough
	default:
		if err := dropPrefixes(db, prefixes, p.Version); err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := record(db, p); err != nil {
		return err
	}
	return removeDropFile(db.Opts().Dir)
}

// dropPrefixes lets Badger drop what it can, and deletes what it leaves at version.
//
// Badger 3.2103.5 compares a prefix with stored keys, at whose end is the version, most
// of it ff bytes. A table whose first key is a beginning of the prefix seems to begin
// behind it, and is left alone however often one asks (levels.go, containsPrefix). So is
// level 0 when it cannot be compacted. And a prefix with a byte ff in it would take keys
// away that end before that byte: those are only ever deleted.
//
// What is above version in a database in managed mode was written after the drop, which
// then is being repeated: it stays, if Badger does not drop it.
func dropPrefixes(db *badger.DB, prefixes [][]byte, version uint64) error {
	var safe [][]byte
	for _, p := range prefixes {
		if bytes.IndexByte(p[min(1, len(p)):], 0xff) < 0 {
			safe = append(safe, p)
		}
	}
	if len(safe) > 0 {
		if err := db.DropPrefix(safe...); err != nil {
			return err
		}
	}
	for _, p := range prefixes {
		if err := deletePrefix(db, p, version); err != nil {
			return err
		}
		// A record of what did not happen would cost data.
		if left := visibleKeys(db, version, p, nil, 1); len(left) > 0 {
			return fmt.Errorf("key %q is still there: %w; call FinishDrop to try again", left[0], ErrDropPending)
		}
	}
	return nil
}

// DropPrefixesAt deletes all keys that begin with one of the prefixes, without a record,
// for a database in managed mode whose owner records drops in its own way. What Badger
// leaves is deleted at version.
func DropPrefixesAt(db *badger.DB, version uint64, prefixes ...[]byte) error {
	if err := dropPrefixes(db, prefixes, version); err != nil {
		return err
	}
	return Settle(db)
}

// deleteBatch bounds the bytes of the keys that are deleted at once.
const deleteBatch = 1 << 20

// deletePrefix deletes all keys that a reader sees at version, each by a delete there.
func deletePrefix(db *badger.DB, prefix []byte, version uint64) error {
	var from []byte
	for {
		keys := visibleKeys(db, version, prefix, from, deleteBatch)
		if len(keys) == 0 {
			return nil
		}
		list := badgerpb.KVList{}
		for _, k := range keys {
			list.Kv = append(list.Kv, &badgerpb.KV{Key: k, UserMeta: []byte{0}, Meta: []byte{metaDelete}, Version: version})
		}
		if err := load(db, &list); err != nil {
			return err
		}
		from = keys[len(keys)-1]
	}
}

// visibleKeys returns keys with prefix that a reader of db sees at version, in order and
// from one on, until they have some size. In unmanaged mode the version is the present one.
func visibleKeys(db *badger.DB, version uint64, prefix, from []byte, size int) (keys [][]byte) {
	var txn *badger.Txn
	if _, own := clock(db); own {
		txn = db.NewTransaction(false)
	} else {
		txn = db.NewTransactionAt(version, false)
	}
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.Valid() && size > 0; it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
		size -= len(it.Item().Key()) + 1
	}
	return keys
}

// record writes the record at its version. Load takes versions as they are and moves
// the clock of a database in unmanaged mode on, which starts anew when all is dropped.
func record(db *badger.DB, p pending) error {
	value, err := json.Marshal(p.Drops)
	if err != nil {
		return err
	}
	key := append([]byte(dropPrefix), make([]byte, 8)...)
	if _, err := rand.Read(key[len(dropPrefix):]); err != nil {
		return err
	}
	list := badgerpb.KVList{Kv: []*badgerpb.KV{{Key: key, Value: value, UserMeta: []byte{0}, Meta: []byte{0}, Version: p.Version}}}
	if err := load(db, &list); err != nil {
		return err
	}
	return syncLogs(db.Opts().Dir)
}

// load writes entries at the versions that they carry.
func load(db *badger.DB, list *badgerpb.KVList) error {
	b, err := list.Marshal()
	if err != nil {
		return err
	}
	frame := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	return db.Load(bytes.NewReader(append(frame, b...)), 1)
}

// Sync makes durable what was written to an open database: Badger's own Sync leaves the
// logs of memtables out. Pages that were written through a mapping are the file's.
func Sync(db *badger.DB) error {
	if err := db.Sync(); err != nil {
		return err
	}
	return syncLogs(db.Opts().Dir)
}

func syncLogs(dir string) error {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.mem"))
	if err != nil {
		return err
	}
	for _, p := range paths {
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has become a table
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return durable.SyncDir(dir)
}

func removeDropFile(dir string) error {
	if err := os.Remove(filepath.Join(dir, dropFile)); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// pendingDrop reports a drop that has not been brought to its end.
func pendingDrop(dir string) error {
	if !isFile(dir, dropFile) {
		return nil
	}
	return fmt.Errorf("%s: %w: a crash cut a drop short; open the database and call badgerdb.FinishDrop before backing it up", dir, ErrDropPending)
}

func parseDrop(value []byte) ([]manifest.BadgerDrop, error) {
	var drops []manifest.BadgerDrop
	if err := json.Unmarshal(value, &drops); err != nil {
		return nil, damaged("drop record %q", value)
	}
	return drops, nil
}

// writeFile writes a new file durably; its name is durable once the directory is synced.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
