package host

import (
	"bytes"
	"errors"
	"io"
	"sort"

	"github.com/brock-backup/brock/host/backupfile"
)

// A blockReader yields the entries of a sealed file whose keys are in a range: it
// reads the blocks that may hold one, and no others.
type blockReader struct {
	keys   keyRange
	d      *backupfile.BlockDecoder
	blocks []backupfile.BlockInfo
	next   int // block
	end    int
	src    io.ReadCloser // from the first block on
	opened bool          // a block is open
	buf    []byte
}

func newBlockReader(keys keyRange, d *backupfile.BlockDecoder, blocks []backupfile.BlockInfo) *blockReader {
	b := &blockReader{keys: keys, d: d, blocks: blocks, end: len(blocks)}
	b.next = sort.Search(len(blocks), func(i int) bool { return bytes.Compare(blocks[i].Last, keys.from) >= 0 })
	if keys.to != nil {
		b.end = sort.Search(len(blocks), func(i int) bool { return bytes.Compare(blocks[i].First, keys.to) >= 0 })
	}
	return b
}

// offset is where src has to begin.
func (b *blockReader) offset() int64 {
	if b.next >= len(b.blocks) {
		return 0
	}
	return b.blocks[b.next].Offset
}

// Next yields the next entry, valid until the next call.
func (b *blockReader) Next(e *backupfile.Entry) error {
	for {
		if b.opened {
			err := b.d.Next(e)
			if err == nil && !b.keys.has(e.Key) {
				continue
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
			b.opened = false
		}
		if b.next >= b.end {
			return io.EOF
		}
		if n := int(b.blocks[b.next].Length); cap(b.buf) < n {
			b.buf = make([]byte, n)
		} else {
			b.buf = b.buf[:n]
		}
		if _, err := io.ReadFull(b.src, b.buf); err != nil {
			return endOfFile(err)
		}
		if err := b.d.Open(b.next, b.buf); err != nil {
			return err
		}
		b.next++
		b.opened = true
	}
}
