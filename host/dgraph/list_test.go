package dgraph

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

// repack takes a backup's list to Badger and back.
func repack(t testing.TB, p *Packer, r *Roller, backupList []byte, e ListEncoding) (main []byte, parts []Part, back []byte) {
	t.Helper()
	main, parts, err := p.Pack(backupList)
	if err != nil {
		t.Fatal(err)
	}
	r.Reset()
	meta := byte(MetaComplete)
	if main == nil {
		meta = MetaEmpty
	}
	if more, err := r.Add(meta, main); more || err != nil {
		t.Fatalf("Add of a complete list: more %t, %v", more, err)
	}
	if len(r.Splits()) != len(parts) {
		t.Fatalf("%d splits of %d parts", len(r.Splits()), len(parts))
	}
	for i, part := range parts {
		if r.Splits()[i] != part.StartUID {
			t.Fatalf("split %d at %d, its part at %d", i, r.Splits()[i], part.StartUID)
		}
		if err := r.AddPart(part.Value); err != nil {
			t.Fatal(err)
		}
	}
	back, empty, err := r.AppendBackupList(nil, e)
	if err != nil || empty != (main == nil) || empty != (len(back) == 0) {
		t.Fatalf("list of %d bytes came back with %d, empty %t, %v", len(backupList), len(back), empty, err)
	}
	return main, parts, back
}

// The example of dgraph-format.md, section 3.3: an int, in a real directory of 21.03.
func TestAScalarPacksAsDgraphDoes(t *testing.T) {
	posting := "121b" + "09ffffffffffffffff120846000000000000001802200160016804"
	backup, err := hex.DecodeString(posting + "2a0a" + "ffffffffffffffffff01")
	if err != nil {
		t.Fatal(err)
	}
	want := "0a19" + "088002" + "1214" + "08ffffffffffffffffff01" + "12050000000000" + "1801" + posting
	main, parts, back := repack(t, new(Packer), new(Roller), backup, UIDBytes)
	if got := hex.EncodeToString(main); got != want || len(parts) != 0 {
		t.Errorf("packed as %s and %d parts; want %s", got, len(parts), want)
	}
	if !bytes.Equal(back, backup) {
		t.Errorf("came back as %x; want %x", back, backup)
	}
}

// Every list that real servers wrote goes to Badger and back without a change, and into
// the other encoding and back.
func TestRealListsComeBack(t *testing.T) {
	for _, set := range append(smallSets, otherSets...) {
		t.Run(set, func(t *testing.T) {
			var (
				p     Packer
				r     Roller
				lists int
			)
			eachEntry(t, set, func(file string, kv *pb.KV) {
				if kv.UserMeta[0] == MetaSchema {
					return
				}
				if lists++; set == "v25-large" && lists%16 != 0 {
					return
				}
				encode := func(list []byte, e ListEncoding) []byte {
					out, err := ReencodeList(nil, list, e)
					if err != nil {
						t.Fatalf("%s: %x: %v", file, kv.Key, err)
					}
					return out
				}
				deltas, plain := encode(kv.Value, UIDBytes), encode(kv.Value, UIDs)
				written := deltas
				if len(kv.Value) > 0 && kv.Value[0] == 0x0a {
					written = plain
				}
				if !bytes.Equal(written, kv.Value) {
					t.Fatalf("%s: %x: Dgraph wrote %x, Brock %x", file, kv.Key, kv.Value, written)
				}
				if !bytes.Equal(encode(plain, UIDBytes), deltas) || !bytes.Equal(encode(deltas, UIDs), plain) {
					t.Fatalf("%s: %x: encodings differ", file, kv.Key)
				}
				main, _, back := repack(t, &p, &r, kv.Value, UIDBytes)
				if !bytes.Equal(back, deltas) {
					t.Fatalf("%s: %x: %x came back as %x", file, kv.Key, deltas, back)
				}
				if (main == nil) != (kv.UserMeta[0] == MetaEmpty) {
					t.Fatalf("%s: %x: user meta %x for a value of %d bytes", file, kv.Key, kv.UserMeta, len(kv.Value))
				}
				if naive := naiveBackup(t, kv.Value).stored(); !bytes.Equal(main, naive) {
					t.Fatalf("%s: %x: packed as %x; want %x", file, kv.Key, main, naive)
				}
				if _, _, back := repack(t, &p, &r, deltas, UIDs); !bytes.Equal(back, plain) {
					t.Fatalf("%s: %x: %x came back as %x", file, kv.Key, plain, back)
				}
			})
			if lists == 0 {
				t.Error("no lists")
			}
		})
	}
}

