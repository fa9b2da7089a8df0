package dgraph

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of pb.PostingList, what Badger stores. bitmap is 21.12's, instead of pack.
const (
	storedPack     = 1
	storedPostings = 2
	storedCommitTs = 3
	storedSplits   = 4
	storedBitmap   = 5
)

// splitSize is the size from which Dgraph cuts a stored list of several blocks in two.
const splitSize = 524288

// A Part is a piece of a long list, stored under the list's key with this StartUID.
type Part struct {
	StartUID uint64
	Value    []byte // a pb.PostingList, user meta MetaComplete
}

// A Packer turns a backup's lists into what Badger stores, byte for byte as Dgraph
// does. The zero Packer is ready; it is used for list after list, by one goroutine.
type Packer struct {
	uids   [blockUIDs]uint64
	blocks []byte // block fields, one after another
	starts []blockStart
	posts  []postStart
	out    []byte
	parts  []Part
}

// A blockStart is where a block begins in Packer.blocks, and its first uid.
type blockStart struct {
	at   int
	base uint64
}

// A postStart is where a posting begins in a list's postings, and its uid.
type postStart struct {
	at  int
	uid uint64
}

// Pack turns a backup's list into the value of its key (user meta MetaComplete). A
// list of half a MiB and more is cut: then main only says where the parts
// begin, and each part must be stored as well. main is nil if the list is empty. All
// is valid until the next Pack.
func (p *Packer) Pack(backupList []byte) (main []byte, parts []Part, err error) {
	var l list
	if err := parseList(backupList, &l); err != nil {
		return nil, nil, err
	}
	if err := p.pack(l.uids); err != nil {
		return nil, nil, err
	}
	p.parts = p.parts[:0]
	if len(p.starts) == 0 && len(l.splits) == 0 {
		if len(l.postings) > 0 {
			return nil, nil, fmt.Errorf("%w: list with postings but no uids", ErrCorrupt)
		}
		return nil, nil, nil
	}
	whole := p.size(0, len(p.starts), len(l.postings))
	if whole >= splitSize && len(p.starts) > 1 && len(l.splits) == 0 {
		return p.split(&l, whole)
	}
	out := p.appendStored(p.out[:0], 0, len(p.starts), l.postings)
	out = appendVarintField(out, storedCommitTs, l.commitTs)
	if len(l.splits) > 0 {
		out = appendBytesField(out, storedSplits, l.splits)
	}
	p.keep(out)
	return out, nil, nil
}

// keep makes out the buffer of the next Pack, unless it has grown beyond what is
// common.
func (p *Packer) keep(out []byte) {
	p.out = out
	if cap(out) > keepBuffer {
		p.out, p.blocks, p.posts = nil, nil, nil
	}
}

// pack fills p.blocks and p.starts.
func (p *Packer) pack(uids uidReader) error {
	p.blocks, p.starts = p.blocks[:0], p.starts[:0]
	n := 0
	for {
		uid, ok, err := uids.next()
		if err != nil {
			return err
		}
		if n == blockUIDs || n > 0 && (!ok || uid>>32 != p.uids[0]>>32) {
			p.starts = append(p.starts, blockStart{len(p.blocks), p.uids[0]})
			p.blocks = appendBlock(p.blocks, p.uids[:n])
			n = 0
		}
		if !ok {
			return nil
		}
		p.uids[n] = uid
		n++
	}
}

// blockField is block_size 256.
var blockField = []byte{packBlockSize << 3, 0x80, 0x02}

func (p *Packer) block(i int) int {
	if i == len(p.starts) {
		return len(p.blocks)
	}
	return p.starts[i].at
}

// size returns the size of a stored list of blocks lo to hi and so many bytes of postings.
func (p *Packer) size(lo, hi, postings int) int {
	pack := len(blockField) + p.block(hi) - p.block(lo)
	return 1 + uvarintLen(uint64(pack)) + pack + postings
}

func (p *Packer) appendStored(dst []byte, lo, hi int, postings []byte) []byte {
	if lo < hi {
		blocks := p.blocks[p.block(lo):p.block(hi)]
		dst = append(dst, storedPack<<3|byte(protowire.BytesType))
		dst = binary.AppendUvarint(dst, uint64(len(blockField)+len(blocks)))
		dst = append(dst, blockField...)
		dst = append(dst, blocks...)
	}
	return append(dst, postings...)
}

// split cuts the list in the middle of its blocks, and the halves again, until each is
// short enough or a single block.
func (p *Packer) split(l *list, whole int) (main []byte, parts []Part, err error) {
	if err := p.index(l.postings); err != nil {
		return nil, nil, err
	}
	out := slices.Grow(p.out[:0], whole+64*(1+whole/splitSize))
	var cut func(lo, hi, from, to int, start uint64)
	cut = func(lo, hi, from, to int, start uint64) {
		postings := l.postings[p.posts[from].at:p.posts[to].at]
		if hi-lo == 1 || p.size(lo, hi, len(postings)) < splitSize {
			at := len(out)
			out = p.appendStored(out, lo, hi, postings)
			p.parts = append(p.parts, Part{start, out[at:len(out):len(out)]})
			return
		}
		mid := lo + (hi-lo)/2
		base := p.starts[mid].base
		at := from
		for at < to && p.posts[at].uid < base {
			at++
		}
		cut(lo, mid, from, at, start)
		cut(mid, hi, at, to, base)
	}
	cut(0, len(p.starts), 0, len(p.posts)-1, 1)

	var splits []byte
	for _, part := range p.parts {
		splits = binary.AppendUvarint(splits, part.StartUID)
	}
	main = appendVarintField(nil, storedCommitTs, l.commitTs)
	main = appendBytesField(main, storedSplits, splits)
	p.keep(out)
	return main, p.parts, nil
}

// index fills p.posts, with an end after the last one.
func (p *Packer) index(postings []byte) error {
	p.posts = p.posts[:0]
	var (
		one  post
		err  error
		last uint64
	)
	rest := postings
	for len(rest) > 0 {
		at := len(postings) - len(rest)
		if rest, err = nextPost(rest, &one); err != nil {
			return err
		}
		if one.uid <= last && at > 0 {
			return fmt.Errorf("%w: list whose postings do not ascend", ErrCorrupt)
		}
		p.posts, last = append(p.posts, postStart{at, one.uid}), one.uid
	}
	p.posts = append(p.posts, postStart{len(postings), 0})
	return nil
}
