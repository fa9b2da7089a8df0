package backupfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/klauspost/compress/s2"
)

// A Seal is what a reader must know to trust a file, and to read any part of it
// alone. It is an object of its own, written after its file.
type Seal struct {
	Kind          string // of the source: "dgraph" or "badger"
	Group         uint32
	Series        string
	Number        int
	ReadTs, Since uint64

	Engine      string // version of the program that wrote the file
	Codec       string // for people: a reader goes by the bytes
	File        FileInfo
	Predicates  map[string]int64    // entries per predicate, "0-name"; "" in a Badger backup
	Fingerprint map[string][16]byte // per predicate, as Predicates; nil if it was not taken

	Record []byte // SHA-256 of what the commit record says; nil if it is not vouched for
	Spans  []Span // every key that is there after this backup; nil if they were not taken
}

// A Span sums up the keys of a Badger database from Start on, up to the next span's
// Start; the first one those before it, too. Keys whose newest version is a delete
// do not count, those that expire do.
type Span struct {
	Start   []byte
	Keys    int64
	Sum     [16]byte // [KeySum] of the keys
	Version uint64   // of Start, which is one of the keys

	Newest        []byte // that key among them whose version is the highest
	NewestVersion uint64
}

// An Identity is which group of which backup a file is. No two files share one,
// so a file or a seal in another's place is noticed.
type Identity struct {
	Kind   string
	Group  uint32
	Series string
	Number int
	ReadTs uint64
}

// Identity returns whose seal this is.
func (s *Seal) Identity() Identity {
	return Identity{s.Kind, s.Group, s.Series, s.Number, s.ReadTs}
}

// Expect is ErrCorrupt if this is not the seal of the file that it was found
// beside.
func (s *Seal) Expect(want Identity) error {
	if got := s.Identity(); got != want {
		return fmt.Errorf("%w: the seal is that of %v, not of %v", ErrCorrupt, got, want)
	}
	return nil
}

func (i Identity) String() string {
	return fmt.Sprintf("group %d of %s backup %s/%d at %d", i.Group, i.Kind, i.Series, i.Number, i.ReadTs)
}

// MaxSeal is the largest seal that is written or read: about 2.5 million
// blocks, a file of 2.5 TiB before compression.
const MaxSeal = 256 << 20

// The bytes of a seal:
//
//	magic    "BrockSeal"
//	version  1, or 2 with what is marked so below
//	flags    1: keyed; 2: body compressed
//	check    8 bytes of KeyCheck          (if keyed)
//	length   uvarint, of the body before compression
//	body     an S2 block if compressed
//	sum      SHA-256 of all the above: tells damage from a wrong key
//	mac      HMAC-SHA256 of all the above (if keyed)
//
// The body is a sequence of uvarints, and of strings with a uvarint length:
//
//	kind series number group since readTs engine codec
//	size sha256[32] iv
//	count, per block: length raw entries live sha256[32] first last
//	count, per predicate in order: name entries
//	count, per fingerprint in order: name sum[16]
//	record                                               (version 2)
//	0 or 1 + count, per span in order:                   (version 2)
//	  start keys sum[16] version newest newestVersion
//
// A key (first, last, start, newest) is how many bytes it shares with the key before
// it, then the rest as a string.
const (
	sealMagic   = "BrockSeal"
	sealVersion = 2

	sealKeyed      = 1
	sealCompressed = 2

	checkSize = 8

	// A body may expand to sealFloor, and beyond that to sealRatio times what is
	// stored. Encode leaves one that would expand further as it is.
	sealFloor = 4 << 20
	sealRatio = 64

	// sharedLimit bounds the key bytes that a body may have by reference. Encode
	// writes keys in full beyond it.
	sharedLimit = 64 << 20
)

// Encode returns the seal as an object, authenticated if there is a data key.
func (s *Seal) Encode(dataKey []byte) ([]byte, error) {
	if err := checkKey(dataKey); err != nil {
		return nil, err
	}
	if err := errors.Join(s.File.check(), checkSpans(s.Spans)); err != nil {
		return nil, fmt.Errorf("seal of %v: %w", s.Identity(), err)
	}
	body := s.appendBody(nil)
	flags, stored := byte(0), body
	if c := s2.Encode(nil, body); len(c) < len(body) && len(body) <= sealFloor+sealRatio*len(c) {
		flags, stored = flags|sealCompressed, c
	}
	if len(dataKey) > 0 {
		flags |= sealKeyed
	}
	b := append([]byte(sealMagic), s.version(), flags)
	if len(dataKey) > 0 {
		b = append(b, keyCheck(dataKey)...)
	}
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = append(b, stored...)
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	if len(dataKey) > 0 {
		b = append(b, sealMAC(dataKey, b)...)
	}
	if len(b) > MaxSeal || len(body) > MaxSeal {
		return nil, fmt.Errorf("seal of %v: %w: %d bytes, above the limit of %d", s.Identity(), fs.ErrInvalid, max(len(b), len(body)), MaxSeal)
	}
	return b, nil
}

// version is the oldest that can say all.
func (s *Seal) version() byte {
	if s.Record == nil && s.Spans == nil {
		return 1
	}
	return sealVersion
}

