package store

import (
	"encoding/binary"
	"maps"

	"github.com/cespare/xxhash/v2"
)

// touched remembers when keys were changed last, for transactions that care. Of what was
// forgotten it says the worst.
type touched struct {
	last map[uint64]uint64 // by a hash of the key
	all  uint64            // everything else was changed then at the latest
}

// maxTouched bounds what is remembered.
const maxTouched = 1 << 19

func (t *touched) add(keys []string, ts uint64) {
	if t.last == nil {
		t.last = map[uint64]uint64{}
	}
	for _, k := range keys {
		t.last[xxhash.Sum64String(k)] = ts
	}
	if len(t.last) > maxTouched {
		t.forget(ts)
	}
}

// forget takes everything for changed at ts.
func (t *touched) forget(ts uint64) {
	clear(t.last)
	t.all = ts
}

// since reports whether one of the keys may have been changed after ts.
func (t *touched) since(keys []string, ts uint64) bool {
	if t.all > ts {
		return true
	}
	for _, k := range keys {
		if t.last[xxhash.Sum64String(k)] > ts {
			return true
		}
	}
	return false
}

func appendNamespace(b []byte, ns uint64) []byte { return binary.BigEndian.AppendUint64(b, ns) }

// hotKeys count how many deltas lists have got since they were rolled up.
type hotKeys struct {
	deltas map[string]int
}

const (
	rollAfter = 64      // deltas
	maxHot    = 1 << 17 // lists that are counted
)

// add counts one delta of a key, and reports whether it is time to roll its list up.
func (h *hotKeys) add(key []byte) bool {
	if h.deltas == nil || len(h.deltas) > maxHot {
		kept := map[string]int{}
		for k, n := range maps.All(h.deltas) {
			if n > rollAfter/4 {
				kept[k] = n
			}
		}
		if len(kept) > maxHot/2 {
			clear(kept)
		}
		h.deltas = kept
	}
	h.deltas[string(key)]++
	if h.deltas[string(key)] < rollAfter {
		return false
	}
	delete(h.deltas, string(key))
	return true
}
