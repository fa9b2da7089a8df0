package backupfile

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// known are the errors a reader may return for bytes, whatever they are.
func known(err error) bool {
	return errors.Is(err, io.EOF) || isDamage(err) || errors.Is(err, ErrWrongKey)
}

func FuzzReader(f *testing.F) {
	for _, c := range codecs {
		for _, key := range keys[:2] {
			file, _ := write(f, c, key, 30, 10)
			f.Add(file, key != nil)
		}
	}
	f.Add(frameOf(3, []byte{1, 2, 3}), false)
	f.Fuzz(func(t *testing.T, file []byte, encrypted bool) {
		var key []byte
		if encrypted {
			key = keys[1]
		}
		r := NewReader(bytes.NewReader(file), key)
		for range 1 << 20 {
			var e Entry
			if err := r.Next(&e); err != nil {
				if !known(err) {
					t.Errorf("%v", err)
				}
				return
			}
		}
	})
}

// FuzzFrames feeds frames past the compression, whose checksums keep a fuzzer
// from getting far.
func FuzzFrames(f *testing.F) {
	f.Add(frameOf(0, nil))
	f.Add(frameOf(1<<40, nil))
	f.Add(frameOf(7, appendEntry(nil, &Entry{Key: []byte("k"), Value: []byte("v")})))
	f.Fuzz(func(t *testing.T, frames []byte) {
		r := NewReader(bytes.NewReader(compress(t, CodecSnappy, frames)), nil)
		for {
			var e Entry
			if err := r.Next(&e); err != nil {
				if !known(err) {
					t.Errorf("%v", err)
				}
				return
			}
		}
	})
}

func FuzzParseSeal(f *testing.F) {
	for _, key := range keys[:2] {
		_, stored := seal(f, CodecSnappy, key)
		f.Add(stored, key != nil)
	}
	s := &Seal{Kind: "badger", File: FileInfo{Size: 1, Blocks: []BlockInfo{{Length: 1, Raw: 8}}}}
	f.Add(appendString(append([]byte(sealMagic), sealVersion, 0), s.appendBody(nil)), false)
	f.Fuzz(func(t *testing.T, stored []byte, keyed bool) {
		var key []byte
		if keyed {
			key = keys[1]
		} else {
			sum := sum256(stored) // or the digest would let nothing through
			stored = append(bytes.Clone(stored), sum[:]...)
		}
		s, err := ParseSeal(stored, key)
		if err != nil {
			if !known(err) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := s.Encode(key)
		if err != nil {
			t.Fatalf("a seal that was accepted does not encode: %v", err)
		}
		if _, err := ParseSeal(again, key); err != nil {
			t.Errorf("a seal that was accepted is not accepted again: %v", err)
		}
	})
}

func FuzzDecodeKVList(f *testing.F) {
	var l []byte
	for _, e := range someEntries() {
		l = appendEntry(l, &e)
	}
	f.Add(l)
	f.Add([]byte("\x50\x07\x0a\x04\x1a\x02\x01\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, rest := 0, list(b)
		for {
			var e, again Entry
			err := rest.next(&e)
			if errors.Is(err, io.EOF) {
				if err := list(b).expect(n); err != nil {
					t.Errorf("%d entries were read: %v", n, err)
				}
				return
			}
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Error(err)
				}
				return
			}
			n++
			one := list(appendEntry(nil, &e))
			if err := one.next(&again); err != nil || !same(&e, &again) {
				t.Errorf("%+v becomes %+v, %v", e, again, err)
			}
		}
	})
}
