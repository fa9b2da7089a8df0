package backupfile

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// The readers of the world, none of them ours. Dgraph 21.03 to 24.1 reads with
// golang/snappy, 20.x with the standard gzip, 25 with s2.
var strangers = map[string]struct {
	codec Codec
	open  func(io.Reader) (io.Reader, error)
}{
	"golang/snappy":       {CodecSnappy, func(r io.Reader) (io.Reader, error) { return snappy.NewReader(r), nil }},
	"s2 reads snappy":     {CodecSnappy, func(r io.Reader) (io.Reader, error) { return s2.NewReader(r), nil }},
	"s2 with 64 KiB":      {CodecSnappy, func(r io.Reader) (io.Reader, error) { return s2.NewReader(r, s2.ReaderMaxBlockSize(64<<10)), nil }},
	"standard gzip":       {CodecGzip, func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) }},
	"s2":                  {CodecS2, func(r io.Reader) (io.Reader, error) { return s2.NewReader(r), nil }},
	"zstd, 8 MiB windows": {CodecZstd, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20)) }},
}

func TestStreamReadersReadARowOfBlocks(t *testing.T) {
	for name, s := range strangers {
		for _, n := range []int{0, 1, 70_000} {
			file, info := write(t, s.codec, nil, n, 40_000) // the first block is 2 MiB
			r, err := s.open(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for {
				var length uint64
				if err := binary.Read(r, binary.LittleEndian, &length); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				frame := make([]byte, length)
				if _, err := io.ReadFull(r, frame); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				var l pb.KVList
				if err := l.Unmarshal(frame); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, kv := range l.Kv {
					if want := entry(got); string(kv.Key) != string(want.Key) || string(kv.Value) != string(want.Value) {
						t.Fatalf("%s: entry %d is %v", name, got, kv)
					}
					got++
				}
			}
			if got != n || info.Entries() != int64(n) {
				t.Errorf("%s: %d of %d entries, %d in the info", name, got, n, info.Entries())
			}
		}
	}
}

// What does not shrink is stored in chunks, too, none above 64 KiB.
func TestSnappyOfNoise(t *testing.T) {
	noise := noise(3 << 20)
	enc := NewBlockEncoder(CodecSnappy)
	enc.Add([]byte("k"), &Entry{Key: []byte("k"), Value: noise})
	b, err := enc.Flush()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(snappy.NewReader(bytes.NewReader(b.Data)))
	if err != nil || !bytes.Contains(raw, noise) || int64(len(raw)) != b.Raw {
		t.Errorf("%d raw bytes of %d, %v", len(raw), b.Raw, err)
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range codecs {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("ParseCodec(%q) = %v, %v", c, got, err)
		}
	}
	if _, err := ParseCodec("lzma"); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
	if _, err := NewBlockEncoder(9).Flush(); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	var entries []*Entry
	for i := range 2000 {
		entries = append(entries, entry(i))
	}
	for _, c := range codecs {
		enc := NewBlockEncoder(c)
		block := func() {
			for _, e := range entries {
				enc.Add(e.Key, e)
			}
			b, err := enc.Flush()
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
		}
		for range 5 {
			block()
		}
		// A garbage collection may empty a pool in between; one allocation is
		// that, two are not.
		if n := testing.AllocsPerRun(50, block); n > 1 && !raceEnabled {
			t.Errorf("%v: %v allocations per block", c, n)
		}
	}
}