func TestBlocksEndWhereDgraphEndsThem(t *testing.T) {
	count := func(n int, from, step uint64) naiveList {
		l := naiveList{}
		for i := range uint64(n) {
			l[from+i*step] = ""
		}
		return l
	}
	both := func(a, b naiveList) naiveList {
		for uid := range b {
			a[uid] = ""
		}
		return a
	}
	for title, l := range map[string]naiveList{
		"one":               count(1, 1, 1),
		"uid 0":             count(2, 0, 1),
		"one group":         count(5, 1, 1),
		"one more":          count(6, 1, 1),
		"full block":        count(256, 1, 1),
		"block and one":     count(257, 1, 1),
		"1 byte":            count(9, 1, 0xff),
		"2 bytes":           count(9, 1, 0x100),
		"3 bytes":           count(9, 1, 0x10000),
		"4 bytes":           count(9, 1, 0x1000000),
		"upper half":        count(300, 1<<32-7, 1),
		"all upper halves":  count(300, 5, 1<<32),
		"to the very end":   count(300, math.MaxUint64-299, 1),
		"a scalar and uids": both(count(3, 1, 1), count(1, math.MaxUint64, 1)),
	} {
		main, _, back := repack(t, new(Packer), new(Roller), l.backup(UIDs), UIDBytes)
		if want := l.stored(); !bytes.Equal(main, want) {
			t.Errorf("%s: packed as %x; want %x", title, main, want)
		}
		if want := l.backup(UIDBytes); !bytes.Equal(back, want) {
			t.Errorf("%s: came back as %x; want %x", title, back, want)
		}
	}
}

func TestListsThatAreNoneAreRefused(t *testing.T) {
	for title, s := range map[string]string{
		"torn field":                 "\x2a\x05\x01",
		"torn uid":                   "\x2a\x01\x80",
		"endless uid":                "\x2a\x0b" + strings.Repeat("\xff", 11),
		"uid twice":                  "\x2a\x02\x01\x00",
		"descending":                 "\x0a\x02\x05\x04",
		"overflow":                   "\x2a\x0b\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"postings without uids":      "\x12\x09\x09\x01\x00\x00\x00\x00\x00\x00\x00",
		"scattered postings":         "\x12\x00\x2a\x01\x01\x12\x00",
		"two uid fields":             "\x2a\x01\x01\x2a\x01\x02",
		"uids that are not packed":   "\x08\x01\x08\x02",
		"postings of another type":   "\x10\x01",
		"a length beyond all memory": "\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	} {
		if main, _, err := new(Packer).Pack([]byte(s)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Pack(%x) = %x, %v; want ErrCorrupt", title, s, main, err)
		}
	}
}

func TestMaxUIDCountsObjectsButNoHashes(t *testing.T) {
	value := func(uid uint64) string { return naivePosting(uid, 1, 1, "x", "", false) }
	facet := func(uid uint64) string { return naivePosting(uid, 0, 1, "", "", true) }
	for _, c := range []struct {
		title string
		kind  KeyKind
		uid   uint64
		list  naiveList
		want  uint64
	}{
		{"a scalar", KeyData, 7, naiveList{math.MaxUint64: value(math.MaxUint64)}, 7},
		{"values", KeyData, 7, naiveList{100: value(100), 1 << 60: value(1 << 60)}, 7},
		{"edges", KeyData, 7, naiveList{5: "", 1000: "", 900: ""}, 1000},
		{"edges to older nodes", KeyData, 7, naiveList{5: "", 6: ""}, 7},
		{"an edge with a facet", KeyData, 7, naiveList{5: "", 1000: facet(1000)}, 1000},
		{"reverse", KeyReverse, 7, naiveList{5: "", 1000: ""}, 1000},
		{"index", KeyIndex, 0, naiveList{5: "", 1000: ""}, 0},
		{"empty", KeyData, 7, nil, 7},
	} {
		k := Key{Kind: c.kind, Predicate: name, UID: c.uid}
		for _, e := range []ListEncoding{UIDBytes, UIDs} {
			if got, err := MaxUID(&k, c.list.backup(e)); err != nil || got != c.want {
				t.Errorf("%s: MaxUID = %d, %v; want %d", c.title, got, err, c.want)
			}
		}
	}
}
