package badgerdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/options"
	badgerpb "github.com/dgraph-io/badger/v3/pb"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/durable"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// WriterOptions say what a new directory is for.
type WriterOptions struct {
	Layout        dgraph.Layout
	EncryptionKey sdk.Secret // none: not encrypted; else 16, 24 or 32 bytes
	Group         uint32     // of Kind dgraph
	Memory        int64      // what tables being made may take together, about; 0: 256 MiB
	Kind          manifest.Kind
	ReadTs        uint64 // of Kind badger: the database gives out later versions only
}

// A Writer makes a Badger directory out of sorted entries. It is used by one goroutine.
//
// Entries become tables of the last level, compressed with Snappy, all versions of a
// key in one; values longer than 1 MiB go to the value log, as Badger would have it.
// Until Close there is no MANIFEST, so that a directory that a crash leaves behind does not
// pass for a database.
type Writer struct {
	dir string
	opt WriterOptions

	dataKey  *badgerpb.DataKey
	compress options.CompressionType
	tables   *tableWriter
	main     *sorted
	parts    *sorted
	log      *logWriter
	written  int64
	marked   bool // clockKey is written
	finished bool
}

// Create makes the directory dir, which must not exist, its parent must.
func Create(dir string, o WriterOptions) (_ *Writer, err error) {
	switch len(o.EncryptionKey.Reveal()) {
	case 0, 16, 24, 32:
	default:
		return nil, fmt.Errorf("%w: it has %d bytes, not 16, 24 or 32", ErrKey, len(o.EncryptionKey.Reveal()))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, opt: o, compress: options.Snappy}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if w.dataKey, err = createKeys(dir, o.EncryptionKey.Reveal()); err != nil {
		return nil, err
	}
	w.tables = newTableWriter(w)
	w.main, w.parts = &sorted{w: w}, &sorted{w: w}
	w.log = &logWriter{dir: dir, key: w.dataKey}
	return w, nil
}

// keyRotation is how long Badger uses a data key by default.
const keyRotation = 10 * 24 * time.Hour

// createKeys writes the registry of data keys; the one data key is nil without encryption.
func createKeys(dir string, key []byte) (*badgerpb.DataKey, error) {
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: dir, EncryptionKey: key, EncryptionKeyRotationDuration: keyRotation})
	if err != nil {
		return nil, err
	}
	dk, err := keys.LatestDataKey()
	return dk, errors.Join(err, keys.Close())
}

// Write adds an entry. Keys ascend; versions of one key descend. It copies what it is given.
func (w *Writer) Write(key, value []byte, userMeta, meta byte, version, expiresAt uint64) error {
	if err := w.mark(key); err != nil {
		return err
	}
	return w.main.add(key, value, userMeta, meta, version, expiresAt)
}

// clockKey carries ReadTs, as a delete, which no reader sees. Badger gives out versions above
// the highest there is; where that was the record of a drop, which is no part of a backup,
// versions would come again, and the next backup of the series would take them for old.
const clockKey = brockPrefix + "clock"

// mark writes clockKey in its place: before the first key behind it, or at the end.
func (w *Writer) mark(next []byte) error {
	if w.marked || w.opt.ReadTs == 0 || w.opt.Kind != manifest.KindBadger || next != nil && string(next) < clockKey {
		return nil
	}
	w.marked = true
	return w.main.add([]byte(clockKey), nil, 0, metaDelete, w.opt.ReadTs, 0)
}

// WritePart adds a part of a long list of Dgraph. Parts ascend among themselves, behind
// all keys of Write; calls to both may alternate.
func (w *Writer) WritePart(key, value []byte, userMeta, meta byte, version, expiresAt uint64) error {
	return w.parts.add(key, value, userMeta, meta, version, expiresAt)
}

// Close finishes the database and makes it durable. If it cannot, it removes the directory.
func (w *Writer) Close() (err error) {
	if w.finished {
		return os.ErrClosed
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Abort())
		}
		w.finished = true
	}()
	if err := w.mark(nil); err != nil {
		return err
	}
	if err := w.main.before(w.parts); err != nil {
		return err
	}
	err = errors.Join(w.main.cut(), w.parts.cut())
	if err = errors.Join(err, w.tables.close(), w.log.close()); err != nil {
		return err
	}
	if w.opt.Kind == manifest.KindDgraph {
		if err := writeFile(filepath.Join(w.dir, groupFile), fmt.Appendf(nil, "%d\n", w.opt.Group), 0o600); err != nil {
			return err
		}
	}
	// The names of tables and logs are durable before the MANIFEST tells of them.
	if err := durable.SyncDir(w.dir); err != nil {
		return err
	}
	if err := w.writeManifest(); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(w.dir), durable.SyncDir(filepath.Dir(w.dir)))
}

