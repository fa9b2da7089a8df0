package host

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A badgerWorld is a plain Badger database. Its model keeps every version of
// every key: that is what a restore owes, not only what a reader sees.
type badgerWorld struct {
	*history
	dir     string
	key     []byte
	managed bool // versions are the writer's choice
	db      *badger.DB
	clock   uint64 // of the newest version
	since   uint64 // of the last backup
	pool    []string
	keys    map[string][]badgerVersion // newest first
	compact bool                       // Badger has forgotten versions: only the newest that a reader sees are owed
	saved   map[string]bool            // keys that the last backup has
}

type badgerVersion struct {
	version   uint64
	value     string
	userMeta  byte
	expiresAt uint64
	deleted   bool
	discard   bool // older versions are of no use
}

// Expiry, in seconds: far enough from now for the clock not to matter.
const (
	longAgo = 1_000_000_000
	farAway = 4_000_000_000
)

func (v *badgerVersion) visible() bool { return !v.deleted && v.expiresAt != longAgo }

func (v *badgerVersion) text() string {
	value := v.value
	if len(value) > 40 {
		value = fmt.Sprintf("%.40s (%d bytes, %x)", value, len(value), value[len(value)-4:])
	}
	return fmt.Sprintf("@%d user %#x expires %d deleted %t discard %t: %q", v.version, v.userMeta, v.expiresAt, v.deleted, v.discard, value)
}

func newBadgerWorld(h *history) *badgerWorld {
	w := &badgerWorld{
		history: h, dir: filepath.Join(h.dir(), "db"), key: h.databaseKey(), managed: !h.chance(6),
		clock: uint64(h.r.IntN(3)), keys: map[string][]badgerVersion{},
	}
	parts := []string{"a", "b", "ab", "user/", "\x00", "\xff", "!", "!brick!", "\x04x"}
	for range 4 + h.r.IntN(40) {
		key := parts[h.r.IntN(len(parts))]
		for range h.r.IntN(3) {
			key += parts[h.r.IntN(len(parts))]
		}
		w.pool = append(w.pool, key)
	}
	return w
}

func (w *badgerWorld) source() (map[uint32]string, badgerdb.Options) {
	o := badgerdb.Options{EncryptionKey: sdk.NewSecret(w.key)}
	if w.chance(2) {
		o.Kind = manifest.KindBadger // else it is found out
	}
	return map[uint32]string{1: w.dir}, o
}

func (w *badgerWorld) form() manifest.Compat { return manifest.CompatV23 }

func (w *badgerWorld) adopt(dir string, req RestoreRequest) {
	w.dir, w.key = dir, req.PostingsKey.Reveal()
}

func (w *badgerWorld) live(n int) {
	open := badger.Open
	if w.managed {
		open = badger.OpenManaged
	}
	var err error
	w.db, err = open(badgerOptions(w.r, w.dir, w.key))
	w.must(err)
	for range n {
		w.happen()
	}
	if w.clock <= w.since || !w.chance(4) {
		w.write() // the read timestamp must go on
	}
	w.must(w.db.Close())
}

// happen does one thing. Where versions are Badger's own choice, it
// also forgets old ones when a prefix is dropped, deletes among them: there
// only everything is dropped.
func (w *badgerWorld) happen() {
	switch n := w.r.IntN(100); {
	case n < 90:
		w.write()
	case n < 92:
		w.dropAll()
	case n < 96 && w.managed:
		w.reopen() // beside a flush or a compaction, Badger's DropPrefix was seen to leave keys
		w.dropPrefixes()
	case n < 97 && w.managed:
		w.tell("flatten")
		w.must(w.db.Flatten(1))
	case n < 98 && w.chance(3):
		w.forget()
	default:
		w.reopen()
	}
}

// write commits a transaction of a few entries.
func (w *badgerWorld) write() {
	entries := map[string]badgerVersion{}
	for range 1 + w.r.IntN(5) {
		entries[w.pool[w.r.IntN(len(w.pool))]] = w.randomVersion()
	}
	if w.chance(300) {
		w.many(entries)
	}
	w.commitAll(entries)
}

func (w *badgerWorld) commitAll(entries map[string]badgerVersion) {
	txn := w.begin()
	defer txn.Discard()
	for _, k := range sorted(entries) {
		v := entries[k]
		if v.deleted {
			w.must(txn.Delete([]byte(k)))
			continue
		}
		e := badger.NewEntry([]byte(k), []byte(v.value)).WithMeta(v.userMeta)
		if v.discard {
			e = e.WithDiscard()
		}
		e.ExpiresAt = v.expiresAt
		w.must(txn.SetEntry(e))
	}
	version := w.commit(txn, sorted(entries)[0])
	w.clock = max(w.clock, version)
	for _, k := range sorted(entries) {
		v := entries[k]
		v.version = version
		w.tell("%q %s", k, v.text())
		versions := w.keys[k]
		if len(versions) > 0 && versions[0].version == version {
			versions = versions[1:] // the same version written again
		}
		w.keys[k] = append([]badgerVersion{v}, versions...)
	}
}