func sealMAC(dataKey, b []byte) []byte {
	m := hmac.New(sha256.New, derive(dataKey, "brock/seal/v1", sha256.Size))
	m.Write(b)
	return m.Sum(nil)
}

// check holds for every file that was written and every seal that is believed:
// blocks lie one behind the other, cover the file, and have keys that ascend.
func (f *FileInfo) check() error {
	offset := int64(len(f.IV))
	if offset != 0 && offset != ivSize {
		return fmt.Errorf("initialisation vector of %d bytes: %w", len(f.IV), fs.ErrInvalid)
	}
	var last []byte
	for i := range f.Blocks {
		b := &f.Blocks[i]
		switch {
		case b.Offset != offset || b.Length <= 0 || b.Length > f.Size-offset:
			return fmt.Errorf("block %d at %d, of %d bytes, in a file of %d: %w", i, b.Offset, b.Length, f.Size, fs.ErrInvalid)
		case b.Raw < frameHeader || b.Raw > frameHeader+MaxFrame || b.Entries < 0 || int64(b.Entries) > b.Raw || b.Live < 0 || b.Live > b.Entries:
			return fmt.Errorf("block %d of %d raw bytes and %d entries: %w", i, b.Raw, b.Entries, fs.ErrInvalid)
		case b.Length > b.Raw+b.Raw/8+1024:
			return fmt.Errorf("block %d of %d raw bytes in %d: %w: no compression does that", i, b.Raw, b.Length, fs.ErrInvalid)
		case bytes.Compare(last, b.First) > 0 || bytes.Compare(b.First, b.Last) > 0:
			return fmt.Errorf("block %d with keys %x to %x after %x: %w", i, b.First, b.Last, last, fs.ErrInvalid)
		}
		offset += b.Length
		last = b.Last
	}
	if offset != f.Size || len(f.Blocks) == 0 {
		return fmt.Errorf("%d blocks that end at %d in a file of %d: %w", len(f.Blocks), offset, f.Size, fs.ErrInvalid)
	}
	return nil
}

// checkSpans holds for spans as check does for blocks: they ascend, and none is empty.
func checkSpans(spans []Span) error {
	for i, s := range spans {
		if s.Keys <= 0 || i > 0 && bytes.Compare(spans[i-1].Start, s.Start) >= 0 {
			return fmt.Errorf("span %d of %d keys from %x: %w", i, s.Keys, s.Start, fs.ErrInvalid)
		}
	}
	return nil
}

func (s *Seal) appendBody(b []byte) []byte {
	b = appendString(b, s.Kind)
	b = appendString(b, s.Series)
	b = binary.AppendUvarint(b, uint64(s.Number))
	b = binary.AppendUvarint(b, uint64(s.Group))
	b = binary.AppendUvarint(b, s.Since)
	b = binary.AppendUvarint(b, s.ReadTs)
	b = appendString(b, s.Engine)
	b = appendString(b, s.Codec)

	b = binary.AppendUvarint(b, uint64(s.File.Size))
	b = append(b, s.File.SHA256[:]...)
	b = appendString(b, s.File.IV)
	b = binary.AppendUvarint(b, uint64(len(s.File.Blocks)))
	keys := keyAppender{}
	for i := range s.File.Blocks {
		k := &s.File.Blocks[i]
		b = binary.AppendUvarint(b, uint64(k.Length))
		b = binary.AppendUvarint(b, uint64(k.Raw))
		b = binary.AppendUvarint(b, uint64(k.Entries))
		b = binary.AppendUvarint(b, uint64(k.Live))
		b = append(b, k.SHA256[:]...)
		b = keys.append(b, k.First)
		b = keys.append(b, k.Last)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Predicates)))
	for _, name := range slices.Sorted(maps.Keys(s.Predicates)) {
		b = appendString(b, name)
		b = binary.AppendUvarint(b, uint64(s.Predicates[name]))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Fingerprint)))
	for _, name := range slices.Sorted(maps.Keys(s.Fingerprint)) {
		sum := s.Fingerprint[name]
		b = appendString(b, name)
		b = append(b, sum[:]...)
	}
	if s.version() == 1 {
		return b
	}
	b = appendString(b, s.Record)
	if s.Spans == nil {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, 1+uint64(len(s.Spans)))
	for i := range s.Spans {
		b = keys.append(b, s.Spans[i].Start)
		b = binary.AppendUvarint(b, uint64(s.Spans[i].Keys))
		b = append(b, s.Spans[i].Sum[:]...)
		b = binary.AppendUvarint(b, s.Spans[i].Version)
		b = keys.append(b, s.Spans[i].Newest)
		b = binary.AppendUvarint(b, s.Spans[i].NewestVersion)
	}
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A keyAppender writes keys by what they share with the one before.
type keyAppender struct {
	last   []byte
	shared int
}

func (k *keyAppender) append(b, key []byte) []byte {
	n := 0
	for n < min(len(k.last), len(key)) && k.last[n] == key[n] {
		n++
	}
	if k.shared+n > sharedLimit {
		n = 0
	}
	k.last = key
	k.shared += n
	return appendString(binary.AppendUvarint(b, uint64(n)), key[n:])
}

func keyCheck(dataKey []byte) []byte {
	b, _ := hex.DecodeString(KeyCheck(dataKey))
	return b
}
