package badgerdb

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/dgraph-io/badger/v3/fb"
	"github.com/dgraph-io/badger/v3/options"
	badgerpb "github.com/dgraph-io/badger/v3/pb"
	badgertable "github.com/dgraph-io/badger/v3/table"
	"github.com/dgraph-io/badger/v3/y"
	"github.com/klauspost/compress/s2"
)

// A table is one .sst file: blocks of sorted entries, and an index of them at the
// end. Only what is said here stays in memory; the index is read again by each cursor.
type table struct {
	path        string
	id          uint64
	level       int
	compression options.CompressionType
	key         []byte // nil: not encrypted

	indexAt    int64
	indexLen   int
	first      []byte // first key of the table, without version
	maxVersion uint64
	size       int64 // of the entries, uncompressed
	blocks     int
}

// openTable reads the table's index and checks it against its checksum.
func openTable(dir string, id uint64, level int, compression options.CompressionType, key []byte) (*table, error) {
	t := &table{path: badgertable.NewFilename(id, dir), id: id, level: level, compression: compression, key: key}
	f, err := os.Open(t.path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, damaged("%s: missing", t.path)
		}
		return nil, err
	}
	defer f.Close()
	index, err := t.readIndex(f)
	if err != nil {
		return nil, err
	}
	var bo fb.BlockOffset
	index.Offsets(&bo, 0)
	t.first = append([]byte(nil), userKey(bo.KeyBytes())...)
	t.maxVersion = index.MaxVersion()
	t.size = int64(index.UncompressedSize())
	if t.size == 0 { // written without compression by some versions
		t.size = t.indexAt
	}
	t.blocks = index.OffsetsLength()
	return t, nil
}

// readIndex finds and decodes the index. The file ends with: index, its length,
// checksum, its length.
func (t *table) readIndex(f *os.File) (index *fb.TableIndex, err error) {
	if t.indexLen == 0 {
		if err := t.findIndex(f); err != nil {
			return nil, err
		}
	}
	data := make([]byte, t.indexLen)
	if _, err := f.ReadAt(data, t.indexAt); err != nil {
		return nil, fmt.Errorf("%s: index: %w", t.path, err)
	}
	if t.key != nil {
		if data, err = decrypt(nil, data, t.key); err != nil {
			return nil, damaged("%s: index: %v", t.path, err)
		}
	}
	defer func() { // the decoder trusts what it reads
		if p := recover(); p != nil {
			index, err = nil, damaged("%s: index: %v", t.path, p)
		}
	}()
	index = fb.GetRootAsTableIndex(data, 0)
	if index.OffsetsLength() == 0 {
		return nil, damaged("%s: no blocks in its index", t.path)
	}
	return index, nil
}

func (t *table) findIndex(f *os.File) error {
	size, err := sizeOf(f)
	if err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	pos := size
	take := func(n int64) ([]byte, error) {
		if n < 0 || n > pos {
			return nil, damaged("%s: %d bytes are not a whole table", t.path, size)
		}
		pos -= n
		b := make([]byte, n)
		if _, err := f.ReadAt(b, pos); err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		return b, nil
	}
	number := func() (int64, error) {
		b, err := take(4)
		if err != nil {
			return 0, err
		}
		return int64(binary.BigEndian.Uint32(b)), nil
	}
	n, err := number()
	if err != nil {
		return err
	}
	if n > 64 {
		return damaged("%s: no checksum at its end", t.path)
	}
	b, err := take(n)
	if err != nil {
		return err
	}
	var sum badgerpb.Checksum
	if err := sum.Unmarshal(b); err != nil {
		return damaged("%s: no checksum at its end", t.path)
	}
	if n, err = number(); err != nil {
		return err
	}
	if b, err = take(n); err != nil {
		return err
	}
	if err := y.VerifyChecksum(b, &sum); err != nil || n == 0 {
		return damaged("%s: its index fails its checksum", t.path)
	}
	t.indexAt, t.indexLen = pos, int(n)
	return nil
}

func sizeOf(f *os.File) (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// decrypt undoes the encryption of a block or index: AES-CTR with the IV behind it.
func decrypt(dst, b, key []byte) ([]byte, error) {
	if len(b) < aes.BlockSize {
		return nil, fmt.Errorf("%d bytes hold no IV", len(b))
	}
	body, iv := b[:len(b)-aes.BlockSize], b[len(b)-aes.BlockSize:]
	dst = grow(dst, len(body))
	return dst, y.XORBlock(dst, body, key, iv)
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/4)
	}
	return b[:n]
}

