package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// An object of 32 TiB fits into 50,000 blocks, whatever size was set for them, and
// so does one that is ten times as large as was expected. No block is larger than
// Azure takes.
func TestBlockSize(t *testing.T) {
	const kib, mib, gib, tib = 1 << 10, 1 << 20, 1 << 30, 1 << 40
	for _, c := range []struct{ least, hint, first int64 }{
		{minBlockSize, 0, minBlockSize},
		{minBlockSize, gib, minBlockSize},
		{minBlockSize, 40 * gib, 2 * mib},
		{100*kib + 1, 0, 100*kib + 1},
		{mib, 0, mib},
		{defaultBlockSize, 0, defaultBlockSize},
		{defaultBlockSize, 1, defaultBlockSize},
		{defaultBlockSize, 300 * gib, defaultBlockSize},
		{defaultBlockSize, tib, 27 * mib},
		{defaultBlockSize, maxObjectSize, 839 * mib},
		{defaultBlockSize, 1 << 62, maxBlockSize},
		{maxBlockSize, 0, maxBlockSize},
	} {
		var sum, last int64
		for range maxBlocks {
			size := blockSize(c.least, c.hint, sum)
			switch {
			case last == 0 && size != c.first:
				t.Errorf("block size %d, hint %d: the first block has %d bytes, want %d", c.least, c.hint, size, c.first)
			case size < c.least || size > maxBlockSize:
				t.Fatalf("block size %d, hint %d: the block at %d has %d bytes", c.least, c.hint, sum, size)
			case last > 0 && sum < c.hint && size != last:
				t.Fatalf("block size %d, hint %d: the block at %d has %d bytes, want %d as before", c.least, c.hint, sum, size, last)
			}
			sum, last = sum+size, size
		}
		want := int64(maxObjectSize)
		if c.hint > 0 {
			want = min(want, c.hint/10*100)
		}
		if sum < want {
			t.Errorf("block size %d, hint %d: 50,000 blocks hold %d bytes, want %d", c.least, c.hint, sum, want)
		}
	}
	for written, most := range map[int64]int64{0: 8 * mib, 150 * gib: 8 * mib, 200 * gib: 24 * mib, tib: 400 * mib} {
		if got := blockSize(defaultBlockSize, 0, written); got < defaultBlockSize || got > most {
			t.Errorf("the block at %d bytes has %d bytes, want at most %d", written, got, most)
		}
	}
}

// A block is what was read, as often as it is wanted, and nobody reads its memory
// when that was given back.
func TestBlock(t *testing.T) {
	data := pattern(3*chunkSize + 5)
	b, err := fill(t.Context(), bytes.NewReader(data), int64(len(data))+10)
	if !errors.Is(err, io.EOF) || b.size != int64(len(data)) {
		t.Fatalf("fill read %d bytes, %v; want %d and io.EOF", b.size, err, len(data))
	}
	late := b.reader()
	for range 2 {
		r := b.reader()
		if got, err := io.ReadAll(r); !bytes.Equal(got, data) || err != nil {
			t.Errorf("the block has %d bytes, %v; want %d", len(got), err, len(data))
		}
		if _, err := r.Seek(chunkSize-1, io.SeekStart); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(r); !bytes.Equal(got, data[chunkSize-1:]) || err != nil {
			t.Errorf("the block has %d bytes behind an offset, %v", len(got), err)
		}
	}
	if n, err := late.Seek(0, io.SeekEnd); n != int64(len(data)) || err != nil {
		t.Errorf("the block ends at %d, %v", n, err)
	}
	if _, err := late.Seek(10, io.SeekStart); err != nil {
		t.Error(err)
	}
	b.free()
	if n, err := late.Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("of a block that was freed, %d bytes were read, %v", n, err)
	}
}
