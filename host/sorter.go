package host

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
)

// A sorter puts the entries of unsealed files into key order, whatever their
// number, within its limit of memory: what does not fit is written to
// temporary files as sorted runs.
//
// Entries of one key come out with the later backup first, and within a backup
// with the higher version first.
type sorter struct {
	dir   string               // for the runs
	limit int                  // bytes of entries held at once
	cut   func(key []byte) int // how much of a key many keys share
	arena [][]byte             // the entries, encoded one after another in chunks, which never move
	held  int                  // bytes of it that count against the limit
	recs  []record
	runs  []*os.File
}

// A record points at an entry in the arena and holds what most comparisons
// need.
type record struct {
	hi, lo uint64 // the key's first 16 bytes after the part that most keys share
	part   uint32 // of the sorter's parts, ranked before sorting
	chunk  uint32
	off    uint32
	length uint32
}

// chunkSize is how much of the arena is allocated at once.
const chunkSize = 4 << 20

func newSorter(dir string, limit int64, kind manifest.Kind) *sorter {
	s := &sorter{dir: dir, limit: int(min(limit, 1<<30)), cut: partLen}
	if kind == manifest.KindBadger {
		s.cut = func([]byte) int { return 0 }
	}
	return s
}

// add takes a copy of an entry of the chain's backup number index.
func (s *sorter) add(key []byte, index int, e *backupfile.Entry) error {
	size := maxHead + len(key) + len(e.Value)
	if s.held > 0 && s.held+size > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	last := len(s.arena) - 1
	if last < 0 || cap(s.arena[last])-len(s.arena[last]) < size {
		s.arena = append(s.arena, make([]byte, 0, max(chunkSize, size)))
		last++
	}
	off := len(s.arena[last])
	s.arena[last] = appendItem(s.arena[last], key, index, e)
	s.recs = append(s.recs, record{
		chunk: uint32(last), off: uint32(off), length: uint32(len(s.arena[last]) - off),
	})
	s.held += size
	return nil
}

// item decodes the entry of a record.
func (s *sorter) item(r *record, it *item) { it.decode(s.encoded(r)) }

func (s *sorter) encoded(r *record) []byte {
	return s.arena[r.chunk][r.off : r.off+r.length]
}

// maxHead is more than the record and the fixed fields of an entry take.
const maxHead = 64

// appendItem encodes an entry: fixed fields first, then key and value with
// their lengths.
func appendItem(dst, key []byte, index int, e *backupfile.Entry) []byte {
	dst = append(dst, e.UserMeta, e.Meta)
	for _, n := range []uint64{uint64(index), e.Version, e.ExpiresAt, uint64(len(key)), uint64(len(e.Value))} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = append(dst, key...)
	return append(dst, e.Value...)
}

// An item is a decoded entry. Its slices alias what it was decoded from.
type item struct {
	key   []byte
	index int
	e     backupfile.Entry // Key is not set
}

func (it *item) decode(b []byte) {
	it.e.UserMeta, it.e.Meta = b[0], b[1]
	b = b[2:]
	var n [5]uint64
	for i := range n {
		v, w := binary.Uvarint(b)
		n[i], b = v, b[w:]
	}
	it.index, it.e.Version, it.e.ExpiresAt = int(n[0]), n[1], n[2]
	it.key, it.e.Value = b[:n[3]:n[3]], b[n[3]:n[3]+n[4]]
}

// before is the order in which items come out.
func (it *item) before(o *item) int {
	if c := bytes.Compare(it.key, o.key); c != 0 {
		return c
	}
	if c := cmp.Compare(o.index, it.index); c != 0 {
		return c
	}
	return cmp.Compare(o.e.Version, it.e.Version)
}

// sort orders the records. Keys share long beginnings (a predicate's name), so
// these are ranked once, and two words of what follows settle nearly all
// comparisons.
func (s *sorter) sort() {
	parts := map[string]uint32{}
	var it item
	for i := range s.recs {
		s.item(&s.recs[i], &it)
		cut := s.cut(it.key)
		id, ok := parts[string(it.key[:cut])]
		if !ok {
			id = uint32(len(parts))
			parts[string(it.key[:cut])] = id
		}
		s.recs[i].part = id
		s.recs[i].hi, s.recs[i].lo = words(it.key[cut:])
	}
	rank := make([]uint32, len(parts))
	for i, name := range sorted(parts) {
		rank[parts[name]] = uint32(i)
	}
	for i := range s.recs {
		s.recs[i].part = rank[s.recs[i].part]
	}
	slices.SortFunc(s.recs, s.compare)
}

func (s *sorter) compare(a, b record) int {
	switch {
	case a.part != b.part:
		return cmp.Compare(a.part, b.part)
	case a.hi != b.hi:
		return cmp.Compare(a.hi, b.hi)
	case a.lo != b.lo:
		return cmp.Compare(a.lo, b.lo)
	}
	var x, y item
	s.item(&a, &x)
	s.item(&b, &y)
	return x.before(&y)
}

// partLen is how much of a Dgraph key names its predicate: one byte, eight of
// namespace, two of the name's length, and the name (dgraph-format.md, section
// 3.1). No such part is the beginning of another.
func partLen(key []byte) int {
	if len(key) < 11 {
		return 0
	}
	return min(len(key), 11+int(binary.BigEndian.Uint16(key[9:])))
}

// words reads up to 16 bytes as two numbers that compare as the bytes do.
func words(b []byte) (hi, lo uint64) {
	var w [16]byte
	copy(w[:], b)
	return binary.BigEndian.Uint64(w[:8]), binary.BigEndian.Uint64(w[8:])
}

// spill writes what is held as a sorted run.
func (s *sorter) spill() error {
	s.sort()
	f, err := os.CreateTemp(s.dir, "run-*")
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 1<<20)
	var length [4]byte
	for i := range s.recs {
		b := s.encoded(&s.recs[i])
		binary.LittleEndian.PutUint32(length[:], uint32(len(b)))
		w.Write(length[:])
		w.Write(b)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	s.arena, s.recs, s.held = nil, s.recs[:0], 0
	return nil
}

// streams returns the sorted runs, the one in memory included.
func (s *sorter) streams() ([]stream, error) {
	s.sort()
	var all []stream
	for _, f := range s.runs {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("temporary file: %w", err)
		}
		all = append(all, &runStream{r: bufio.NewReaderSize(f, 256<<10)})
	}
	if len(s.recs) > 0 {
		all = append(all, &memStream{s: s})
	}
	return all, nil
}

// close removes the temporary files.
func (s *sorter) close() {
	for _, f := range s.runs {
		f.Close()
		os.Remove(f.Name())
	}
	s.arena, s.recs, s.runs = nil, nil, nil
}

type memStream struct {
	s *sorter
	i int
}

func (m *memStream) next(it *item) (bool, error) {
	if m.i == len(m.s.recs) {
		return false, nil
	}
	m.s.item(&m.s.recs[m.i], it)
	m.i++
	return true, nil
}

func (m *memStream) close() {}

type runStream struct {
	r   *bufio.Reader
	buf []byte
}

func (r *runStream) next(it *item) (bool, error) {
	var length [4]byte
	if _, err := io.ReadFull(r.r, length[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("temporary file: %w", err)
	}
	n := int(binary.LittleEndian.Uint32(length[:]))
	r.buf = slices.Grow(r.buf[:0], n)[:n]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return false, fmt.Errorf("temporary file: %w", err)
	}
	it.decode(r.buf)
	return true, nil
}

func (r *runStream) close() {}
