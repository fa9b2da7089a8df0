package dgraph

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// How Badger's lists hold uids: pb.UidPack. Its blocks have at most 256 uids that
// agree in their upper 32 bits: the first uid, and the differences of those after
// it in groups of four, padded with zeros. A group is a byte that tells
// the length of each difference (two bits each, the first one lowest), then the
// differences, little endian, in 1 to 4 bytes.
const (
	packBlockSize = 1
	packBlocks    = 2

	blockBase   = 1
	blockDeltas = 2
	blockCount  = 3

	blockUIDs = 256
)

// nextBlock reads the first block of pack, appends its uids to dst and returns
// what comes after it. Unless it is the first, its uids must follow last.
func nextBlock(dst []uint64, pack []byte, first bool, last uint64) (uids []uint64, rest []byte, err error) {
	var f field
	for len(pack) > 0 {
		if pack, err = nextField(pack, &f); err != nil {
			return dst, nil, fmt.Errorf("uid pack: %w", err)
		}
		if f.is(packBlocks, protowire.BytesType) {
			uids, err = decodeBlock(dst, f.b, first, last)
			return uids, pack, err
		}
	}
	return dst, nil, nil
}

func decodeBlock(dst []uint64, block []byte, first bool, last uint64) ([]uint64, error) {
	var (
		f      field
		err    error
		uid    uint64
		count  uint64
		deltas []byte
	)
	for len(block) > 0 {
		if block, err = nextField(block, &f); err != nil {
			return dst, fmt.Errorf("uid block: %w", err)
		}
		switch {
		case f.is(blockBase, protowire.VarintType):
			uid = f.u
		case f.is(blockDeltas, protowire.BytesType):
			deltas = f.b
		case f.is(blockCount, protowire.VarintType):
			count = f.u
		}
	}
	if count == 0 {
		return dst, nil
	}
	if uid <= last && !first {
		return dst, errOrder
	}
	dst = append(dst, uid)
	for count--; count > 0; {
		if len(deltas) == 0 {
			return dst, fmt.Errorf("%w: uid block with %d uids too few", ErrCorrupt, count)
		}
		tag := deltas[0]
		deltas = deltas[1:]
		for i := 0; i < 4 && count > 0; i++ {
			n := int(tag&3) + 1
			if len(deltas) < n {
				return dst, fmt.Errorf("%w: uid block with %d uids too few", ErrCorrupt, count)
			}
			var delta uint64
			if len(deltas) >= 4 {
				delta = uint64(binary.LittleEndian.Uint32(deltas)) & (1<<(8*n) - 1)
			} else {
				for j := n - 1; j >= 0; j-- {
					delta = delta<<8 | uint64(deltas[j])
				}
			}
			if delta == 0 || uid+delta < uid {
				return dst, errOrder
			}
			uid += delta
			dst = append(dst, uid)
			deltas, tag, count = deltas[n:], tag>>2, count-1
		}
	}
	return dst, nil
}

// appendBlock appends uids, which are 1 to 256 and ascend, as a block field of a pack.
func appendBlock(dst []byte, uids []uint64) []byte {
	var buf [1 + blockUIDs/4*17 + 3]byte // the last difference is stored in 4 bytes whatever its length
	deltas, n := &buf, 0
	for i := 1; i == 1 || i < len(uids); i += 4 {
		at := n
		n++
		var tag byte
		for j := range 4 {
			var delta uint32
			if i+j < len(uids) {
				delta = uint32(uids[i+j] - uids[i+j-1])
			}
			size := byte(0)
			switch {
			case delta >= 1<<24:
				size = 3
			case delta >= 1<<16:
				size = 2
			case delta >= 1<<8:
				size = 1
			}
			binary.LittleEndian.PutUint32(deltas[n:], delta)
			n += int(size) + 1
			tag |= size << (2 * j)
		}
		deltas[at] = tag
	}
	size := 1 + uvarintLen(uint64(n)) + n + 1 + uvarintLen(uint64(len(uids)))
	if uids[0] != 0 {
		size += 1 + uvarintLen(uids[0])
	}
	dst = append(dst, packBlocks<<3|byte(protowire.BytesType))
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = appendVarintField(dst, blockBase, uids[0])
	dst = appendBytesField(dst, blockDeltas, deltas[:n])
	return appendVarintField(dst, blockCount, uint64(len(uids)))
}
