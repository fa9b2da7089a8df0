package backupfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
)

// entry is the i-th of a file that a test writes.
func entry(i int) *Entry {
	return &Entry{
		Key:      fmt.Appendf(nil, "key-%08d", i),
		Value:    bytes.Repeat([]byte{byte(i), byte(i >> 3)}, i%40),
		UserMeta: 0x08, Meta: byte(i % 3), Version: uint64(i * i), ExpiresAt: uint64(i % 5),
	}
}

// write returns a file of n entries in blocks of per, and its info.
func write(t testing.TB, c Codec, key []byte, n, per int) ([]byte, FileInfo) {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, c, key)
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, w, c, n, per)
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), info
}

func writeTo(t testing.TB, w *Writer, c Codec, n, per int) {
	t.Helper()
	enc := NewBlockEncoder(c)
	for i := range n {
		e := entry(i)
		enc.Add(e.Key, e)
		if (i+1)%per == 0 || i == n-1 {
			flush(t, w, enc)
		}
	}
}

func flush(t testing.TB, w *Writer, enc *BlockEncoder) {
	t.Helper()
	b, err := enc.Flush()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	b.Release()
}

// drain counts the entries that compare equal to entry(0), entry(1), ...
func drain(r *Reader) (int, error) {
	for n := 0; ; n++ {
		var e Entry
		switch err := r.Next(&e); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		if want := entry(n); !same(&e, want) {
			return n, fmt.Errorf("entry %d is %+v, want %+v", n, e, want)
		}
	}
}

func same(a, b *Entry) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		a.UserMeta == b.UserMeta && a.Meta == b.Meta && a.Version == b.Version && a.ExpiresAt == b.ExpiresAt
}

var (
	codecs = []Codec{CodecSnappy, CodecGzip, CodecS2, CodecZstd}
	keys   = [][]byte{nil, []byte("a key of sixteen"), []byte("a key of twenty-four ..."), []byte("a key of thirty-two bytes ......")}
)

// twoKeys is without and with encryption, for checks that take their time.
var twoKeys = [][]byte{keys[0], keys[3]}

// each runs a check for every codec and key.
func each(t *testing.T, keys [][]byte, check func(t *testing.T, c Codec, key []byte)) {
	for _, c := range codecs {
		for _, key := range keys {
			t.Run(fmt.Sprintf("%v-%d", c, 8*len(key)), func(t *testing.T) { check(t, c, key) })
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	each(t, keys, func(t *testing.T, c Codec, key []byte) {
		for _, n := range []int{0, 1, 9, 1000} {
			file, info := write(t, c, key, n, 100)
			if got, err := drain(NewReader(bytes.NewReader(file), key)); got != n || err != nil {
				t.Errorf("%d of %d entries, %v", got, n, err)
			}
			s := &Seal{Kind: "badger", Series: "a", Number: 1, Group: 2, ReadTs: 7, Codec: c.String(), File: info}
			data, err := s.Encode(key)
			if err != nil {
				t.Fatal(err)
			}
			if s, err = ParseSeal(data, key); err != nil {
				t.Fatal(err)
			}
			if got, err := drain(NewSealedReader(bytes.NewReader(file), key, s)); got != n || err != nil {
				t.Errorf("sealed: %d of %d entries, %v", got, n, err)
			}
		}
	})
}

func sum256(b []byte) [32]byte { return sha256.Sum256(b) }

func appendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func compressS2(b []byte) []byte { return s2.Encode(nil, b) }