// name is what a message calls the table.
func (t *table) name() string { return filepath.Base(t.path) }

// A block is a decoded block of a table.
type block struct {
	data    []byte // entries only
	offsets []byte // 4 bytes each, little endian
	n       int
	base    []byte // key of the first entry, with version

	plain, raw []byte // buffers
}

// decode makes b the block that is stored as stored.
func (b *block) decode(stored []byte, t *table) (err error) {
	data := stored
	if t.key != nil {
		if b.plain, err = decrypt(b.plain, data, t.key); err != nil {
			return err
		}
		data = b.plain
	}
	switch t.compression {
	case options.None:
	case options.Snappy:
		n, err := s2.DecodedLen(data)
		if err != nil {
			return err
		}
		if n > maxBlock(len(data)) {
			return fmt.Errorf("a block of %d bytes in %d", n, len(data))
		}
		b.raw = grow(b.raw, n)
		if data, err = s2.Decode(b.raw, data); err != nil {
			return err
		}
	case options.ZSTD:
		if b.raw, err = y.ZSTDDecompress(b.raw, data); err != nil {
			return err
		}
		data = b.raw
	default:
		return fmt.Errorf("compression %d is not known", t.compression)
	}
	return b.parse(data)
}

// maxBlock bounds what a compressed block can hold: Snappy copies at most 64 bytes for two.
func maxBlock(n int) int { return 64*n + 64 }

// parse takes a block apart: entries, offsets of the entries, their number,
// checksum, its length.
func (b *block) parse(data []byte) error {
	sumLen, rest, ok := tail(data)
	if !ok || sumLen > len(rest) {
		return fmt.Errorf("no checksum")
	}
	body := rest[:len(rest)-sumLen]
	var sum badgerpb.Checksum
	if err := sum.Unmarshal(rest[len(rest)-sumLen:]); err != nil {
		return fmt.Errorf("no checksum")
	}
	if y.CalculateChecksum(body, sum.Algo) != sum.Sum {
		return fmt.Errorf("checksum mismatch")
	}
	n, rest, ok := tail(body)
	if !ok || n == 0 || n > len(rest)/4 {
		return fmt.Errorf("%d entries in %d bytes", n, len(body))
	}
	at := len(rest) - 4*n
	b.data, b.offsets, b.n = rest[:at], rest[at:], n
	_, diff, ok := b.header(0)
	if !ok {
		return fmt.Errorf("no first key")
	}
	b.base = b.data[headerSize : headerSize+diff]
	return nil
}

// tail takes a big-endian length off the end.
func tail(b []byte) (int, []byte, bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(b[len(b)-4:])
	if n > 1<<30 {
		return 0, nil, false
	}
	return int(n), b[:len(b)-4], true
}

// headerSize is that of an entry's header: how much of the key is the block's
// first key, and how much follows.
const headerSize = 4

func (b *block) header(start int) (overlap, diff int, ok bool) {
	if start < 0 || start+headerSize > len(b.data) {
		return 0, 0, false
	}
	overlap = int(binary.LittleEndian.Uint16(b.data[start:]))
	diff = int(binary.LittleEndian.Uint16(b.data[start+2:]))
	return overlap, diff, start+headerSize+diff <= len(b.data)
}

func (b *block) offset(i int) int {
	if i >= b.n {
		return len(b.data)
	}
	return int(binary.LittleEndian.Uint32(b.offsets[4*i:]))
}

// entry decodes entry i. The key is put together in buf, which is returned.
func (b *block) entry(i int, it *item, buf []byte) ([]byte, bool) {
	start, end := b.offset(i), b.offset(i+1)
	overlap, diff, ok := b.header(start)
	if !ok || overlap > len(b.base) || end > len(b.data) || start+headerSize+diff > end {
		return buf, false
	}
	buf = append(append(buf[:0], b.base[:overlap]...), b.data[start+headerSize:start+headerSize+diff]...)
	return buf, it.setKey(buf) && it.setValue(b.data[start+headerSize+diff:end])
}

// readAhead is how much of a table is read at once when it is read in order.
const readAhead = 256 << 10

// A tableCursor walks over a table.
type tableCursor struct {
	t     *table
	f     *os.File
	index *fb.TableIndex

	b      int // block that is decoded; -1: none
	blk    block
	i      int // entry in it
	cur    item
	keyBuf []byte

	window   []byte // bytes of the file from windowAt
	windowAt int64
	end      bool
}

