package backupfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// compress returns raw as one run, whatever it holds.
func compress(t testing.TB, c Codec, raw []byte) []byte {
	t.Helper()
	z, err := newCompressor(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := z.compress(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func frameOf(length uint64, list []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, length), list...)
}

// allocated returns how many bytes f allocates in total, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A file of a few bytes may not cost more memory than its decoder's buffers,
// whatever length it claims.
func TestClaimedLengthsAllocateNothing(t *testing.T) {
	for _, c := range codecs {
		for _, test := range []struct {
			length uint64
			want   error
		}{
			{MaxFrame, ErrTruncated},
			{1 << 20, ErrTruncated},
			{2, ErrTruncated},
			{MaxFrame + 1, ErrCorrupt},
			{1 << 62, ErrCorrupt},
			{1<<64 - 1, ErrCorrupt},
		} {
			file := compress(t, c, frameOf(test.length, []byte{0}))
			var err error
			n := allocated(func() { err = NewReader(bytes.NewReader(file), nil).Next(new(Entry)) })
			if !errors.Is(err, test.want) {
				t.Errorf("%v, length %d: %v", c, test.length, err)
			}
			if n > 12<<20 {
				t.Errorf("%v, length %d: %d bytes allocated", c, test.length, n)
			}
		}
	}
}

// repeat reads as the same bytes n times.
func repeat(b []byte, n int) io.Reader {
	r := make([]io.Reader, n)
	for i := range r {
		r[i] = bytes.NewReader(b)
	}
	return io.MultiReader(r...)
}

// zeroes is a zstd frame of n blocks, each 128 KiB in four bytes.
func zeroes(n int) []byte {
	b := []byte("\x28\xb5\x2f\xfd\x00\x38")
	for i := range n {
		last := uint32(0)
		if i == n-1 {
			last = 1
		}
		header := 128<<10<<3 | 1<<1 | last
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}

// A bomb is a few stored bytes that expand without end: to empty frames, or to
// one large frame. Gzip and Snappy cannot do it.
func TestBombs(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"s2":        repeat(compress(t, CodecS2, make([]byte, BlockSize)), 10_000),
		"zstd":      bytes.NewReader(zeroes(30_000)),
		"one frame": io.MultiReader(bytes.NewReader(compress(t, CodecZstd, frameOf(MaxFrame, nil))), bytes.NewReader(zeroes(10_000))),
	} {
		err := NewReader(r, nil).Next(new(Entry))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "expand") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A Dgraph file may be full of one large value: what expands a lot within the
// floor is no bomb.
func TestZeroesAreNoBomb(t *testing.T) {
	for _, c := range codecs {
		enc := NewBlockEncoder(c)
		enc.Add(nil, &Entry{Key: []byte("k"), Value: make([]byte, 64<<20)})
		b, err := enc.Flush()
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		if err := NewReader(bytes.NewReader(b.Data), nil).Next(&e); err != nil || len(e.Value) != 64<<20 {
			t.Errorf("%v: %d bytes, %v", c, len(e.Value), err)
		}
		b.Release()
	}
}

// An unsealed file that was cut is an error, except where the format has no
// mark of its end: between the chunks of Snappy and S2, if a frame ends there,
// and between the members of gzip and the frames of zstd.
func TestUnsealedCuts(t *testing.T) {
	each(t, twoKeys, func(t *testing.T, c Codec, key []byte) {
		file, info := write(t, c, key, 30, 10)
		borders := map[int]bool{len(file): true}
		for _, b := range info.Blocks[1:] {
			borders[int(b.Offset)] = true
		}
		if c == CodecSnappy || c == CodecS2 {
			for _, b := range info.Blocks {
				borders[int(b.Offset)+longestMagic] = true // the magic alone is an empty stream
			}
		}
		for n := range len(file) + 1 {
			_, err := drain(NewReader(bytes.NewReader(file[:n]), key))
			if borders[n] {
				if err != nil {
					t.Errorf("cut at the border %d: %v", n, err)
				}
				continue
			}
			// With a key, the fewer of the first bytes there are the less they say.
			few := n < len(info.IV)+longestMagic && errors.Is(err, ErrWrongKey)
			if !errors.Is(err, ErrTruncated) && !few {
				t.Errorf("cut at %d of %d: %v", n, len(file), err)
			}
		}
	})
}

// A flipped bit of an unsealed file is an error, or of no consequence: the
// checksums of the compression are enough for that. That of gzip comes at the
// end of a member, so entries that differ may come first.
func TestUnsealedBitFlips(t *testing.T) {
	each(t, twoKeys, func(t *testing.T, c Codec, key []byte) {
		file, _ := write(t, c, key, 30, 10)
		for i := range file {
			for bit := range 8 {
				file[i] ^= 1 << bit
				// Harmless: a stream identifier that became padding, a gzip time stamp.
				n, differ, err := 0, 0, error(nil)
				r := NewReader(bytes.NewReader(file), key)
				for ; ; n++ {
					var e Entry
					if err = r.Next(&e); err != nil {
						break
					}
					if n >= 30 || !same(&e, entry(n)) {
						differ++
					}
				}
				if !known(err) || errors.Is(err, io.EOF) && (n != 30 || differ > 0) {
					t.Errorf("bit %d of byte %d: %d entries, %d differ, %v", bit, i, n, differ, err)
				}
				file[i] ^= 1 << bit
			}
		}
	})
}

func TestReadersOfAllManners(t *testing.T) {
	each(t, keys, func(t *testing.T, c Codec, key []byte) {
		file, info := write(t, c, key, 300, 100)
		for name, slow := range map[string]func(io.Reader) io.Reader{
			"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with the error": iotest.DataErrReader,
		} {
			for _, sealed := range []bool{false, true} {
				r := NewReader(slow(bytes.NewReader(file)), key)
				if sealed {
					r = NewSealedReader(slow(bytes.NewReader(file)), key, &Seal{File: info})
				}
				if n, err := drain(r); n != 300 || err != nil {
					t.Errorf("%s, sealed %t: %d entries, %v", name, sealed, n, err)
				}
				if err := r.Next(new(Entry)); !errors.Is(err, io.EOF) {
					t.Errorf("%s, sealed %t: after the end %v", name, sealed, err)
				}
			}
		}
	})
}

// An error of the storage is that error, not damage: only it is retried.
func TestErrorsOfTheReaderPassThrough(t *testing.T) {
	each(t, twoKeys, func(t *testing.T, c Codec, key []byte) {
		file, info := write(t, c, key, 30, 10)
		for n := range len(file) + 1 {
			broken := func() io.Reader { return io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(errDisk)) }
			for name, r := range map[string]*Reader{
				"unsealed": NewReader(broken(), key),
				"sealed":   NewSealedReader(broken(), key, &Seal{File: info}),
			} {
				_, err := drain(r)
				if !errors.Is(err, errDisk) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) {
					t.Fatalf("%s, failing at %d: %v", name, n, err)
				}
				if again := r.Next(new(Entry)); fmt.Sprint(again) != fmt.Sprint(err) {
					t.Fatalf("%s: %v, then %v", name, err, again)
				}
			}
		}
	})
}

