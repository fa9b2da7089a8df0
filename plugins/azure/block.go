package main

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what Azure compares
	"errors"
	"io"
	"sync"
)

// What Azure allows, and what is made of it.
const (
	maxBlocks    = 50_000
	maxBlockSize = 4000 << 20 // bytes

	minBlockSize     = 64 << 10 // bytes
	defaultBlockSize = 8 << 20  // bytes

	// maxObjectSize fits into 50,000 blocks whatever size was set for them.
	maxObjectSize = 32 << 40 // bytes
)

// blockSize returns how large the next block of an object is, in bytes: as large
// as was set, least, for the first 20,000, and then larger and larger. If it is
// known how large the object will be, hint, that many bytes come in equal blocks.
func blockSize(least, hint, written int64) int64 {
	if written < hint {
		if hint/40_000 < least {
			return least
		}
		return min(wholeMiB(hint/40_000+1), maxBlockSize)
	}
	if written >= 64<<20 {
		least = max(least, 1<<20)
	}
	if flat := 20_000 * least; written > flat {
		return min(wholeMiB(least+(written-flat)/2800), maxBlockSize)
	}
	return least
}

func wholeMiB(n int64) int64 { return (n + 1<<20 - 1) >> 20 << 20 }

// A block is a part of an object, in memory of this process that is not the
// garbage collector's.
type block struct {
	size int64 // bytes

	mu     sync.Mutex
	chunks [][]byte // all but the last are full; nil when the memory was given back
}

// fill reads a block of at most size bytes. The error is io.EOF, and nothing
// that wraps it, if r has ended; the block may be empty then, or full. Any other
// error is r's or the context's.
func fill(ctx context.Context, r io.Reader, size int64) (b *block, err error) {
	b = new(block)
	for b.size < size && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		if b.size == int64(len(b.chunks))*chunkSize {
			chunk, err := buffers.Take(ctx)
			if err != nil {
				b.free()
				return nil, err
			}
			b.chunks = append(b.chunks, chunk)
		}
		last, at := b.chunks[len(b.chunks)-1], b.size%chunkSize
		var n int
		n, err = r.Read(last[at:min(chunkSize, at+size-b.size)])
		b.size += int64(n)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped one is a failure
		b.free()
		return nil, err
	}
	return b, err
}

// free gives the block's memory back.
func (b *block) free() { buffers.Give(b.forget()...) }

// send tells that the block is on its way, until sent is called, which frees it.
func (b *block) send() { buffers.Send(len(b.chunks)) }

func (b *block) sent() { buffers.Sent(b.forget()) }

// forget takes the memory from the block's readers. Package net/http may go on
// reading the body of a request that has failed.
func (b *block) forget() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	chunks := b.chunks
	b.chunks = nil
	return chunks
}

// md5 is what Azure compares a block with when it has arrived.
func (b *block) md5() []byte {
	h := md5.New() //nolint:gosec // as above
	_, _ = io.Copy(h, b.reader())
	return h.Sum(nil)
}

// reader returns the block as the body of a request, which may be sent again.
func (b *block) reader() *blockReader { return &blockReader{b: b} }

type blockReader struct {
	b  *block
	at int64
}

func (r *blockReader) Read(p []byte) (int, error) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	switch {
	case r.at >= r.b.size:
		return 0, io.EOF
	case r.b.chunks == nil:
		return 0, errors.New("the block is no more in memory")
	}
	chunk := r.b.chunks[r.at/chunkSize]
	n := copy(p, chunk[r.at%chunkSize:min(chunkSize, r.b.size-r.at/chunkSize*chunkSize)])
	r.at += int64(n)
	return n, nil
}

func (r *blockReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.b.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at = offset
	return offset, nil
}

func (r *blockReader) Close() error { return nil }
