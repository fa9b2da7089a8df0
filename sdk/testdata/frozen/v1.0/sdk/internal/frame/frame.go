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
	"sync/atomic"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
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
func (s *Sum) Next(data []byte) *pluginpb.Frame {
	f := &pluginpb.Frame{Offset: s.Size, Crc32C: crc32.Checksum(data, castagnoli), Data: data}
	s.add(data)
	return f
}

// Accept checks a frame that arrived after the frames so far.
func (s *Sum) Accept(f *pluginpb.Frame) error {
	if f.GetOffset() != s.Size {
		return fmt.Errorf("frame at offset %d, want one at %d", f.GetOffset(), s.Size)
	}
	if len(f.GetData()) > Size {
		return fmt.Errorf("frame of %d bytes at offset %d: %d are allowed", len(f.GetData()), s.Size, Size)
	}
	if crc32.Checksum(f.GetData(), castagnoli) != f.GetCrc32C() {
		return fmt.Errorf("frame at offset %d: checksum does not match: %w", s.Size, code.ErrUnavailable)
	}
	s.add(f.GetData())
	return nil
}

func (s *Sum) add(data []byte) {
	s.Size += int64(len(data))
	s.CRC32C = crc32.Update(s.CRC32C, castagnoli, data)
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

// Copy sends what r yields. It tells r's own failure from that of send.
func Copy(r io.Reader, send func(*pluginpb.Frame) error) (sum Sum, readErr, sendErr error) {
	buf := make([]byte, Size)
	for {
		n, err := fill(r, buf)
		end := err == io.EOF //nolint:errorlint // a wrapped EOF is a failure
		if err != nil && !end {
			return sum, err, nil
		}
		if n > 0 {
			sendErr = send(sum.Next(buf[:n]))
		}
		if end || sendErr != nil {
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

// A Reader yields the bytes of the frames that Next returns. Next returns
// io.EOF after the last one, once the Sum has been found to match.
type Reader struct {
	Next   func(*Sum) (*pluginpb.Frame, error)
	Failed func(error) // told, if set, of the error that there will be no end after

	sum    Sum
	buf    []byte
	err    error
	closed atomic.Bool
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.closed.Load() {
		return 0, fs.ErrClosed
	}
	for len(r.buf) == 0 {
		if r.err == nil {
			r.buf, r.err = r.next()
			if r.err != nil && r.err != io.EOF && r.Failed != nil { //nolint:errorlint // Next's own
				r.Failed(r.err)
			}
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *Reader) next() ([]byte, error) {
	f, err := r.Next(&r.sum)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("stream cut off: %v", err) //nolint:errorlint // must not look like the end of a part
	}
	if err != nil {
		return nil, err
	}
	if err := r.sum.Accept(f); err != nil {
		return nil, err
	}
	return f.GetData(), nil
}

// Close makes later reads fail, also while one is under way.
func (r *Reader) Close() { r.closed.Store(true) }

// Complete reports whether the reader has seen the end of the object.
func (r *Reader) Complete() bool { return r.err == io.EOF } //nolint:errorlint // Next's promise

// Err returns why the reader failed, if it did.
func (r *Reader) Err() error {
	if r.Complete() {
		return nil
	}
	return r.err
}
