package dgraph

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

var name = Predicate{Name: "name"}

// Every kind of key with the bytes that Badger has for it in both layouts.
var keyCases = []struct {
	key      Key
	v21, v20 string
	backup   string
}{
	{
		Key{Kind: KeyData, Predicate: name, UID: 0x0102},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x00\x00\x00\x00\x00\x00\x00\x01\x02",
		"\x00\x00\x04name\x00\x00\x00\x00\x00\x00\x00\x01\x02",
		"\x08\x01\x12\x04name\x18\x82\x02",
	},
	{
		Key{Kind: KeyIndex, Predicate: name, Term: []byte("\x02\xff\x00\xfe")},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x02\x02\xff\x00\xfe",
		"\x00\x00\x04name\x02\x02\xff\x00\xfe",
		"\x08\x02\x12\x04name\x2a\x04\x02\xff\x00\xfe",
	},
	{
		Key{Kind: KeyIndex, Predicate: name},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x02",
		"\x00\x00\x04name\x02",
		"\x08\x02\x12\x04name",
	},
	{
		Key{Kind: KeyReverse, Predicate: name, UID: math.MaxUint64},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x04\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x00\x00\x04name\x04\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x08\x03\x12\x04name\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	},
	{
		Key{Kind: KeyCount, Predicate: name, Count: 0x010203},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x08\x00\x01\x02\x03",
		"\x00\x00\x04name\x08\x00\x01\x02\x03",
		"\x08\x04\x12\x04name\x30\x83\x84\x04",
	},
	{
		Key{Kind: KeyCountReverse, Predicate: name},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x0c\x00\x00\x00\x00",
		"\x00\x00\x04name\x0c\x00\x00\x00\x00",
		"\x08\x05\x12\x04name",
	},
	{
		Key{Kind: KeySchema, Predicate: name},
		"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name",
		"\x01\x00\x04name",
		"\x08\x06\x12\x04name",
	},
	{
		Key{Kind: KeyType, Predicate: name},
		"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name",
		"\x02\x00\x04name",
		"\x08\x07\x12\x04name",
	},
	{
		Key{Kind: KeyIndex, Predicate: name, Term: []byte("\x01x"), StartUID: 0x0a0b},
		"\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x02\x01x\x00\x00\x00\x00\x00\x00\x0a\x0b",
		"\x04\x00\x04name\x02\x01x\x00\x00\x00\x00\x00\x00\x0a\x0b",
		"\x08\x02\x12\x04name\x20\x8b\x14\x2a\x02\x01x",
	},
	{
		Key{Kind: KeyData, Predicate: name, UID: 7, StartUID: 1},
		"\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x01",
		"\x04\x00\x04name\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x01",
		"\x08\x01\x12\x04name\x18\x07\x20\x01",
	},
	{
		Key{Kind: KeyCount, Predicate: name, Count: 9, StartUID: 3},
		"\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04name\x08\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x03",
		"\x04\x00\x04name\x08\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x03",
		"\x08\x04\x12\x04name\x20\x03\x30\x09",
	},
	{
		Key{Kind: KeyData, Predicate: Predicate{Namespace: 0x1f, Name: "a\xff-b"}, UID: 1},
		"\x00\x00\x00\x00\x00\x00\x00\x00\x1f\x00\x04a\xff-b\x00\x00\x00\x00\x00\x00\x00\x00\x01",
		"", // 20.x has no namespaces
		"\x08\x01\x12\x04a\xff-b\x18\x01\x38\x1f",
	},
}

func TestKeysHaveTheBytesOfEachLayout(t *testing.T) {
	for _, c := range keyCases {
		for l, want := range map[Layout]string{LayoutV21: c.v21, LayoutV20: c.v20} {
			got, err := AppendKey([]byte("before"), l, &c.key)
			if want == "" {
				if !errors.Is(err, ErrForm) {
					t.Errorf("AppendKey(%d, %+v) = %x, %v; want ErrForm", l, c.key, got, err)
				}
				continue
			}
			if err != nil || string(got) != "before"+want {
				t.Errorf("AppendKey(%d, %+v) = %x, %v; want %x", l, c.key, got, err, want)
			}
			var k Key
			if err := ParseKey(l, []byte(want), &k); err != nil || !same(&k, &c.key) {
				t.Errorf("ParseKey(%d, %x) = %+v, %v; want %+v", l, want, k, err, c.key)
			}
		}
		if got := AppendBackupKey(nil, &c.key); string(got) != c.backup {
			t.Errorf("AppendBackupKey(%+v) = %x; want %x", c.key, got, c.backup)
		}
		var k Key
		if err := ParseBackupKey([]byte(c.backup), &k); err != nil || !same(&k, &c.key) {
			t.Errorf("ParseBackupKey(%x) = %+v, %v; want %+v", c.backup, k, err, c.key)
		}
	}
}

