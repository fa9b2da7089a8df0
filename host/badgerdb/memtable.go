package badgerdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/y"
)

// logHeader is what every log begins with: id of the data key, 12 bytes of IV.
const logHeader = 20

// A logKey decrypts the entries of one log.
type logKey struct {
	key []byte // nil: not encrypted
	iv  [16]byte
}

func newLogKey(header []byte, keys *badger.KeyRegistry) (logKey, error) {
	dk, err := keys.DataKey(binary.BigEndian.Uint64(header))
	if err != nil {
		return logKey{}, err
	}
	k := logKey{}
	if dk != nil {
		k.key = dk.Data
		copy(k.iv[:12], header[8:logHeader])
	}
	return k, nil
}

// open decrypts key and value of the entry at offset, in place.
func (k *logKey) open(b []byte, offset uint32) error {
	if k.key == nil {
		return nil
	}
	iv := k.iv
	binary.BigEndian.PutUint32(iv[12:], offset)
	return y.XORBlock(b, b, k.key, iv[:])
}

// A logEntry is one entry of a log: meta, user meta, lengths, expiry; then
// key and value, then a checksum over it all.
type logEntry struct {
	meta, userMeta byte
	expiresAt      uint64
	keyLen, valLen int
	header         int
}

// parseLogHeader reads the part before the key.
func parseLogHeader(b []byte) (e logEntry, ok bool) {
	if len(b) < 2 {
		return e, false
	}
	e.meta, e.userMeta = b[0], b[1]
	at := 2
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b[at:]); n <= 0 {
			return e, false
		}
		at += n
	}
	if v[0] > 1<<16 || v[1] > math.MaxUint32 {
		return e, false
	}
	e.keyLen, e.valLen, e.expiresAt, e.header = int(v[0]), int(v[1]), v[2], at
	return e, true
}

// size is the entry's length in the log.
func (e *logEntry) size() int { return e.header + e.keyLen + e.valLen + crc32.Size }

// A memtable is what a .mem file holds: writes that are in no table yet.
type memtable struct {
	id         int
	items      []item // sorted
	maxVersion uint64
	size       int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxLogHeader is the most that the part before the key can take.
const maxLogHeader = 2 + 5 + 5 + 10

// readMemtable reads a memtable's log up to its end or, if the database was
// killed, up to the first entry that is not whole. With atEnd=false there is more in
// the file than that: Badger cuts it off at its next start.
func readMemtable(path string, keys *badger.KeyRegistry) (m *memtable, atEnd bool, err error) {
	id, err := strconv.Atoi(filepath.Base(path[:len(path)-len(".mem")]))
	if err != nil {
		return nil, false, damaged("%s: not the name of a memtable", path)
	}
	m = &memtable{id: id}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	r := bufio.NewReaderSize(f, 1<<16)
	header := make([]byte, logHeader)
	if _, err := io.ReadFull(r, header); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return m, fi.Size() == 0, nil // nothing was ever written
		}
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	key, err := newLogKey(header, keys)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	end, err := m.replay(r, key)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	m.sort()
	return m, end == fi.Size(), nil
}

// replay adds every entry whose transaction is whole, and returns where the last of
// them ends.
func (m *memtable) replay(r *bufio.Reader, key logKey) (int64, error) {
	var (
		end  int64  = logHeader
		at   int64  = logHeader
		txn  uint64 // commit timestamp of the transaction that is open
		open []item
	)
	for {
		it, n, err := readLogEntry(r, key, at)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return end, nil
		}
		at += int64(n)
		switch {
		case it.meta&metaTxn != 0:
			if txn == 0 {
				txn = it.version
			}
			if it.version != txn {
				return end, nil
			}
			open = append(open, it)
			continue
		case it.meta&metaFinTxn != 0:
			if txn == 0 || string(it.value) != strconv.FormatUint(txn, 10) {
				return end, nil
			}
			m.items = append(m.items, open...)
			txn, open = 0, open[:0]
		case txn != 0:
			return end, nil
		default:
			m.items = append(m.items, it)
		}
		end = at
	}
}

// readLogEntry reads the entry at offset. n == 0: there is no whole one.
func readLogEntry(r *bufio.Reader, key logKey, offset int64) (it item, n int, err error) {
	peek, err := r.Peek(maxLogHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return it, 0, err
	}
	e, ok := parseLogHeader(peek)
	if !ok || e.keyLen < 8 || offset+int64(e.size()) > math.MaxUint32 {
		return it, 0, nil
	}
	b := make([]byte, 0, min(e.size(), 1<<20))
	for len(b) < e.size() { // a length that lies must not allocate what it says
		grown := slices.Grow(b, min(e.size()-len(b), 1<<20))
		part := grown[len(b):min(cap(grown), e.size())]
		k, err := io.ReadFull(r, part)
		b = grown[:len(b)+k]
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return it, 0, nil
		}
		if err != nil {
			return it, 0, err
		}
	}
	body := b[:len(b)-crc32.Size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) {
		return it, 0, nil
	}
	kv := body[e.header:]
	if err := key.open(kv, uint32(offset)); err != nil {
		return it, 0, err
	}
	it = item{meta: e.meta, userMeta: e.userMeta, expiresAt: e.expiresAt, value: kv[e.keyLen:]}
	it.setKey(kv[:e.keyLen:e.keyLen])
	return it, len(b), nil
}

// sort orders the items and keeps the last write of each version.
func (m *memtable) sort() {
	slices.SortStableFunc(m.items, func(a, b item) int { return a.less(&b) })
	out := m.items[:0]
	for i := range m.items {
		it := m.items[i]
		it.meta &^= metaTxn | metaFinTxn
		if n := len(out); n > 0 && out[n-1].less(&it) == 0 {
			out[n-1] = it
			continue
		}
		out = append(out, it)
		m.maxVersion = max(m.maxVersion, it.version)
	}
	m.items = out
	for i := range out {
		m.size += int64(len(out[i].key) + len(out[i].value) + 16)
	}
}

// A memCursor walks over a memtable.
type memCursor struct {
	items []item
	i     int
}

func (m *memtable) cursor() *memCursor { return &memCursor{items: m.items} }

func (c *memCursor) close() {}

func (c *memCursor) seek(key []byte) error {
	c.i = sort.Search(len(c.items), func(i int) bool { return bytes.Compare(c.items[i].key, key) >= 0 })
	return nil
}

func (c *memCursor) next() error {
	c.i++
	return nil
}

func (c *memCursor) item() *item {
	if c.i >= len(c.items) {
		return nil
	}
	return &c.items[c.i]
}
