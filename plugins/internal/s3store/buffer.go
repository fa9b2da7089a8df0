package s3store

import (
	"context"
	"errors"
	"io"
	"sync"
)

// A part is a piece of an object in memory.
type part struct {
	number int
	size   int64 // bytes
	chunks [][]byte
}

// filled returns the bytes, in order.
func (p *part) filled() [][]byte {
	filled := make([][]byte, 0, len(p.chunks))
	for rest, i := p.size, 0; rest > 0; i++ {
		n := min(rest, chunkSize)
		filled = append(filled, p.chunks[i][:n])
		rest -= n
	}
	return filled
}

// free gives the memory back.
func (p *part) free() {
	buffers.Give(p.chunks...)
	p.chunks, p.size = nil, 0
}

// A source is what an object is read from. It looks one byte ahead, so that a
// part is known to be the last one.
type source struct {
	r     io.Reader
	next  [1]byte
	ahead bool  // next is the byte to come
	err   error // what ended it; io.EOF if nothing went wrong
}

// A sourceError is the source's own failure, which is returned as it is.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

func (s *source) read(b []byte) (n int, err error) {
	if s.ahead {
		s.ahead = false
		b[0] = s.next[0]
		return 1, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.r.Read(b)
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// more reports whether there is another byte.
func (s *source) more(ctx context.Context) (bool, error) {
	for !s.ahead {
		n, err := s.read(s.next[:])
		s.ahead = n > 0
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one is a failure
			return false, nil
		case err != nil:
			return false, sourceError{err}
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
	}
	return true, nil
}

// fill reads up to limit bytes, and reports whether there are more. It looks at
// ctx at least once per MiB.
func (p *part) fill(ctx context.Context, s *source, limit int64) (more bool, err error) {
	for p.size < limit {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		at := int(p.size % chunkSize)
		if at == 0 {
			if more, err := s.more(ctx); !more || err != nil {
				return false, err
			}
			c, err := buffers.Take(ctx)
			if err != nil {
				return false, err
			}
			p.chunks = append(p.chunks, c)
		}
		c := p.chunks[len(p.chunks)-1]
		n, err := s.read(c[at:min(chunkSize, int64(at)+limit-p.size)])
		p.size += int64(n)
		if err == io.EOF { //nolint:errorlint // a wrapped one is a failure
			return false, nil
		}
		if err != nil {
			return false, sourceError{err}
		}
	}
	return s.more(ctx)
}

// A body sends a part. It cannot be sought in, so that minio-go does not send it
// twice: it would begin anew while package net/http may still read.
type body struct {
	mu     sync.Mutex
	filled [][]byte
	moved  func()
	closed bool
}

var errBodyClosed = errors.New("the request has ended")

func (b *body) Read(buf []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errBodyClosed
	}
	b.moved()
	for n < len(buf) && len(b.filled) > 0 {
		k := copy(buf[n:], b.filled[0])
		n += k
		if b.filled[0] = b.filled[0][k:]; len(b.filled[0]) == 0 {
			b.filled = b.filled[1:]
		}
	}
	if n == 0 && len(buf) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// end makes sure that nobody reads the part any more: package net/http may go on
// after it has returned.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.filled = true, nil
}