func (t *table) cursor() (*tableCursor, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	index, err := t.readIndex(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tableCursor{t: t, f: f, index: index, b: -1, end: true}, nil
}

func (c *tableCursor) close() { c.f.Close() }

func (c *tableCursor) item() *item {
	if c.end {
		return nil
	}
	return &c.cur
}

// firstKey is the first key of block b, without version.
func (c *tableCursor) firstKey(b int) []byte {
	var bo fb.BlockOffset
	c.index.Offsets(&bo, b)
	return userKey(bo.KeyBytes())
}

// seek goes to the first version of the first key that is not below key.
// A [*lostBlock] leaves the cursor behind that block.
func (c *tableCursor) seek(key []byte) error {
	n := c.t.blocks
	b := sort.Search(n, func(i int) bool { return bytes.Compare(c.firstKey(i), key) >= 0 })
	if b > 0 {
		b-- // key may begin in the block before
	}
	if err := c.load(b); err != nil {
		return err
	}
	var bad bool
	c.i = sort.Search(c.blk.n, func(i int) bool {
		var ok bool
		if c.keyBuf, ok = c.blk.entry(i, &c.cur, c.keyBuf); !ok {
			bad = true
			return true
		}
		return bytes.Compare(c.cur.key, key) >= 0
	})
	if bad {
		return c.lose("bad entry")
	}
	c.i--
	return c.next()
}

// next goes to the next entry.
func (c *tableCursor) next() error {
	c.i++
	if c.b < 0 || c.i >= c.blk.n {
		if c.b+1 >= c.t.blocks {
			c.end = true
			return nil
		}
		if err := c.load(c.b + 1); err != nil {
			return err
		}
		c.i = 0
	}
	var ok bool
	if c.keyBuf, ok = c.blk.entry(c.i, &c.cur, c.keyBuf); !ok {
		return c.lose("bad entry")
	}
	c.end = false
	return nil
}

// load makes block b the decoded one.
func (c *tableCursor) load(b int) error {
	if c.b == b && c.blk.n > 0 {
		return nil
	}
	inOrder := c.b >= 0 && b == c.b+1
	c.b = b
	stored, err := c.stored(b, inOrder)
	if err != nil {
		return err
	}
	if err := c.blk.decode(stored, c.t); err != nil {
		return c.lose(err.Error())
	}
	return nil
}

// stored returns the bytes of block b as they are in the file.
func (c *tableCursor) stored(b int, inOrder bool) ([]byte, error) {
	var bo fb.BlockOffset
	c.index.Offsets(&bo, b)
	at, n := int64(bo.Offset()), int64(bo.Len())
	if at+n > c.t.indexAt {
		return nil, c.lose("beyond the end of the table")
	}
	if at >= c.windowAt && at+n <= c.windowAt+int64(len(c.window)) {
		return c.window[at-c.windowAt:][:n], nil
	}
	want := n
	if inOrder {
		want = min(max(n, readAhead), c.t.indexAt-at)
	}
	c.window = grow(c.window, int(want))
	c.windowAt = at
	got, err := c.f.ReadAt(c.window, at)
	if int64(got) < n {
		c.window = c.window[:0]
		if err == io.EOF {
			return nil, c.lose("the file ends in it")
		}
		return nil, fmt.Errorf("%s: %w", c.t.path, err)
	}
	c.window = c.window[:got]
	return c.window[:n], nil
}

// lose gives the rest of the current block up.
func (c *tableCursor) lose(why string) error {
	l := &lostBlock{table: c.t.name(), block: c.b, why: why, from: append([]byte(nil), c.firstKey(c.b)...)}
	if c.b+1 < c.t.blocks {
		l.to = append([]byte(nil), c.firstKey(c.b+1)...)
	}
	c.blk.n, c.i = 0, 0
	return l
}

// A lostBlock is a block that cannot be decoded, and with it every entry in it.
type lostBlock struct {
	table    string
	block    int
	why      string
	from, to []byte // keys from and up to; to nil: the table's last block
}

func (l *lostBlock) Error() string {
	to := "its last"
	if l.to != nil {
		to = fmt.Sprintf("%x", l.to)
	}
	return fmt.Sprintf("%s block %d (%s): keys from %x to %s", l.table, l.block, l.why, l.from, to)
}

func (l *lostBlock) Is(target error) bool { return target == ErrDamaged }
