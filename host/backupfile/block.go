package backupfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"sync"
)

const (
	// BlockSize is how many raw bytes make a block: an encoder whose Raw has
	// reached it should be flushed. A single entry may be larger than that.
	BlockSize = 1 << 20

	// MaxFrame is the longest frame that is written or read. Dgraph's are a few
	// MiB, unless a single posting list is larger.
	MaxFrame = 1 << 30

	frameHeader = 8

	// metaDelete is Badger's mark of a deleted key, in an entry's Meta.
	metaDelete = 1

	// keptBuffer is the largest buffer that is kept for the next block or frame.
	keptBuffer = 8 * BlockSize
)

// A Block is a run of sorted entries, compressed, ready for a Writer.
type Block struct {
	First, Last []byte // sort keys of the first and the last entry
	Entries     int
	Live        int    // keys that begin here with an entry that is no delete and never expires
	Raw         int64  // bytes before compression
	Data        []byte // one independent compressed run
}

var blocks = sync.Pool{New: func() any { return new(Block) }}

// Release gives the block's memory to a later one. It must not be used again.
func (b *Block) Release() {
	if cap(b.Data) <= keptBuffer {
		blocks.Put(b)
	}
}

// A BlockEncoder makes blocks of entries. It belongs to one worker; when warm
// it does not allocate.
type BlockEncoder struct {
	codec       Codec
	compressor  compressor
	frame       []byte // frameHeader bytes for its length, and the list so far
	first, last []byte
	before      []byte // the last key of the block before
	entries     int
	live        int
	err         error // of Add, kept for Flush
}

// NewBlockEncoder returns an encoder of blocks of one codec.
func NewBlockEncoder(c Codec) *BlockEncoder {
	return &BlockEncoder{codec: c, frame: make([]byte, frameHeader, BlockSize+BlockSize/4)}
}

// Add appends an entry, all of which is copied. Sort keys must not descend: the
// seal's index and every merge rely on it. What is wrong with an entry is told
// by Flush.
func (b *BlockEncoder) Add(sortKey []byte, e *Entry) {
	switch size := len(e.Key) + len(e.Value); {
	case b.err != nil:
		return
	case b.entries > 0 && bytes.Compare(sortKey, b.last) < 0:
		b.err = fmt.Errorf("key %x after %x: %w: a block is sorted", sortKey, b.last, fs.ErrInvalid)
		return
	case len(b.frame)+size+64 > MaxFrame:
		b.err = fmt.Errorf("key %x: %w: with its %d bytes the block is larger than a frame may be (%d)", sortKey, fs.ErrInvalid, size, MaxFrame)
		return
	}
	if b.entries == 0 {
		b.first = append(b.first[:0], sortKey...)
	}
	last := b.last
	if b.entries == 0 {
		last = b.before
	}
	if e.Meta&metaDelete == 0 && e.ExpiresAt == 0 && !bytes.Equal(sortKey, last) {
		b.live++
	}
	b.last = append(b.last[:0], sortKey...)
	b.frame = appendEntry(b.frame, e)
	b.entries++
}

// Raw returns how many bytes wait for Flush.
func (b *BlockEncoder) Raw() int {
	if b.entries == 0 {
		return 0
	}
	return len(b.frame)
}

// Flush returns what was added since the last Flush as a block, and starts the
// next. Without an entry it is a block that a Writer leaves out.
func (b *BlockEncoder) Flush() (*Block, error) {
	defer b.reset()
	if b.err != nil {
		return nil, b.err
	}
	if b.compressor == nil {
		c, err := newCompressor(b.codec)
		if err != nil {
			return nil, err
		}
		b.compressor = c
	}
	binary.LittleEndian.PutUint64(b.frame, uint64(len(b.frame)-frameHeader))
	block := blocks.Get().(*Block)
	data, err := b.compressor.compress(block.Data[:0], b.frame)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", b.codec, err)
	}
	block.Data = data
	block.First = append(block.First[:0], b.first...)
	block.Last = append(block.Last[:0], b.last...)
	block.Entries, block.Live = b.entries, b.live
	block.Raw = int64(len(b.frame))
	return block, nil
}

func (b *BlockEncoder) reset() {
	if cap(b.frame) > keptBuffer {
		b.frame = make([]byte, frameHeader, BlockSize+BlockSize/4)
	}
	b.frame = b.frame[:frameHeader]
	b.first, b.last, b.before = b.first[:0], b.before[:0], b.last
	b.entries, b.live, b.err = 0, 0, nil
}
