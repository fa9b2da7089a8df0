package badgerdb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

// Badger's meta bits.
const (
	metaDelete  = 0x01
	metaPointer = 0x02 // the value is where it lies in the value log
	metaDiscard = 0x04 // older versions are dead
	metaMerge   = 0x08
	metaTxn     = 0x40
	metaFinTxn  = 0x80

	// metaKept is what of the meta byte means the same in every database.
	metaKept = metaDelete | metaDiscard | metaMerge
)

// An item is one stored version of a key. Its slices are valid until the cursor moves.
type item struct {
	key       []byte
	version   uint64
	meta      byte
	userMeta  byte
	expiresAt uint64
	value     []byte // or a pointer
}

// setKey splits a stored key into the key and its version.
func (it *item) setKey(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	it.key = b[:len(b)-8]
	it.version = math.MaxUint64 - binary.BigEndian.Uint64(b[len(b)-8:])
	return true
}

// setValue decodes what a table stores for a key.
func (it *item) setValue(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	expires, n := binary.Uvarint(b[2:])
	if n <= 0 {
		return false
	}
	it.meta, it.userMeta, it.expiresAt, it.value = b[0], b[1], expires, b[2+n:]
	return true
}

// dead reports whether the version says that its key has no value now.
func (it *item) dead(now time.Time) bool {
	return it.meta&metaDelete != 0 || it.expiresAt != 0 && it.expiresAt <= uint64(now.Unix())
}

// whole reports whether an item of Dgraph needs no older ones: it is no delta.
func (it *item) whole() bool { return it.userMeta != dgraph.MetaDelta }

// less orders by key, then the newest version first.
func (it *item) less(o *item) int {
	if c := bytes.Compare(it.key, o.key); c != 0 {
		return c
	}
	return cmp.Compare(o.version, it.version)
}

// userKey is a stored key without its version.
func userKey(b []byte) []byte {
	if len(b) < 8 {
		return b
	}
	return b[:len(b)-8]
}

// appendStored appends key and version as Badger stores them.
func appendStored(dst, key []byte, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, key...), math.MaxUint64-version)
}
