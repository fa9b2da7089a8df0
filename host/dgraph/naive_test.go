package dgraph

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A naiveList is a list as a map: what each uid has for a posting, "" for a plain edge.
// Its encoders are written from the description of the format alone, for
// clarity and with another library than the code under test.
type naiveList map[uint64]string

func (l naiveList) uids() []uint64 {
	return slices.Sorted(maps.Keys(l))
}

func (l naiveList) appendPostings(b []byte) []byte {
	for _, uid := range l.uids() {
		if l[uid] != "" {
			b = protowire.AppendTag(b, 2, protowire.BytesType)
			b = protowire.AppendString(b, l[uid])
		}
	}
	return b
}

// backup is l as a pb.BackupPostingList.
func (l naiveList) backup(e ListEncoding) []byte {
	if len(l) == 0 {
		return nil
	}
	var plain, deltas []byte
	last := uint64(0)
	for _, uid := range l.uids() {
		plain = protowire.AppendVarint(plain, uid)
		deltas = protowire.AppendVarint(deltas, uid-last)
		last = uid
	}
	if e == UIDs {
		b := protowire.AppendTag(nil, 1, protowire.BytesType)
		return l.appendPostings(protowire.AppendBytes(b, plain))
	}
	b := l.appendPostings(nil)
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	return protowire.AppendBytes(b, deltas)
}

// stored is l as a pb.PostingList.
func (l naiveList) stored() []byte {
	if len(l) == 0 {
		return nil
	}
	pack := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 256)
	var block []uint64
	flush := func() {
		var msg []byte
		if block[0] != 0 { // proto3 leaves zeros out
			msg = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), block[0])
		}
		msg = protowire.AppendBytes(protowire.AppendTag(msg, 2, protowire.BytesType), naiveDeltas(block))
		msg = protowire.AppendVarint(protowire.AppendTag(msg, 3, protowire.VarintType), uint64(len(block)))
		pack = protowire.AppendBytes(protowire.AppendTag(pack, 2, protowire.BytesType), msg)
		block = nil
	}
	for _, uid := range l.uids() {
		if len(block) == 256 || len(block) > 0 && block[0]>>32 != uid>>32 {
			flush()
		}
		block = append(block, uid)
	}
	flush()
	b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), pack)
	return l.appendPostings(b)
}

func naiveDeltas(block []uint64) []byte {
	var deltas []uint32
	for i := 1; i < len(block); i++ {
		deltas = append(deltas, uint32(block[i]-block[i-1]))
	}
	for len(deltas) == 0 || len(deltas)%4 != 0 {
		deltas = append(deltas, 0)
	}
	var out []byte
	for group := range slices.Chunk(deltas, 4) {
		var tag byte
		var values []byte
		for i, d := range group {
			b := binary.LittleEndian.AppendUint32(nil, d)
			n := 4
			for n > 1 && b[n-1] == 0 {
				n--
			}
			tag |= byte(n-1) << (2 * i)
			values = append(values, b[:n]...)
		}
		out = append(append(out, tag), values...)
	}
	return out
}

// naivePosting is a pb.Posting.
func naivePosting(uid uint64, kind, op uint64, value, lang string, facet bool) string {
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uid)
	if value != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	if kind != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), kind)
	}
	if lang != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 5, protowire.BytesType), lang)
	}
	if facet {
		b = protowire.AppendString(protowire.AppendTag(b, 9, protowire.BytesType), "\x0a\x04kind\x12\x04papa")
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 12, protowire.VarintType), op)
	return string(protowire.AppendVarint(protowire.AppendTag(b, 13, protowire.VarintType), 7))
}

// naiveBackup reads a pb.BackupPostingList.
func naiveBackup(t testing.TB, b []byte) naiveList {
	t.Helper()
	l, err := parseNaive(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func parseNaive(b []byte) (naiveList, error) {
	var uids, deltas []uint64
	postings := map[uint64]string{}
	for len(b) > 0 {
		num, _, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		if num == 3 {
			_, n := protowire.ConsumeVarint(b)
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch num {
		case 1, 5:
			last := uint64(0)
			for len(v) > 0 {
				u, n := protowire.ConsumeVarint(v)
				if n < 0 {
					return nil, protowire.ParseError(n)
				}
				v = v[n:]
				if num == 1 {
					uids = append(uids, u)
				} else {
					last += u
					deltas = append(deltas, last)
				}
			}
		case 2:
			_, _, n := protowire.ConsumeTag(v)
			uid, m := protowire.ConsumeFixed64(v[n:])
			if n < 0 || m < 0 {
				return nil, fmt.Errorf("posting %x", v)
			}
			postings[uid] = string(v)
		}
	}
	if len(uids) == 0 {
		uids = deltas
	}
	l := naiveList{}
	for _, uid := range uids {
		l[uid] = postings[uid]
	}
	return l, nil
}
