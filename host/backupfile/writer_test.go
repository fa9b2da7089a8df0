package backupfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"testing"
)

func TestFileInfo(t *testing.T) {
	each(t, keys, func(t *testing.T, c Codec, key []byte) {
		file, info := write(t, c, key, 25, 10)
		if info.Size != int64(len(file)) || info.SHA256 != sha256.Sum256(file) || len(info.Blocks) != 3 {
			t.Fatalf("%+v of a file of %d bytes", info, len(file))
		}
		if (len(key) > 0) != bytes.Equal(info.IV, file[:16]) {
			t.Errorf("iv %x", info.IV)
		}
		for i, b := range info.Blocks {
			stored := file[b.Offset : b.Offset+b.Length]
			first, last := entry(10*i).Key, entry(min(10*i+9, 24)).Key
			if b.SHA256 != sha256.Sum256(stored) || !bytes.Equal(b.First, first) || !bytes.Equal(b.Last, last) {
				t.Errorf("block %d: %+v", i, b)
			}
		}
		if err := info.check(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFileIsSorted(t *testing.T) {
	enc := NewBlockEncoder(CodecSnappy)
	add := func(keys ...string) (*Block, error) {
		for _, k := range keys {
			enc.Add([]byte(k), &Entry{Key: []byte(k)})
		}
		return enc.Flush()
	}
	if _, err := add("b", "b", "a", "c"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("unsorted block: %v", err)
	}
	w, err := NewWriter(io.Discard, CodecSnappy, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		keys []string
		ok   bool
	}{{[]string{"a", "c"}, true}, {nil, true}, {[]string{"c", "d"}, true}, {[]string{"b"}, false}, {[]string{"x"}, false}} {
		b, err := add(test.keys...)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(b); (err == nil) != test.ok || err != nil && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Write(%v) = %v", test.keys, err)
		}
	}
	if _, err := w.Close(); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Close after a failed Write: %v", err)
	}
}

func TestTooLargeForAFrame(t *testing.T) {
	enc := NewBlockEncoder(CodecSnappy)
	enc.Add([]byte("k"), entry(1))
	enc.frame = make([]byte, MaxFrame-1000) // as many entries would leave it; the test never touches it
	enc.Add([]byte("k"), &Entry{Key: []byte("k"), Value: make([]byte, 1000)})
	enc.Add([]byte("l"), entry(1))
	if _, err := enc.Flush(); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("more than 1 GiB: %v", err)
	}
	enc.Add([]byte("k"), entry(1))
	if b, err := enc.Flush(); err != nil || b.Entries != 1 {
		t.Errorf("the block after: %v", err)
	}
}

var errDisk = errors.New("disk is full")

// A breaker accepts n bytes.
type breaker struct{ n int }

func (b *breaker) Write(p []byte) (int, error) {
	if len(p) > b.n {
		n := b.n
		b.n = 0
		return n, errDisk
	}
	b.n -= len(p)
	return len(p), nil
}

func TestAWriteErrorStays(t *testing.T) {
	whole, _ := write(t, CodecSnappy, keys[1], 20, 10)
	enc := NewBlockEncoder(CodecSnappy)
	for n := range whole {
		w, err := NewWriter(&breaker{n}, CodecSnappy, keys[1])
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			enc.Add(entry(i).Key, entry(i))
			if i%10 == 9 {
				b, err := enc.Flush()
				if err != nil {
					t.Fatal(err)
				}
				_ = w.Write(b) // Close must say it
				b.Release()
			}
		}
		if _, err := w.Close(); !errors.Is(err, errDisk) {
			t.Fatalf("disk full after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	w, _ := NewWriter(io.Discard, CodecSnappy, nil)
	if _, err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("closed twice")
	}
}

// Workers encode, one writer emits, and blocks go round: the race detector
// sees what they share.
func TestManyEncodersAndOneWriter(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, CodecSnappy, keys[3])
	if err != nil {
		t.Fatal(err)
	}
	const workers, per = 8, 200
	var parts [workers]chan *Block
	for i := range parts {
		parts[i] = make(chan *Block, 2)
		go func() {
			defer close(parts[i])
			enc := NewBlockEncoder(CodecSnappy)
			for k := range per {
				e := entry(i*per + k)
				if enc.Add(e.Key, e); k%20 < 19 {
					continue
				}
				b, err := enc.Flush()
				if err != nil {
					t.Error(err)
					return
				}
				parts[i] <- b
			}
		}()
	}
	for _, blocks := range parts {
		for b := range blocks {
			if err := w.Write(b); err != nil {
				t.Error(err)
			}
			b.Release()
		}
	}
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := drain(NewSealedReader(&file, keys[3], &Seal{File: info})); n != workers*per || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
}
