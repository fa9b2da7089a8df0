package backupfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
)

// seal returns a file of three blocks with its seal as it is stored.
func seal(t testing.TB, c Codec, key []byte) (file, stored []byte) {
	t.Helper()
	file, info := write(t, c, key, 30, 10)
	s := &Seal{
		Kind: "dgraph", Group: 3, Series: "brave_curie7", Number: 2, Since: 40, ReadTs: 1 << 63, Engine: "0.1.0",
		Codec: c.String(), File: info,
		Predicates:  map[string]int64{"0-name": 20, "0-age": 10, "1f-name": 0},
		Fingerprint: map[string][16]byte{"0-name": {1, 2, 3}, "0-age": {15: 9}},
		Record:      []byte("digest"), Spans: []Span{{[]byte("a"), 1, [16]byte{7}, 3, []byte("a"), 3}, {[]byte("ab"), 300, [16]byte{8}, 4, []byte("abc"), 1 << 63}},
	}
	stored, err := s.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	return file, stored
}

// open reads a file by its stored seal, to the end.
func open(file, stored, key []byte) (int, error) {
	s, err := ParseSeal(stored, key)
	if err != nil {
		return 0, err
	}
	return drain(NewSealedReader(bytes.NewReader(file), key, s))
}

func isDamage(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) }

func TestSealSaysWhatWasSealed(t *testing.T) {
	each(t, keys, func(t *testing.T, c Codec, key []byte) {
		_, stored := seal(t, c, key)
		s, err := ParseSeal(stored, key)
		if err != nil {
			t.Fatal(err)
		}
		want := Seal{
			Kind: "dgraph", Group: 3, Series: "brave_curie7", Number: 2, Since: 40, ReadTs: 1 << 63, Engine: "0.1.0", Codec: c.String(), File: s.File,
			Predicates: s.Predicates, Fingerprint: s.Fingerprint,
			Record: []byte("digest"), Spans: []Span{{[]byte("a"), 1, [16]byte{7}, 3, []byte("a"), 3}, {[]byte("ab"), 300, [16]byte{8}, 4, []byte("abc"), 1 << 63}},
		}
		if fmt.Sprintf("%+v", *s) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v, want %+v", *s, want)
		}
		if !maps.Equal(s.Predicates, map[string]int64{"0-name": 20, "0-age": 10, "1f-name": 0}) ||
			!maps.Equal(s.Fingerprint, map[string][16]byte{"0-name": {1, 2, 3}, "0-age": {15: 9}}) {
			t.Errorf("%v, %v", s.Predicates, s.Fingerprint)
		}
		again, err := s.Encode(key)
		if err != nil || !bytes.Equal(again, stored) {
			t.Errorf("a seal that was read encodes to other bytes (%v)", err)
		}
	})
}