func (w *badgerWorld) begin() *badger.Txn {
	if w.managed {
		return w.db.NewTransactionAt(math.MaxUint64, true)
	}
	return w.db.NewTransaction(true)
}

// commit returns the version that the transaction's entries have, any of which
// is at key.
func (w *badgerWorld) commit(txn *badger.Txn, key string) uint64 {
	if w.managed {
		w.clock += uint64(1 + w.r.IntN(3)*w.r.IntN(3))
		w.must(txn.CommitAt(w.clock, nil))
		return w.clock
	}
	w.must(txn.Commit())
	read := w.db.NewTransaction(false)
	defer read.Discard()
	it := read.NewKeyIterator([]byte(key), badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	it.Rewind()
	return it.Item().Version()
}

func (w *badgerWorld) randomVersion() badgerVersion {
	if w.chance(5) {
		return badgerVersion{deleted: true}
	}
	size := []int{0, 1, 10, 40, 200, 3000}[w.r.IntN(6)]
	if w.chance(500) {
		size = 20_000
	}
	v := badgerVersion{value: w.text(size), discard: w.chance(8)}
	switch w.r.IntN(8) {
	case 0:
		v.expiresAt = longAgo
	case 1, 2:
		v.expiresAt = farAway
	}
	if w.chance(2) {
		v.userMeta = byte(w.r.IntN(256))
	}
	return v
}

func (w *badgerWorld) reopen() {
	w.must(w.db.Close())
	open := badger.Open
	if w.managed {
		open = badger.OpenManaged
	}
	var err error
	w.db, err = open(badgerOptions(w.r, w.dir, w.key))
	w.must(err)
}

// forget lets Badger compact away deletes, and all versions but the newest. If the
// newest of all was a delete, the clock goes back.
func (w *badgerWorld) forget() {
	w.tell("forget")
	w.compact = true
	if w.managed || len(w.saved) == 0 || w.chance(2) {
		w.commitAll(map[string]badgerVersion{w.pool[0]: {value: "stays"}})
	}
	w.must(w.db.Close())
	open := badger.Open
	if w.managed {
		open = badger.OpenManaged
	}
	for range 1 + w.r.IntN(3) { // a few tables at a time
		db, err := open(badgerOptions(w.r, w.dir, w.key).WithNumVersionsToKeep(1).WithCompactL0OnClose(true))
		w.must(err)
		if w.managed {
			db.SetDiscardTs(w.clock)
		}
		w.must(db.Close())
	}
	var err error
	w.db, err = open(badgerOptions(w.r, w.dir, w.key))
	w.must(err)
	if !w.managed {
		w.clock = w.db.MaxVersion()
		w.catchUp()
	}
}

// catchUp writes keys that the last backup has until the clock is where it was then. A new
// key would be refused: it could be that of another database.
func (w *badgerWorld) catchUp() {
	for w.clock < w.since {
		known := sorted(w.saved)
		key := known[w.r.IntN(len(known))]
		w.commitAll(map[string]badgerVersion{key: {value: w.text(w.r.IntN(50))}})
	}
}

func (w *badgerWorld) text(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(' ' + w.r.IntN(90))
	}
	return string(b)
}

// many adds so many keys that there are several blocks.
func (w *badgerWorld) many(entries map[string]badgerVersion) {
	for n := range 200 {
		key := fmt.Sprintf("many/%03d", n)
		v := badgerVersion{value: w.text(100)}
		entries[key] = v
		w.pool = append(w.pool, key)
	}
}

func (w *badgerWorld) dropAll() {
	w.tell("drop all")
	w.must(badgerdb.DropAll(w.db))
	w.clock = max(w.clock, w.db.MaxVersion())
	clear(w.keys)
}

func (w *badgerWorld) dropPrefixes() {
	var prefixes [][]byte
	for range 1 + w.r.IntN(2) {
		k := w.pool[w.r.IntN(len(w.pool))]
		p := k[:1+w.r.IntN(len(k))]
		// What Badger itself would not drop is deleted instead, and keeps its older
		// versions: the model would have to know which.
		if !strings.HasPrefix("!brock!", p) && !strings.Contains(p[1:], "\xff") && !w.hasBeginning(p) {
			prefixes = append(prefixes, []byte(p))
		}
	}
	w.tell("drop prefixes %q", prefixes)
	w.must(badgerdb.DropPrefix(w.db, prefixes...))
	w.clock = max(w.clock, w.db.MaxVersion())
	// Badger keeps a prefix of which no key is visible.
	prefixes = slices.DeleteFunc(prefixes, func(p []byte) bool {
		for k, versions := range w.keys {
			if strings.HasPrefix(k, string(p)) && versions[0].visible() {
				return false
			}
		}
		return true
	})
	for k := range w.keys {
		for _, p := range prefixes {
			if bytes.HasPrefix([]byte(k), p) {
				delete(w.keys, k)
			}
		}
	}
}