// A connection that breaks may say EOF in many words. It is no end of a file.
func TestABrokenConnectionIsNoEnd(t *testing.T) {
	file, info := write(t, CodecSnappy, nil, 30, 10)
	cut := info.Blocks[1].Offset
	lost := fmt.Errorf("%w: %w", errDisk, io.EOF)
	for name, r := range map[string]*Reader{
		"unsealed": NewReader(io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(lost)), nil),
		"sealed":   NewSealedReader(io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(lost)), nil, &Seal{File: info}),
	} {
		n := 0
		err := r.Next(new(Entry))
		for ; err == nil; n++ {
			err = r.Next(new(Entry))
		}
		if n != 10 || errors.Is(err, io.EOF) || !errors.Is(err, errDisk) {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
	}
}

func TestNoBackupAtAll(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want error
	}{
		"nothing":         {"", ErrTruncated},
		"half a magic":    {"\xff\x06\x00\x00sN", ErrTruncated},
		"one byte":        {"\x1f", ErrTruncated},
		"text":            {"{\"Manifests\":[]}", ErrWrongKey},
		"gzip of nothing": {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00", io.EOF},
		"gzip header cut": {"\x1f\x8b\x08\x00\x00", ErrTruncated},
		"gzip, bad flags": {"\x1f\x8b\x08\x02\x00\x00\x00\x00\x00\xff\x01\x00", ErrCorrupt},
	} {
		if err := NewReader(strings.NewReader(test.file), nil).Next(new(Entry)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
