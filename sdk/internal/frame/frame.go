// Package frame cuts an object into frames and puts it together again, with a
// checksum per frame and one for all of them.
//
// None of its errors is io.EOF or io.ErrUnexpectedEOF: code that reads an object
// in parts takes those for the end of the last part.
package frame

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// Size is how much of an object one frame carries at most.
const Size = 1 << 20

// A Sum is the size and the checksum of the frames so far.
type Sum struct {
	Size   int64
	CRC32C uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Next returns the frame that carries data after the frames so far.
func (s *Sum) Next(data mem.BufferSlice) *wire.Frame {
	f := &wire.Frame{Offset: s.Size, CRC32C: checksum(data), Data: data}
	s.add(f)
	return f
}

// Accept checks a frame that arrived after the frames so far.
func (s *Sum) Accept(f *wire.Frame) error {
	if f.Offset != s.Size {
		return fmt.Errorf("frame at offset %d, want one at %d", f.Offset, s.Size)
	}
	if size := f.Data.Len(); size > Size {
		return fmt.Errorf("frame of %d bytes at offset %d: %d are allowed", size, s.Size, Size)
	}
	if checksum(f.Data) != f.CRC32C {
		return fmt.Errorf("frame at offset %d: checksum does not match: %w", s.Size, code.ErrUnavailable)
	}
	s.add(f)
	return nil
}

func checksum(data mem.BufferSlice) uint32 {
	var sum uint32
	for _, b := range data {
		sum = crc32.Update(sum, castagnoli, b.ReadOnlyData())
	}
	return sum
}

// add takes the checksum of f's data as known: no byte is looked at twice.
func (s *Sum) add(f *wire.Frame) {
	size := f.Data.Len()
	s.Size += int64(size)
	s.CRC32C = concat(s.CRC32C, f.CRC32C, size)
}

// Match compares the frames that arrived with what their sender said of them.
func (s *Sum) Match(size int64, crc32c uint32) error {
	if s.Size != size {
		return fmt.Errorf("%d bytes arrived of %d", s.Size, size)
	}
	if s.CRC32C != crc32c {
		return fmt.Errorf("checksum of all %d bytes does not match: %w", size, code.ErrUnavailable)
	}
	return nil
}

// Copy sends what r yields. It tells r's own failure from that of send. A frame
// is send's to use until it returns: a Send of gRPC holds on to the data itself.
func Copy(r io.Reader, send func(*wire.Frame) error) (sum Sum, readErr, sendErr error) {
	for {
		buf := wire.Pool.Get(Size)
		n, err := fill(r, *buf)
		*buf = (*buf)[:n]
		data := mem.BufferSlice{mem.NewBuffer(buf, wire.Pool)}
		end := err == io.EOF //nolint:errorlint // a wrapped EOF is a failure
		if n > 0 && (err == nil || end) {
			sendErr = send(sum.Next(data))
		}
		data.Free()
		switch {
		case err != nil && !end:
			return sum, err, nil
		case end || sendErr != nil:
			return sum, nil, sendErr
		}
	}
}

// fill is io.ReadFull, except that the reader's own errors stay what they are:
// with io.ReadFull a source that was cut off looks like one that has ended.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for idle := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:])
		if n += m; m > 0 {
			idle = 0
		} else if idle++; err == nil && idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// A Reader yields the bytes of the frames that Next returns, and frees them.
// Next returns io.EOF after the last one, once the Sum has been found to match.
type Reader struct {
	Next   func(*Sum) (*wire.Frame, error)
	Failed func(error) // told, if set, of the error that there will be no end after

	sum    Sum
	closed atomic.Bool

	mu   sync.Mutex
	data mem.BufferSlice // to be read
	done int             // bytes of the first of them that have been
	err  error
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	defer r.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return 0, fs.ErrClosed
	}
	for {
		if n := r.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if r.err == nil {
			r.data, r.err = r.next()
			if r.err != nil && r.err != io.EOF && r.Failed != nil { //nolint:errorlint // Next's own
				r.Failed(r.err)
			}
		}
		if r.err != nil {
			return 0, r.err
		}
	}
}

// take moves bytes to p, and frees each buffer behind its last byte.
func (r *Reader) take(p []byte) (n int) {
	for len(r.data) > 0 {
		m := copy(p[n:], r.data[0].ReadOnlyData()[r.done:])
		n += m
		if r.done += m; r.done < r.data[0].Len() {
			break
		}
		r.data[0].Free()
		r.data, r.done = r.data[1:], 0
	}
	return n
}

func (r *Reader) next() (mem.BufferSlice, error) {
	f, err := r.Next(&r.sum)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("stream cut off: %v", err) //nolint:errorlint // must not look like the end of a part
	}
	if err != nil {
		return nil, err
	}
	if err := r.sum.Accept(f); err != nil {
		f.Data.Free()
		return nil, err
	}
	return f.Data, nil
}

// Close makes later reads fail, also while one is under way.
func (r *Reader) Close() {
	r.closed.Store(true)
	r.release()
}

// release frees what nobody will read any more. A Read that is under way does so
// when it returns.
func (r *Reader) release() {
	if !r.closed.Load() || !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	r.data.Free()
	r.data = nil
}

// Complete reports whether the reader has seen the end of the object.
func (r *Reader) Complete() bool { return r.err == io.EOF } //nolint:errorlint // Next's promise

// Err returns why the reader failed, if it did.
func (r *Reader) Err() error {
	if r.Complete() {
		return nil
	}
	return r.err
}
