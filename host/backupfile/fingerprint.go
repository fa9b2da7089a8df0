package backupfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/minio/highwayhash"
)

// A Fingerprint is a sum over a set of live entries that does not depend on
// their order: two databases with the same entries have the same fingerprint.
// Versions are no part of it, since a restore rewrites them.
//
// It is the sum, modulo 2^128, of the HighwayHash-128 of each entry: its key,
// user meta, expiry and value, with lengths, so that no byte can move from one
// to the other. With a data key the hash is keyed by it, and entries that
// cancel each other out cannot be made; without one it is a checksum.
type Fingerprint struct {
	key    []byte
	hi, lo uint64
	buf    []byte
}

// publicKey is the key of the hash if there is no data key.
const publicKey = "brock/fingerprint/v1 without key"

// NewFingerprint returns the fingerprint of nothing.
func NewFingerprint(dataKey []byte) *Fingerprint {
	if len(dataKey) == 0 {
		return &Fingerprint{key: []byte(publicKey)}
	}
	return &Fingerprint{key: derive(dataKey, "brock/fingerprint/v1", highwayhash.Size)}
}

// A KeySum is a sum over a set of keys, made as a [Fingerprint] is.
type KeySum struct{ f Fingerprint }

// publicKeySum is the key of the hash if there is no data key.
const publicKeySum = "brock/keysum/v1, without any key"

// NewKeySum returns the sum of no keys.
func NewKeySum(dataKey []byte) *KeySum {
	if len(dataKey) == 0 {
		return &KeySum{Fingerprint{key: []byte(publicKeySum)}}
	}
	return &KeySum{Fingerprint{key: derive(dataKey, "brock/keysum/v1", highwayhash.Size)}}
}

// Add adds one key.
func (s *KeySum) Add(key []byte) {
	h := highwayhash.Sum128(key, s.f.key)
	s.f.add(binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[:8]))
}

// Merge adds the keys of another sum of the same data key.
func (s *KeySum) Merge(other *KeySum) { s.f.Merge(&other.f) }

// Reset makes it the sum of no keys again.
func (s *KeySum) Reset() { s.f.hi, s.f.lo = 0, 0 }

// Sum returns the sum of what was added so far.
func (s *KeySum) Sum() [16]byte { return s.f.Sum() }

// Add adds one entry.
func (f *Fingerprint) Add(key, value []byte, userMeta byte, expiresAt uint64) {
	b := binary.AppendUvarint(f.buf[:0], uint64(len(key)))
	b = append(b, key...)
	b = append(b, userMeta)
	b = binary.AppendUvarint(b, expiresAt)
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = append(b, value...)
	h := highwayhash.Sum128(b, f.key)
	f.add(binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[:8]))
	if cap(b) > keptBuffer {
		b = nil
	}
	f.buf = b
}

// Merge adds the entries of another fingerprint of the same data key.
func (f *Fingerprint) Merge(other *Fingerprint) { f.add(other.hi, other.lo) }

func (f *Fingerprint) add(hi, lo uint64) {
	var carry uint64
	f.lo, carry = bits.Add64(f.lo, lo, 0)
	f.hi, _ = bits.Add64(f.hi, hi, carry)
}

// Sum returns the fingerprint of what was added so far.
func (f *Fingerprint) Sum() [16]byte {
	var s [16]byte
	binary.LittleEndian.PutUint64(s[:8], f.lo)
	binary.LittleEndian.PutUint64(s[8:], f.hi)
	return s
}