// Abort stops and removes the directory. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.finished {
		return nil
	}
	w.finished = true
	_ = w.tables.close()
	_ = w.log.close()
	return os.RemoveAll(w.dir)
}

// writeManifest writes the MANIFEST: magic, version, and one set of changes that
// creates every table.
func (w *Writer) writeManifest() error {
	var set badgerpb.ManifestChangeSet
	for _, id := range w.tables.ids {
		c := &badgerpb.ManifestChange{Id: id, Op: badgerpb.ManifestChange_CREATE, Level: lastLevel, Compression: uint32(w.compress)}
		if w.dataKey != nil {
			c.KeyId = w.dataKey.KeyId
		}
		set.Changes = append(set.Changes, c)
	}
	changes, err := set.Marshal()
	if err != nil {
		return err
	}
	b := append([]byte("Bdgr"), 0, 0, 0, manifestVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(changes)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(changes, castagnoli))
	return writeFile(filepath.Join(w.dir, badger.ManifestFilename), append(b, changes...), 0o600)
}

// lastLevel is the last of the 7 levels that Badger and Dgraph have.
const lastLevel = 6

// A sorted is one row of ascending keys, which becomes one row of tables.
type sorted struct {
	w     *Writer
	first []byte // key
	last  []byte // key with version
	table *builder
	buf   []byte
}

// add takes the next entry.
func (s *sorted) add(key, value []byte, userMeta, meta byte, version, expiresAt uint64) error {
	if s.w.finished {
		return os.ErrClosed
	}
	switch {
	case len(key) == 0:
		return errors.New("entry without a key")
	case len(key) > maxKey:
		return fmt.Errorf("key of %d bytes: Badger takes at most %d", len(key), maxKey)
	case bytes.HasPrefix(key, []byte(badgerPrefix)):
		return fmt.Errorf("key %q is reserved for Badger", key)
	}
	s.buf = appendStored(s.buf[:0], key, version)
	same := false
	if s.last != nil {
		old := userKey(s.last)
		c := bytes.Compare(old, key)
		same = c == 0
		if c > 0 || same && bytes.Compare(s.last, s.buf) >= 0 {
			return fmt.Errorf("%w: %x version %d after %x version %d", ErrOrder, key, version, old, math.MaxUint64-be64(s.last[len(old):]))
		}
	} else {
		s.first = bytes.Clone(key)
	}
	s.last = append(s.last[:0], s.buf...)
	if s.table != nil && !same && s.table.size >= s.w.tableSize() {
		if err := s.cut(); err != nil {
			return err
		}
	}
	if s.table == nil {
		if err := s.w.tables.err(); err != nil {
			return err
		}
		s.table = s.w.tables.builder()
	}
	meta &= metaKept
	if len(value) > maxInline && meta&metaDelete == 0 {
		pointer, err := s.w.log.write(s.buf, value, userMeta, meta, expiresAt)
		if err != nil {
			return err
		}
		s.table.add(s.buf, pointer, userMeta, meta|metaPointer, expiresAt, len(value))
	} else {
		s.table.add(s.buf, value, userMeta, meta, expiresAt, 0)
	}
	s.w.written += int64(len(s.buf) + len(value))
	return nil
}

const (
	maxKey    = 65000   // as Badger has it
	maxInline = 1 << 20 // Badger's default, and the most that it allows
)

// cut finishes the table that is being made.
func (s *sorted) cut() error {
	if s.table == nil {
		return nil
	}
	t := s.table
	s.table = nil
	return s.w.tables.finish(t)
}

// before reports an error unless every key of s comes before those of o.
func (s *sorted) before(o *sorted) error {
	if s.last == nil || o.first == nil || bytes.Compare(userKey(s.last), o.first) < 0 {
		return nil
	}
	return fmt.Errorf("%w: key %x is not before part %x", ErrOrder, userKey(s.last), o.first)
}

// tableSize is how much goes into the next table. Small tables keep memory low; in a
// large database they would be too many to map.
func (w *Writer) tableSize() int64 {
	const smallest, largest = 8 << 20, 32 << 20
	most := int64(largest)
	if w.opt.Memory > 0 {
		most = max(min(most, w.opt.Memory/12), smallest)
	}
	return min(max(w.written/64, smallest), most)
}