// same compares keys; no term and an empty one are the same.
func same(a, b *Key) bool {
	x, y := *a, *b
	if len(x.Term) == 0 && len(y.Term) == 0 {
		x.Term, y.Term = nil, nil
	}
	return reflect.DeepEqual(x, y)
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	var k Key
	for _, c := range keyCases {
		for l, s := range map[Layout]string{LayoutV21: c.v21, LayoutV20: c.v20} {
			if c.key.Kind == KeyIndex || s == "" {
				continue // any end makes another term
			}
			for n := range len(s) {
				if err := ParseKey(l, []byte(s[:n]), &k); !errors.Is(err, ErrCorrupt) {
					t.Errorf("ParseKey(%d, %x) = %+v, %v; want ErrCorrupt", l, s[:n], k, err)
				}
			}
			if err := ParseKey(l, []byte(s+"x"), &k); !errors.Is(err, ErrCorrupt) {
				t.Errorf("ParseKey(%d, %x) = %+v, %v; want ErrCorrupt", l, s+"x", k, err)
			}
		}
	}
	for _, b := range []string{"", "\x08\x00\x12\x01a", "\x08\x08\x12\x01a", "\x08\x01", "\x08\x01\x12\x01", "\x08\x04\x12\x01a\x30\xff\xff\xff\xff\xff\x01"} {
		if err := ParseBackupKey([]byte(b), &k); !errors.Is(err, ErrCorrupt) {
			t.Errorf("ParseBackupKey(%x) = %+v, %v; want ErrCorrupt", b, k, err)
		}
	}
}

func TestAKeyOfUIDZeroIsKnownAsSuch(t *testing.T) {
	k := Key{Kind: KeyReverse, Predicate: name}
	b, err := AppendKey(nil, LayoutV21, &k)
	if err != nil {
		t.Fatal(err)
	}
	if err := ParseKey(LayoutV21, b, &k); !errors.Is(err, ErrZeroUID) {
		t.Errorf("ParseKey(%x) = %v; want ErrZeroUID", b, err)
	}
	if err := ParseBackupKey(AppendBackupKey(nil, &k), &k); !errors.Is(err, ErrZeroUID) {
		t.Errorf("ParseBackupKey = %v; want ErrZeroUID", err)
	}
}

func TestNamesThatNoKeyHoldsAreRefused(t *testing.T) {
	for _, n := range []string{"", strings.Repeat("x", math.MaxUint16+1)} {
		k := Key{Kind: KeySchema, Predicate: Predicate{Name: n}}
		if b, err := AppendKey(nil, LayoutV21, &k); !errors.Is(err, ErrForm) {
			t.Errorf("AppendKey with a name of %d bytes = %d bytes, %v; want ErrForm", len(n), len(b), err)
		}
	}
}

func TestLayoutIsDetected(t *testing.T) {
	key := func(l Layout, name string) []byte {
		b, err := AppendKey(nil, l, &Key{Kind: KeySchema, Predicate: Predicate{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// This name of 20.x reads as namespace and name of 21.03, too: the next key tells.
	trap := strings.Repeat("x", 6) + "\x00\x05" + "fives"
	for _, c := range []struct {
		keys [][]byte
		want Layout
	}{
		{nil, LayoutV21},
		{[][]byte{key(LayoutV21, "a")}, LayoutV21},
		{[][]byte{key(LayoutV20, "a"), key(LayoutV20, "dgraph.type")}, LayoutV20},
		{[][]byte{key(LayoutV20, trap), key(LayoutV20, "a")}, LayoutV20},
	} {
		got, err := DetectLayout(c.keys)
		if err != nil || got != c.want {
			t.Errorf("DetectLayout(%x) = %d, %v; want %d", c.keys, got, err, c.want)
		}
	}
	for _, keys := range [][][]byte{
		{key(LayoutV20, "a"), key(LayoutV21, "a")},
		{[]byte("!badger!x")},
	} {
		if got, err := DetectLayout(keys); !errors.Is(err, ErrCorrupt) {
			t.Errorf("DetectLayout(%x) = %d, %v; want ErrCorrupt", keys, got, err)
		}
	}
}

// Every key that real servers wrote must come back from both of its forms.
func TestRealKeysComeBack(t *testing.T) {
	for _, set := range append(smallSets, otherSets...) {
		t.Run(set, func(t *testing.T) {
			var k, back Key
			keys := 0
			eachEntry(t, set, func(file string, kv *pb.KV) {
				if keys++; set == "v25-large" && keys%16 != 0 {
					return
				}
				if err := ParseBackupKey(kv.Key, &k); err != nil {
					t.Fatalf("%s: %x: %v", file, kv.Key, err)
				}
				if got := AppendBackupKey(nil, &k); !bytes.Equal(got, kv.Key) {
					t.Fatalf("%s: %x came back as %x", file, kv.Key, got)
				}
				for _, l := range []Layout{LayoutV21, LayoutV20} {
					b, err := AppendKey(nil, l, &k)
					if err == nil {
						err = ParseKey(l, b, &back)
					}
					if err != nil || !same(&k, &back) {
						t.Fatalf("%s: %+v came back as %+v, %v", file, k, back, err)
					}
				}
			})
			if keys == 0 {
				t.Error("no keys")
			}
		})
	}
}
