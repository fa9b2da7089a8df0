package host

import (
	"bytes"
	"slices"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// The floors of a chain say, for each predicate of a group, from which backup
// on its entries count. What an older backup says of it is stale: it was
// dropped since, or it belonged to another group in between, or it is no longer
// owned by the group at all.
//
// Drops are recorded with the backup that came after them, and act on every
// older one, whatever their order. Ownership is what the newest manifest says;
// since a move writes the whole predicate again, the files of the unbroken run
// of backups in which the group owned it are complete.
// (dgraph-format.md, section 5.3 and traps 4 to 6.)
type floors struct {
	chain   []manifest.Manifest
	group   uint32
	owned   []map[dgraph.Predicate]bool // by backup
	schemas []map[dgraph.Predicate]dgraph.Indexes
}

// never is above every backup: no entry counts.
const never = int(^uint(0) >> 1)

func newFloors(chain []manifest.Manifest, group uint32) *floors {
	f := &floors{chain: chain, group: group}
	for i := range chain {
		own := map[dgraph.Predicate]bool{}
		for _, p := range chain[i].Groups[group] {
			own[p] = true
		}
		f.owned = append(f.owned, own)
		f.schemas = append(f.schemas, map[dgraph.Predicate]dgraph.Indexes{})
	}
	return f
}

// setSchema notes what a backup's own schema says of a predicate's indexes.
func (f *floors) setSchema(index int, p dgraph.Predicate, schemaUpdate []byte) error {
	x, err := dgraph.ParseIndexes(schemaUpdate)
	f.schemas[index][p] = x
	return err
}

// lists is the first backup whose lists of p count, or never.
func (f *floors) lists(p dgraph.Predicate) int {
	last := len(f.chain) - 1
	if !f.owns(last, p) {
		return never
	}
	floor := last
	for floor > 0 && f.owns(floor-1, p) && !f.drops(floor, p) && f.sameVector(floor, p) {
		floor--
	}
	return floor
}

// sameVector is false where p is a part of a vector index that backup i has in
// another form than the one before: Dgraph drops and rebuilds such an index without
// a record.
func (f *floors) sameVector(i int, p dgraph.Predicate) bool {
	base, isPart := vectorBase(p)
	if !isPart {
		return true
	}
	x, known := f.schemas[i][base]
	before, knownBefore := f.schemas[i-1][base]
	return !known || !knownBefore || x.Vector == before.Vector
}

// owns reports whether backup i gives p to the group. The parts of a vector
// index go with their predicate, named or not.
func (f *floors) owns(i int, p dgraph.Predicate) bool {
	if f.owned[i][p] {
		return true
	}
	base, ok := vectorBase(p)
	return ok && f.owned[i][base]
}

func (f *floors) drops(i int, p dgraph.Predicate) bool {
	base, isPart := vectorBase(p)
	return slices.ContainsFunc(f.chain[i].Drops, func(d dgraph.Drop) bool {
		switch d.Kind {
		case dgraph.DropAll:
			return true
		case dgraph.DropData:
			return d.WholeCluster || d.Namespace == p.Namespace
		case dgraph.DropAttr:
			return d.Predicate == p || isPart && d.Predicate == base
		case dgraph.DropNamespace:
			return d.Namespace == p.Namespace
		}
		return false
	})
}

// index is the first backup whose index, reverse or count keys like k count: the
// last whose schema has no such index, if there is one. Dgraph records no drop of
// an index, but every backup holds the whole schema.
func (f *floors) index(k *dgraph.Key, floor int) int {
	for i := len(f.chain) - 1; i >= floor; i-- {
		x, known := f.schemas[i][k.Predicate]
		if known && !x.Has(k) {
			return i
		}
	}
	return floor
}

// vectorSuffixes end the names of the predicates that hold a vector index
// (Dgraph 24 and later).
var vectorSuffixes = []string{"__vector_entry", "__vector_dead", "__vector_"}

// vectorBase returns the predicate that p is a part of the vector index of.
func vectorBase(p dgraph.Predicate) (dgraph.Predicate, bool) {
	for _, s := range vectorSuffixes {
		if base, ok := strings.CutSuffix(p.Name, s); ok {
			return dgraph.Predicate{Namespace: p.Namespace, Name: base}, true
		}
	}
	return p, false
}

func isVectorPart(p dgraph.Predicate) bool {
	_, ok := vectorBase(p)
	return ok
}

// droppedKeys reports whether the drops of a plain Badger database explain that
// all keys from first to last are gone.
func droppedKeys(first, last []byte, older []manifest.Manifest, m *manifest.Manifest) bool {
	covers := func(m *manifest.Manifest) bool {
		return m.Record != nil && slices.ContainsFunc(m.Record.BadgerDrops, func(d manifest.BadgerDrop) bool {
			return d.All || bytes.HasPrefix(first, d.Prefix) || bytes.HasPrefix(last, d.Prefix) ||
				bytes.Compare(first, d.Prefix) <= 0 && bytes.Compare(d.Prefix, last) <= 0
		})
	}
	for i := range older {
		if covers(&older[i]) {
			return true
		}
	}
	return covers(m)
}

// badgerFloor is the first backup whose entries of a plain Badger key count.
func badgerFloor(chain []manifest.Manifest, key []byte) int {
	for i := len(chain) - 1; i > 0; i-- {
		if r := chain[i].Record; r != nil && slices.ContainsFunc(r.BadgerDrops, func(d manifest.BadgerDrop) bool {
			return d.All || bytes.HasPrefix(key, d.Prefix)
		}) {
			return i
		}
	}
	return 0
}
