package host

import (
	"bytes"
	"encoding/binary"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A tally counts entries per predicate and sums up the live ones.
type tally struct {
	dataKey []byte
	kind    manifest.Kind
	entries int64
	prints  map[string]*print // by the predicate's part of the sort key

	last    []byte // that part of the entry before
	current *print
	lastKey []byte // the entry before, where keys have several versions
	fresh   bool
	spans   *spanner // nil: not wanted
}

type print struct {
	entries int64
	sum     *backupfile.Fingerprint
}

func newTally(dataKey []byte, kind manifest.Kind) *tally {
	return &tally{dataKey: dataKey, kind: kind, prints: map[string]*print{}}
}

// newRange forgets the entry before.
func (t *tally) newRange() {
	t.fresh = true
	t.newBlock()
}

// newBlock begins a new span.
func (t *tally) newBlock() {
	if t.spans != nil {
		t.spans.cut()
	}
}

func (t *tally) add(sortKey []byte, e *backupfile.Entry) {
	part := t.part(sortKey)
	if t.current == nil || !bytes.Equal(part, t.last) {
		t.last = append(t.last[:0], part...)
		t.current = t.prints[string(part)]
		if t.current == nil {
			t.current = &print{sum: backupfile.NewFingerprint(t.dataKey)}
			t.prints[string(part)] = t.current
		}
	}
	t.entries++
	t.current.entries++
	if t.live(sortKey, e) {
		t.current.sum.Add(sortKey, e.Value, e.UserMeta, e.ExpiresAt)
		if t.spans != nil {
			t.spans.add(sortKey, e.Version)
		}
	}
}

// part cuts namespace and name out of a Dgraph key. A plain Badger database has
// one part, "".
func (t *tally) part(key []byte) []byte {
	if t.kind != manifest.KindDgraph || len(key) < 11 {
		return nil
	}
	return key[1:partLen(key)]
}

// metaDelete is Badger's mark of a deleted key, in an entry's Meta.
const metaDelete = 1

// live reports whether a reader of the database would see e: a list that is
// not empty, or the newest version of a key if that is not a delete. Expiry
// does not count, for the clock goes on between backup and proof.
func (t *tally) live(key []byte, e *backupfile.Entry) bool {
	if t.kind == manifest.KindDgraph {
		return e.UserMeta != dgraph.MetaEmpty
	}
	older := !t.fresh && bytes.Equal(key, t.lastKey)
	t.fresh, t.lastKey = false, append(t.lastKey[:0], key...)
	return !older && e.Meta&metaDelete == 0
}

func (t *tally) merge(o *tally) {
	t.entries += o.entries
	if t.spans != nil {
		t.spans.merge(o.spans)
	}
	for part, p := range o.prints {
		if mine := t.prints[part]; mine != nil {
			mine.entries += p.entries
			mine.sum.Merge(p.sum)
		} else {
			t.prints[part] = p
		}
	}
}

// label is how a seal names a part: as Dgraph 23 writes a predicate.
func label(part string) string {
	if part == "" {
		return ""
	}
	return dgraph.Predicate{Namespace: binary.BigEndian.Uint64([]byte(part)), Name: part[10:]}.String()
}

func (t *tally) counts() map[string]int64 {
	m := map[string]int64{}
	for part, p := range t.prints {
		m[label(part)] += p.entries
	}
	return m
}

func (t *tally) sums() map[string][16]byte {
	m := map[string][16]byte{}
	for part, p := range t.prints {
		m[label(part)] = p.sum.Sum()
	}
	return m
}
