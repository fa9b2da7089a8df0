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
func (s *Sum) Next(data mem.BufferSlice) *wire.Frame { return s.next(data, checksum(data)) }

func (s *Sum) next(data mem.BufferSlice, crc32c uint32) *wire.Frame {
	f := &wire.Frame{Offset: s.Size, CRC32C: crc32c, Data: data}
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
	if !f.Checked && checksum(f.Data) != f.CRC32C {
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
func Copy(r io.Reader, pool mem.BufferPool, send func(*wire.Frame) error) (sum Sum, readErr, sendErr error) {
	for {
		buf := pool.Get(Size)
		n, crc32c, err := fill(r, *buf)
		*buf = (*buf)[:n]
		data := mem.BufferSlice{mem.NewBuffer(buf, pool)}
		end := err == io.EOF //nolint:errorlint // a wrapped EOF is a failure
		if n > 0 && (err == nil || end) {
			sendErr = send(sum.next(data, crc32c))
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

// step is how much is read at once: it is still in the processor's cache when
// its checksum is computed.
const step = 64 << 10

// fill is io.ReadFull, except that the reader's own errors stay what they are:
// with io.ReadFull a source that was cut off looks like one that has ended.
func fill(r io.Reader, buf []byte) (n int, crc32c uint32, err error) {
	for idle := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:min(n+step, len(buf))])
		crc32c = crc32.Update(crc32c, castagnoli, buf[n:n+m])
		if n += m; m > 0 {
			idle = 0
		} else if idle++; err == nil && idle == 100 {
			return n, crc32c, io.ErrNoProgress
		}
	}
	return n, crc32c, err
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
	for {
		if r.closed.Load() {
			return 0, fs.ErrClosed
		}
		if n := r.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// WriteTo implements io.WriterTo: io.Copy need not copy.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	defer r.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for len(r.data) > 0 {
			n, err := w.Write(r.data[0].ReadOnlyData()[r.done:])
			written += int64(n)
			r.skip(n)
			if err != nil {
				return written, err
			}
		}
		if r.closed.Load() {
			return written, fs.ErrClosed
		}
		if err := r.more(); err == io.EOF { //nolint:errorlint // Next's promise
			return written, nil
		} else if err != nil {
			return written, err
		}
	}
}

// more has another frame's data come, once all of the last is taken.
func (r *Reader) more() error {
	if r.err == nil {
		r.data, r.err = r.next()
		if r.err != nil && r.err != io.EOF && r.Failed != nil { //nolint:errorlint // Next's own
			r.Failed(r.err)
		}
	}
	return r.err
}

// take moves bytes to p.
func (r *Reader) take(p []byte) (n int) {
	for n < len(p) && len(r.data) > 0 {
		m := copy(p[n:], r.data[0].ReadOnlyData()[r.done:])
		n += m
		r.skip(m)
	}
	return n
}

// skip goes on behind n bytes of the first buffer, and frees it behind its last.
func (r *Reader) skip(n int) {
	if r.done += n; r.done < r.data[0].Len() {
		return
	}
	r.data[0].Free()
	r.data, r.done = r.data[1:], 0
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
