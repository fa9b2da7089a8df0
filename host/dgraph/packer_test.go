package dgraph

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLongListsAreCutInHalves(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	long := naiveList{}
	for uid := uint64(1); len(long) < 700_000; uid += 1 + random.Uint64N(1<<18) {
		long[uid] = ""
	}
	values := naiveList{}
	for len(values) < 3000 {
		uid := random.Uint64()
		values[uid] = naivePosting(uid, 1, 1, strings.Repeat("v", 400+random.IntN(400)), "", false)
	}
	mixed := naiveList{}
	for uid := uint64(1); uid < 200_000; uid++ {
		mixed[uid] = ""
		if uid%7 == 0 {
			mixed[uid] = naivePosting(uid, 0, 1, "", "", true)
		}
	}
	heavy := naiveList{}
	for uid := uint64(1); uid <= 600; uid++ { // three blocks; one must stay too long
		heavy[uid] = ""
		if uid < 200 {
			heavy[uid] = naivePosting(uid, 1, 1, strings.Repeat("v", 10_000), "", false)
		}
	}
	for title, l := range map[string]naiveList{"uids": long, "values": values, "mixed": mixed, "heavy": heavy} {
		var p Packer
		list := l.backup(UIDBytes)
		main, parts, back := repack(t, &p, new(Roller), list, UIDBytes)
		if len(parts) < 2 {
			t.Fatalf("%s: %d parts of %d bytes", title, len(parts), len(list))
		}
		if !bytes.Equal(back, list) {
			t.Errorf("%s: %d bytes came back as %d others", title, len(list), len(back))
		}
		wantMain, want := naiveSplit(l)
		if !bytes.Equal(main, wantMain) {
			t.Errorf("%s: main list %x; want %x", title, main, wantMain)
		}
		if len(parts) != len(want) {
			t.Fatalf("%s: %d parts; want %d", title, len(parts), len(want))
		}
		for i, part := range parts {
			if part.StartUID != want[i].StartUID || !bytes.Equal(part.Value, want[i].Value) {
				t.Errorf("%s: part %d of %d bytes from %d; want %d from %d",
					title, i, len(part.Value), part.StartUID, len(want[i].Value), want[i].StartUID)
			}
		}
		// The buffers of a long list are no harm to the next one.
		short := naiveList{1: "", 2: ""}
		if main, parts, _ := repack(t, &p, new(Roller), short.backup(UIDs), UIDs); !bytes.Equal(main, short.stored()) || len(parts) > 0 {
			t.Errorf("%s: afterwards %x and %d parts", title, main, len(parts))
		}
	}
}

// naiveSplit cuts as dgraph-format.md, section 3.4, says.
func naiveSplit(l naiveList) (main []byte, parts []Part) {
	var cut func(l naiveList, start uint64)
	cut = func(l naiveList, start uint64) {
		blocks := naiveBlocks(l)
		value := l.stored()
		if len(value) < 524288 || len(blocks) == 1 {
			parts = append(parts, Part{start, value})
			return
		}
		mid := blocks[len(blocks)/2]
		low, high := naiveList{}, naiveList{}
		for uid, posting := range l {
			if uid < mid {
				low[uid] = posting
			} else {
				high[uid] = posting
			}
		}
		cut(low, start)
		cut(high, mid)
	}
	cut(l, 1)
	var splits []byte
	for _, part := range parts {
		splits = appendNaiveVarint(splits, part.StartUID)
	}
	return append(appendNaiveVarint([]byte{4<<3 | 2}, uint64(len(splits))), splits...), parts
}

func appendNaiveVarint(b []byte, u uint64) []byte {
	for ; u >= 0x80; u >>= 7 {
		b = append(b, byte(u)|0x80)
	}
	return append(b, byte(u))
}

// naiveBlocks returns the first uid of each block.
func naiveBlocks(l naiveList) []uint64 {
	var firsts []uint64
	n := 0
	for _, uid := range l.uids() {
		if n == 0 || n == 256 || firsts[len(firsts)-1]>>32 != uid>>32 {
			firsts, n = append(firsts, uid), 0
		}
		n++
	}
	return firsts
}

func TestAListJustBelowTheLimitStaysWhole(t *testing.T) {
	l := naiveList{}
	for uid := uint64(1); uid <= 600; uid++ {
		l[uid] = naivePosting(uid, 1, 1, strings.Repeat("v", 500), "", false)
	}
	short := splitSize - len(l.stored())
	pad := func(n int) naiveList { // one posting for each of the first uids, made longer
		l := maps.Clone(l)
		for uid := uint64(1); n > 0; uid++ {
			more := min(n, 400)
			l[uid] = naivePosting(uid, 1, 1, strings.Repeat("v", 500+more), "", false)
			n -= more
		}
		return l
	}
	for n, want := range map[int]int{short - 1: 0, short: 2} {
		l := pad(n)
		if len(l.stored()) != splitSize-short+n {
			t.Fatalf("list of %d bytes", len(l.stored()))
		}
		if _, parts, _ := repack(t, new(Packer), new(Roller), l.backup(UIDBytes), UIDBytes); len(parts) != want {
			t.Errorf("%d bytes: %d parts; want %d", len(l.stored()), len(parts), want)
		}
	}
}