// hasBeginning reports whether there is a key that the prefix p goes on from.
func (w *badgerWorld) hasBeginning(p string) bool {
	for n := range len(p) {
		if _, ok := w.keys[p[:n]]; ok {
			return true
		}
	}
	return false
}

func (w *badgerWorld) backedUp(readTs uint64) moment {
	w.since = readTs
	w.saved = map[string]bool{}
	for k, versions := range w.keys {
		if !versions[0].deleted {
			w.saved[k] = true
		}
	}
	m := badgerMoment{keys: map[string][]badgerVersion{}, compact: w.compact}
	for k, versions := range w.keys {
		m.keys[k] = slices.Clone(versions)
	}
	return m
}

// A badgerMoment is every version of every key, unless Badger has forgotten some.
type badgerMoment struct {
	keys    map[string][]badgerVersion
	compact bool
}

func (m badgerMoment) bare() bool { return len(m.keys) == 0 }

func (m badgerMoment) target(*rand.Rand, *RestoreRequest) {}

// compare lets Badger itself read the restored directory: as a reader sees it,
// and with all versions.
func (m badgerMoment) compare(h *history, dir string, req RestoreRequest, res *RestoreResult) {
	opt := badgerOptions(h.r, dir, req.PostingsKey.Reveal()).WithReadOnly(!h.chance(5))
	db, err := badger.OpenManaged(opt)
	h.must(err)
	visible, all := map[string]string{}, map[string]string{}
	entries := int64(0)
	for k, versions := range m.keys {
		if versions[0].visible() {
			visible[fmt.Sprintf("%q", k)] = versions[0].text()
		}
		for _, v := range versions {
			all[fmt.Sprintf("%q @%d", k, v.version)] = v.text()
			entries++
		}
	}
	txn := db.NewTransactionAt(math.MaxUint64, false)
	got := readVersions(h, txn, false)
	short := map[string]string{}
	for k, v := range got {
		short[k[:strings.LastIndex(k, " @")]] = v
	}
	h.same("visible in "+dir, short, visible)
	if !m.compact {
		h.same("versions in "+dir, readVersions(h, txn, true), maps.Clone(all))
	}
	txn.Discard()
	h.must(db.Close())
	if !m.compact && res.Entries != entries {
		h.Errorf("restored %d entries, want %d", res.Entries, entries)
	}
}

// readVersions returns what an iterator sees, by key and version.
func readVersions(h *history, txn *badger.Txn, all bool) map[string]string {
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: all})
	defer it.Close()
	got := map[string]string{}
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if strings.HasPrefix(string(item.Key()), "!brock!") && all {
			continue // no reader sees it
		}
		value, err := item.ValueCopy(nil)
		h.must(err)
		v := badgerVersion{
			version: item.Version(), value: string(value), userMeta: item.UserMeta(), expiresAt: item.ExpiresAt(),
			deleted: item.IsDeletedOrExpired() && item.ExpiresAt() == 0, discard: item.DiscardEarlierVersions(),
		}
		if int64(len(value)) != item.ValueSize() && !v.deleted {
			h.Errorf("key %q: value of %d bytes, want %d", item.Key(), len(value), item.ValueSize())
		}
		name := fmt.Sprintf("%q @%d", item.Key(), v.version)
		if _, twice := got[name]; twice {
			h.Errorf("%s is there twice", name)
		}
		got[name] = v.text()
	}
	return got
}

// The versions that a restored database gives out are later than its backup,
// also where the last thing before that was a drop: what is written then is in the
// next backup of the series.
func TestVersionsGoOnAfterRestore(t *testing.T) {
	h := &history{T: t, r: rand.New(rand.NewPCG(1, 1)), e: &Engine{}, at: Location{URI: "memory", Destination: sdktest.NewMemory()}}
	set := func(dir string, keys ...string) *badger.DB {
		db, err := badger.Open(badgerOptions(h.r, dir, nil))
		h.must(err)
		for _, k := range keys {
			h.must(db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(k), []byte("v")) }))
		}
		return db
	}
	for _, drop := range []func(*badger.DB) error{
		badgerdb.DropAll,
		func(db *badger.DB) error { return badgerdb.DropPrefix(db, []byte("b")) },
	} {
		dir := filepath.Join(t.TempDir(), "db")
		db := set(dir, "a", "b", "b", "b")
		h.must(drop(db))
		h.must(db.Close())
		backup(t, h.e, dir, BackupRequest{To: h.at, ForceFull: true})
		dir = restore(t, h.e, RestoreRequest{From: h.at})
		keys := []string{"x1", "x2", "x3", "x4", "x5", "x6"}
		h.must(set(dir, keys...).Close())
		backup(t, h.e, dir, BackupRequest{To: h.at})
		db = set(restore(t, h.e, RestoreRequest{From: h.at}))
		for _, k := range keys {
			if err := db.View(func(txn *badger.Txn) error { _, err := txn.Get([]byte(k)); return err }); err != nil {
				t.Errorf("%s: %v", k, err)
			}
		}
		h.must(db.Close())
	}
}
