package dgraph

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

// seeds gives add some entries of every kind from real backups.
func seeds(f *testing.F, add func(k *Key, kv *pb.KV)) {
	f.Helper()
	for _, set := range []string{"v20.11-plain", "v21.03-plain", "v25-plain"} {
		seen := map[Predicate]map[KeyKind]bool{}
		eachEntry(f, set, func(file string, kv *pb.KV) {
			var k Key
			if err := ParseBackupKey(kv.Key, &k); err != nil {
				f.Fatal(err)
			}
			if seen[k.Predicate] == nil {
				seen[k.Predicate] = map[KeyKind]bool{}
			}
			if !seen[k.Predicate][k.Kind] {
				seen[k.Predicate][k.Kind] = true
				add(&k, kv)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	seeds(f, func(k *Key, _ *pb.KV) {
		for _, l := range []Layout{LayoutV21, LayoutV20} {
			if b, err := AppendKey(nil, l, k); err == nil {
				f.Add(b, l == LayoutV20)
			}
		}
	})
	for _, c := range keyCases {
		f.Add([]byte(c.v21), false)
		f.Add([]byte(c.v20), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, v20 bool) {
		l := LayoutV21
		if v20 {
			l = LayoutV20
		}
		var k Key
		if err := ParseKey(l, b, &k); err != nil && !errors.Is(err, ErrZeroUID) {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		back, err := AppendKey(nil, l, &k)
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x came back as %x, %v", b, back, err)
		}
		var again Key
		if err := ParseBackupKey(AppendBackupKey(nil, &k), &again); err != nil && !errors.Is(err, ErrZeroUID) || !same(&k, &again) {
			t.Fatalf("%+v came back as %+v, %v", k, again, err)
		}
	})
}

func FuzzParseBackupKey(f *testing.F) {
	seeds(f, func(_ *Key, kv *pb.KV) { f.Add(kv.Key) })
	for _, c := range keyCases {
		f.Add([]byte(c.backup))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var k, again Key
		if err := ParseBackupKey(b, &k); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrZeroUID) {
				t.Fatal(err)
			}
			return
		}
		if err := ParseBackupKey(AppendBackupKey(nil, &k), &again); err != nil || !same(&k, &again) {
			t.Fatalf("%+v came back as %+v, %v", k, again, err)
		}
		key, err := AppendKey(nil, LayoutV21, &k)
		if err == nil {
			err = ParseKey(LayoutV21, key, &again)
		}
		if err != nil || !same(&k, &again) {
			t.Fatalf("%+v came back from Badger as %+v, %v", k, again, err)
		}
	})
}

func FuzzRoller(f *testing.F) {
	// A history is items behind their user meta and length, newest first, then parts.
	item := func(b []byte, meta byte, value []byte) []byte {
		b = binary.BigEndian.AppendUint16(append(b, meta), uint16(len(value)))
		return append(b, value...)
	}
	one := delta(naivePosting(1, 0, 1, "", "", false), naivePosting(9, 1, 2, "x", "en", true)).value
	star := delta(naivePosting(1<<64-1, 0, 2, "_STAR_ALL", "", false)).value
	var p Packer
	seeds(f, func(k *Key, kv *pb.KV) {
		main, _, err := p.Pack(kv.Value)
		if err != nil || kv.UserMeta[0] == MetaSchema {
			return
		}
		f.Add(item(nil, MetaComplete, main))
		f.Add(item(item(nil, MetaDelta, one), MetaComplete, main))
		f.Add(item(item(item(nil, MetaDelta, one), MetaDelta, star), MetaComplete, main))
		f.Add(item(item(item(nil, MetaComplete, []byte("\x22\x02\x01\x05")), MetaComplete, main), MetaComplete, main))
	})
	f.Fuzz(func(t *testing.T, history []byte) {
		var r Roller
		for more := true; len(history) >= 3; {
			meta, n := history[0], min(int(binary.BigEndian.Uint16(history[1:])), len(history)-3)
			value := history[3 : 3+n]
			history = history[3+n:]
			var err error
			if more {
				more, err = r.Add(meta, value)
			} else if len(r.Splits()) > 0 {
				err = r.AddPart(value)
			}
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				return
			}
		}
		deltas, empty, err := r.AppendBackupList(nil, UIDBytes)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		plain, emptyToo, err := r.AppendBackupList(nil, UIDs)
		if err != nil || empty != emptyToo || empty != (len(deltas) == 0) {
			t.Fatalf("empty %t and %t, %d bytes, %v", empty, emptyToo, len(deltas), err)
		}
		for _, list := range [][]byte{deltas, plain} {
			if got, err := ReencodeList(nil, list, UIDBytes); err != nil || !bytes.Equal(got, deltas) {
				t.Fatalf("%x came back as %x, %v", list, got, err)
			}
		}
		if _, _, back := repack(t, new(Packer), new(Roller), deltas, UIDBytes); !bytes.Equal(back, deltas) {
			t.Fatalf("%x came back as %x", deltas, back)
		}
	})
}

func FuzzPack(f *testing.F) {
	seeds(f, func(_ *Key, kv *pb.KV) { f.Add(kv.Value) })
	f.Fuzz(func(t *testing.T, b []byte) {
		var l list
		main, parts, err := new(Packer).Pack(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if limit := 8*len(b) + 64; len(main) > limit {
			t.Fatalf("%d bytes became %d", len(b), len(main))
		}
		if err := parseList(b, &l); err != nil {
			t.Fatal(err)
		}
		if len(l.splits) > 0 || len(parts) > 0 {
			return
		}
		canonical, err := ReencodeList(nil, b, UIDBytes)
		if err != nil {
			t.Fatal(err)
		}
		if main == nil {
			canonical = nil // a commit timestamp may have been there
		}
		if _, _, back := repack(t, new(Packer), new(Roller), b, UIDBytes); !bytes.Equal(back, canonical) {
			t.Fatalf("%x came back as %x; want %x", b, back, canonical)
		}
		for _, kind := range []KeyKind{KeyData, KeyReverse} {
			k := Key{Kind: kind, Predicate: name, UID: 1}
			if _, err := MaxUID(&k, b); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
		if _, err := DropRecords(b); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

func FuzzConvertType(f *testing.F) {
	seeds(f, func(k *Key, kv *pb.KV) {
		if k.Kind == KeyType || k.Kind == KeySchema {
			for _, form := range []Form{FormV20, FormV21, FormV23} {
				f.Add(kv.Value, int(form), uint64(0))
			}
		}
	})
	f.Fuzz(func(t *testing.T, value []byte, from int, ns uint64) {
		p := Predicate{ns, "Person"}
		for _, to := range []Form{FormV20, FormV21, FormV23} {
			for title, convert := range map[string]func([]byte, Form) ([]byte, error){
				"type":   func(b []byte, from Form) ([]byte, error) { return ConvertType(nil, b, p, from, to) },
				"schema": func(b []byte, from Form) ([]byte, error) { return ConvertSchema(nil, b, p, to) },
			} {
				got, err := convert(value, Form(from))
				if err != nil {
					if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForm) {
						t.Fatal(err)
					}
					continue
				}
				if to == FormV21 && title == "type" {
					continue // a namespace of 8 printable bytes reads as something else
				}
				if again, err := convert(got, to); err != nil || !bytes.Equal(again, got) {
					t.Fatalf("%s %x: %x became %x, %v", title, value, got, again, err)
				}
			}
		}
	})
}