// A seal that holds nothing new is one that older programs read, and spans that were
// taken of nothing are not spans that were not taken.
func TestSealVersions(t *testing.T) {
	_, info := write(t, CodecSnappy, nil, 3, 10)
	for name, test := range map[string]struct {
		seal    Seal
		version byte
	}{
		"neither":  {Seal{File: info}, 1},
		"record":   {Seal{File: info, Record: []byte("r")}, 2},
		"no keys":  {Seal{File: info, Spans: []Span{}}, 2},
		"one span": {Seal{File: info, Spans: []Span{{[]byte("k"), 1, [16]byte{}, 2, []byte("k"), 2}}}, 2},
	} {
		stored, err := test.seal.Encode(nil)
		if err != nil || stored[len(sealMagic)] != test.version {
			t.Errorf("%s: version %d, %v", name, stored[len(sealMagic)], err)
		}
		got, err := ParseSeal(stored, nil)
		if err != nil || fmt.Sprintf("%+v %t", *got, got.Spans == nil) != fmt.Sprintf("%+v %t", test.seal, test.seal.Spans == nil) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, spans := range map[string][]Span{
		"empty": {{Start: []byte("a")}}, "twice": {{Start: []byte("a"), Keys: 1}, {Start: []byte("a"), Keys: 1}},
		"descending": {{Start: []byte("b"), Keys: 1}, {Start: []byte("a"), Keys: 1}},
	} {
		if _, err := (&Seal{File: info, Spans: spans}).Encode(nil); err == nil {
			t.Errorf("%s: spans were sealed", name)
		}
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	each(t, twoKeys, func(t *testing.T, c Codec, key []byte) {
		file, stored := seal(t, c, key)
		for n := range file {
			if _, err := open(file[:n], stored, key); !errors.Is(err, ErrTruncated) {
				t.Errorf("file cut at %d of %d: %v", n, len(file), err)
			}
		}
		for n := range stored {
			if _, err := open(file, stored[:n], key); !isDamage(err) {
				t.Errorf("seal cut at %d of %d: %v", n, len(stored), err)
			}
		}
		if _, err := open(append(bytes.Clone(file), 0), stored, key); !errors.Is(err, ErrCorrupt) {
			t.Errorf("one byte more: %v", err)
		}
		if _, err := open(file, append(bytes.Clone(stored), 0), key); !errors.Is(err, ErrCorrupt) {
			t.Errorf("seal with one byte more: %v", err)
		}
	})
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	each(t, twoKeys, func(t *testing.T, c Codec, key []byte) {
		file, stored := seal(t, c, key)
		for i := range file {
			for bit := range 8 {
				file[i] ^= 1 << bit
				if _, err := open(file, stored, key); !errors.Is(err, ErrCorrupt) {
					t.Errorf("bit %d of byte %d of the file: %v", bit, i, err)
				}
				file[i] ^= 1 << bit
			}
		}
		for i := range stored {
			for bit := range 8 {
				stored[i] ^= 1 << bit
				if _, err := open(file, stored, key); !isDamage(err) {
					t.Errorf("bit %d of byte %d of the seal: %v", bit, i, err)
				}
				stored[i] ^= 1 << bit
			}
		}
		if n, err := open(file, stored, key); n != 30 || err != nil {
			t.Errorf("the whole file: %d entries, %v", n, err)
		}
	})
}

func TestSealUnderAnotherKey(t *testing.T) {
	plainFile, plain := seal(t, CodecSnappy, nil)
	secretFile, secret := seal(t, CodecSnappy, keys[3])
	_, other := seal(t, CodecSnappy, keys[1])
	for _, test := range []struct {
		name      string
		seal, key []byte
		want      error
		says      string
	}{
		{"no key for a keyed seal", secret, nil, ErrWrongKey, "none was given"},
		{"another key", secret, keys[1], ErrWrongKey, KeyCheck(keys[3])},
		{"an unkeyed seal where there is a key", plain, keys[3], ErrCorrupt, "not authenticated"},
	} {
		if _, err := ParseSeal(test.seal, test.key); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// Forged by someone who knows the format and not the key: the check value of
	// the right key, all digests right.
	forged := bytes.Clone(other)
	copy(forged[len(sealMagic)+2:], keyCheck(keys[3]))
	forged = resum(forged)
	if _, err := ParseSeal(forged, keys[3]); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "authentication code") {
		t.Errorf("forged seal: %v", err)
	}
	// A right seal with the wrong key for the file itself.
	s, err := ParseSeal(secret, keys[3])
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"none": nil, "another": keys[1]} {
		if _, err := drain(NewSealedReader(bytes.NewReader(secretFile), key, s)); !errors.Is(err, ErrWrongKey) {
			t.Errorf("file with key %s: %v", name, err)
		}
	}
	if s, err = ParseSeal(plain, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(NewSealedReader(bytes.NewReader(plainFile), keys[1], s)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("plain file with a key: %v", err)
	}
}

// resum puts the right SHA-256 into a seal that was altered.
func resum(stored []byte) []byte {
	tail := 32
	if stored[len(sealMagic)+1]&sealKeyed != 0 {
		tail = 64
	}
	covered := stored[:len(stored)-tail]
	sum := sum256(covered)
	return append(append(bytes.Clone(covered), sum[:]...), stored[len(covered)+32:]...)
}

func TestSwappedObjectsAreNoticed(t *testing.T) {
	_, stored := seal(t, CodecSnappy, keys[1])
	s, err := ParseSeal(stored, keys[1])
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{Kind: "dgraph", Group: 3, Series: "brave_curie7", Number: 2, ReadTs: 1 << 63}
	if err := s.Expect(want); err != nil {
		t.Error(err)
	}
	for _, other := range []Identity{
		{"badger", 3, "brave_curie7", 2, 1 << 63},
		{"dgraph", 2, "brave_curie7", 2, 1 << 63},
		{"dgraph", 3, "brave_curie8", 2, 1 << 63},
		{"dgraph", 3, "brave_curie7", 1, 1 << 63},
		{"dgraph", 3, "brave_curie7", 2, 1},
	} {
		if err := s.Expect(other); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "brave_curie7/2") {
			t.Errorf("expected %v: %v", other, err)
		}
	}
	// Another file of the same key and content, whose IV differs.
	twin, _ := write(t, CodecSnappy, keys[1], 30, 10)
	if _, err := open(twin, stored, keys[1]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another file: %v", err)
	}
	// Two blocks of one length in each other's place.
	plain, info := write(t, CodecSnappy, nil, 30, 10)
	a, b := info.Blocks[1], info.Blocks[2]
	swapped := bytes.Clone(plain[:a.Offset])
	swapped = append(swapped, plain[b.Offset:]...)
	swapped = append(swapped, plain[a.Offset:b.Offset]...)
	if _, err := drain(NewSealedReader(bytes.NewReader(swapped), nil, &Seal{File: info})); !errors.Is(err, ErrCorrupt) {
		t.Errorf("swapped blocks: %v", err)
	}
}

func TestAnyBlockAlone(t *testing.T) {
	each(t, keys, func(t *testing.T, c Codec, key []byte) {
		file, info := write(t, c, key, 95, 10)
		d := NewBlockDecoder(key, &Seal{File: info})
		for _, i := range []int{9, 3, 0, 4, 4, 8} {
			b := info.Blocks[i]
			stored := bytes.Clone(file[b.Offset : b.Offset+b.Length])
			if err := d.Open(i, stored); err != nil {
				t.Fatal(err)
			}
			for k := 10 * i; k < min(10*i+10, 95); k++ {
				var e Entry
				if err := d.Next(&e); err != nil || !same(&e, entry(k)) {
					t.Fatalf("block %d: %+v, %v; want %+v", i, e, err, entry(k))
				}
			}
			if err := d.Next(new(Entry)); !errors.Is(err, io.EOF) {
				t.Errorf("block %d: %v", i, err)
			}
			if err := d.Open(i, bytes.Clone(file[b.Offset:b.Offset+b.Length-1])); !errors.Is(err, ErrTruncated) {
				t.Errorf("block %d, one byte less: %v", i, err)
			}
		}
	})
}

// Without a key a seal may be anybody's: what it says of a block's content is
// checked, too.
func TestSealThatLies(t *testing.T) {
	file, info := write(t, CodecS2, nil, 30, 10)
	for name, lie := range map[string]func(*BlockInfo){
		"an entry more":     func(b *BlockInfo) { b.Entries++ },
		"an entry less":     func(b *BlockInfo) { b.Entries-- },
		"a raw byte more":   func(b *BlockInfo) { b.Raw++ },
		"a raw byte less":   func(b *BlockInfo) { b.Raw-- },
		"a GiB":             func(b *BlockInfo) { b.Raw = MaxFrame },
		"hardly any":        func(b *BlockInfo) { b.Raw = frameHeader },
		"another digest":    func(b *BlockInfo) { b.SHA256[0]++ },
		"a shorter block":   func(b *BlockInfo) { b.Length-- },
		"no compression so": func(b *BlockInfo) { b.Raw = 16 },
	} {
		blocks := append([]BlockInfo(nil), info.Blocks...)
		lie(&blocks[1])
		s := &Seal{File: info}
		s.File.Blocks = blocks
		var err error
		if n := allocated(func() { _, err = drain(NewSealedReader(bytes.NewReader(file), nil, s)) }); n > 8<<20 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
		if !isDamage(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImpossibleFilesAreNotSealed(t *testing.T) {
	for name, spoil := range map[string]func(*FileInfo){
		"no block":         func(f *FileInfo) { f.Blocks = nil },
		"hole":             func(f *FileInfo) { f.Blocks[1].Offset++ },
		"overlap":          func(f *FileInfo) { f.Blocks[1].Offset-- },
		"short of the end": func(f *FileInfo) { f.Size++ },
		"beyond the end":   func(f *FileInfo) { f.Size-- },
		"empty block":      func(f *FileInfo) { f.Blocks[0].Length = 0 },
		"half an iv":       func(f *FileInfo) { f.IV = make([]byte, 8) },
		"unsorted":         func(f *FileInfo) { f.Blocks[2].First = []byte("a") },
		"last before first": func(f *FileInfo) {
			b := &f.Blocks[1]
			b.First, b.Last = b.Last, b.First
		},
		"huge":     func(f *FileInfo) { f.Blocks[0].Raw = MaxFrame + frameHeader + 1 },
		"too raw":  func(f *FileInfo) { f.Blocks[0].Raw = frameHeader },
		"negative": func(f *FileInfo) { f.Blocks[0].Entries = -1 },
	} {
		_, info := write(t, CodecSnappy, nil, 30, 10)
		spoil(&info)
		s := &Seal{File: info}
		if _, err := s.Encode(nil); err == nil {
			t.Errorf("%s: encoded", name)
		}
		// The same from outside, where anybody can write the digest.
		body := s.appendBody(nil)
		stored := append([]byte(sealMagic), sealVersion, 0)
		stored = appendString(stored, body)
		sum := sum256(stored)
		if _, err := ParseSeal(append(stored, sum[:]...), nil); !errors.Is(err, ErrCorrupt) && name != "hole" && name != "overlap" {
			t.Errorf("%s: parsed, %v", name, err) // offsets are not stored, so there can be no hole
		}
	}
}

// A seal of a few bytes may not cost more than a few MiB, whatever it claims.
func TestHostileSeals(t *testing.T) {
	wrap := func(flags byte, length uint64, body []byte) []byte {
		b := append([]byte(sealMagic), sealVersion, flags)
		b = append(appendUvarint(b, length), body...)
		sum := sum256(b)
		return append(b, sum[:]...)
	}
	head := (&Seal{Kind: "badger"}).appendBody(nil)
	head = head[:len(head)-3] // without its three counts
	counts := func(n ...uint64) []byte {
		b := bytes.Clone(head)
		for _, n := range n {
			b = appendUvarint(b, n)
		}
		return b
	}
	bomb := compressS2(make([]byte, 200<<20))
	sharing := counts(1 << 20)
	for i := range 1 << 18 { // keys of 64 KiB, each by two bytes
		sharing = append(sharing, 1, 8, 0)
		sharing = append(sharing, make([]byte, 32)...)
		if i == 0 {
			sharing = append(sharing, 0)
			sharing = appendString(sharing, make([]byte, 64<<10))
		} else {
			sharing = appendString(appendUvarint(sharing, 64<<10), "")
		}
		sharing = appendString(appendUvarint(sharing, 64<<10), "")
	}
	sharing = append(sharing, make([]byte, 40<<20)...)
	for name, test := range map[string]struct {
		seal  []byte
		limit uint64
	}{
		"many blocks":       {wrap(0, uint64(len(counts(1<<40))), counts(1<<40)), 1 << 20},
		"many predicates":   {wrap(0, uint64(len(counts(0, 1<<40))), counts(0, 1<<40)), 1 << 20},
		"many fingerprints": {wrap(0, uint64(len(counts(0, 0, 1<<40))), counts(0, 0, 1<<40)), 1 << 20},
		"long body":         {wrap(0, 1<<60, head), 1 << 20},
		"bomb":              {wrap(sealCompressed, 200<<20, bomb), 1 << 20},
		"long compressed":   {wrap(sealCompressed, 1<<28, []byte("\xff\xff\xff\x7f\x00")), 1 << 20},
		"shared keys":       {wrap(0, uint64(len(sharing)), sharing), 512 << 20},
		"no body":           {wrap(0, 0, nil), 1 << 20},
		"later version":     {resum(append(append([]byte(sealMagic), 2, 0), make([]byte, 40)...)), 1 << 20},
	} {
		var err error
		n := allocated(func() { _, err = ParseSeal(test.seal, nil) })
		if !errors.Is(err, ErrCorrupt) || n > test.limit {
			t.Errorf("%s: %d bytes allocated, %v", name, n, err)
		}
	}
}

// Keys that compress without bound are not compressed beyond what a reader
// accepts, so no seal is written that cannot be read.
func TestSealOfExtremeKeys(t *testing.T) {
	for _, size := range []int{1, 2500} {
		f := FileInfo{}
		for i := range 3000 {
			key := bytes.Repeat([]byte{byte(i >> 8), byte(i)}, size)
			f.Blocks = append(f.Blocks, BlockInfo{Offset: f.Size, Length: 10, Raw: 1 << 20, First: key, Last: append(bytes.Clone(key), 1)})
			f.Size += 10
		}
		stored, err := (&Seal{File: f}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSeal(stored, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.Blocks {
			if a, b := f.Blocks[i], s.File.Blocks[i]; !bytes.Equal(a.First, b.First) || !bytes.Equal(a.Last, b.Last) {
				t.Fatalf("keys of block %d differ", i)
			}
		}
	}
}
