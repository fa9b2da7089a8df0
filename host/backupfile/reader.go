package backupfile

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxExpansion is how many bytes one stored byte may expand to, over the file
// so far and beyond the first 256 MiB: a file that claims more is refused as a
// decompression bomb. Gzip and Snappy cannot reach it; S2 and zstd can, with
// gigabytes of one repeated byte. A sealed file is bounded by what its seal
// says of each block instead.
const (
	MaxExpansion   = 4096
	expansionFloor = 256 << 20

	// keptFrame is the largest buffer that is kept for the next frame. Dgraph's
	// frames change between 1 and 25 MiB within one file.
	keptFrame = 64 << 20
)

// A Reader yields the entries of one backup file, in the order they are stored.
type Reader struct {
	frames frameReader
	list   list
	err    error // sticky
}

// A frameReader yields KVLists, valid until the next call. io.EOF: the file
// ended where it may.
type frameReader interface {
	next() (list, error)
}

// NewReader reads any backup file, whoever wrote it and whether it is sealed or
// not. A nil data key reads a file that is not encrypted.
func NewReader(r io.Reader, dataKey []byte) *Reader {
	return &Reader{frames: &stream{stored: stored{r: r}, key: dataKey}}
}

// Next reads the next entry; what it points to is valid until the following
// Next. After the last entry it returns io.EOF, and only then: a file that ends
// elsewhere is ErrTruncated, one that does not decode ErrCorrupt, one that does
// not fit the key ErrWrongKey. An error of the underlying reader is returned as
// it is. Every error stays. Without a seal, entries are proved by io.EOF, not
// before: gzip and zstd have their checksums behind the bytes.
func (r *Reader) Next(e *Entry) error {
	for r.err == nil {
		err := r.list.next(e)
		if err == nil {
			return nil
		}
		if !errors.Is(err, io.EOF) {
			r.err = err
			break
		}
		r.list, r.err = r.frames.next()
	}
	return r.err
}

// A stream is the frames of a file that is read from its first byte on, with
// nothing known about it but the key.
type stream struct {
	stored  stored
	key     []byte
	src     source
	decoder decompressor
	plain   io.Reader // nil: not begun
	out     int64     // decompressed bytes taken from it
	frame   []byte
	frames  int
}

func (s *stream) next() (list, error) {
	if s.plain == nil {
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	s.frames++
	l, err := s.readFrame()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("frame %d: %w", s.frames, err)
	}
	return l, err
}

// begin reads the IV and finds out how the rest is compressed.
func (s *stream) begin() error {
	if err := checkKey(s.key); err != nil {
		return err
	}
	var r io.Reader = &s.stored
	var iv [ivSize]byte
	if len(s.key) > 0 {
		block, err := aes.NewCipher(s.key)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r, iv[:]); err != nil {
			return s.explain(err)
		}
		r = cipher.StreamReader{S: cipher.NewCTR(block, iv[:]), R: r}
	}
	s.src.r = bufio.NewReaderSize(r, 64<<10)
	start, err := s.src.r.Peek(longestMagic)
	if err != nil && !errors.Is(err, io.EOF) {
		return s.explain(err)
	}
	codec, err := sniff(start)
	switch {
	case errors.Is(err, errNoMagic) && len(s.key) > 0:
		if _, plain := sniff(iv[:]); plain == nil {
			return fmt.Errorf("%w: the file is not encrypted, but a key was given", ErrWrongKey)
		}
		return fmt.Errorf("%w: what it decrypts to is no backup", ErrWrongKey)
	case errors.Is(err, errNoMagic):
		return fmt.Errorf("%w: none was given, and the file looks encrypted (or is no backup)", ErrWrongKey)
	case err != nil:
		return fmt.Errorf("%w: %d bytes are too few for a backup", err, s.stored.n)
	}
	r = &s.src
	if codec == CodecGzip {
		r = s.src.r // its decoder is several times faster when it sees the bufio.Reader
	}
	if s.plain, err = s.decoder.open(codec, r); err != nil {
		return s.explain(err)
	}
	return nil
}

func (s *stream) readFrame() (list, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(limited{s}, header[:]); err != nil {
		if err == io.EOF {
			return nil, io.EOF
		}
		return nil, s.explain(err)
	}
	n := binary.LittleEndian.Uint64(header[:])
	if n > MaxFrame {
		return nil, fmt.Errorf("%w: a length of %d bytes, above the limit of %d", ErrCorrupt, n, MaxFrame)
	}
	if cap(s.frame) > keptFrame && n <= keptFrame {
		s.frame = nil
	}
	var err error
	if s.frame, err = fill(limited{s}, s.frame[:0], int(n)); err != nil {
		return nil, s.explain(err)
	}
	return s.frame, nil
}

// explain says what an error of a decoder means. io.EOF here is an end where
// none may be.
func (s *stream) explain(err error) error {
	switch {
	case s.stored.err != nil:
		return s.stored.err
	case errors.Is(err, ErrCorrupt):
		return err
	case s.src.eof, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w after %d stored bytes", ErrTruncated, s.stored.n)
	}
	return fmt.Errorf("%w: %s, in the first %d stored bytes", ErrCorrupt, err.Error(), s.stored.n)
}

// limited is the stream's decompressed bytes, under the bound of MaxExpansion.
type limited struct{ s *stream }

func (l limited) Read(p []byte) (int, error) {
	if l.s.out > expansionFloor+MaxExpansion*l.s.stored.n {
		return 0, fmt.Errorf("%w: %d stored bytes expand to more than %d", ErrCorrupt, l.s.stored.n, l.s.out)
	}
	n, err := l.s.plain.Read(p)
	l.s.out += int64(n)
	return n, err
}

// stored is the file as it lies at the destination. It counts, and keeps errors
// that are not about the bytes, because decoders take them for damage.
type stored struct {
	r   io.Reader
	n   int64
	err error
}

func (s *stored) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = storageError{err}
		err = s.err
	}
	return n, err
}

// A storageError is an error of the underlying reader. It is never taken for
// io.EOF, even if it wraps that, as broken connections do: callers end there.
type storageError struct{ error }

func (e storageError) Is(target error) bool { return target != io.EOF && errors.Is(e.error, target) }
func (e storageError) As(target any) bool   { return errors.As(e.error, target) }

// source feeds a decoder that asks for no more than it needs, and remembers
// whether it asked for more than there was: S2 calls that corrupt.
type source struct {
	r   *bufio.Reader
	eof bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF {
		s.eof = true
	}
	return n, err
}

// fill appends n bytes of r to buf. It allocates as bytes arrive: never more
// than twice of these, plus BlockSize.
func fill(r io.Reader, buf []byte, n int) ([]byte, error) {
	end := len(buf) + n
	for len(buf) < end {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, min(end-len(buf), max(len(buf), BlockSize)))
		}
		k, err := io.ReadFull(r, buf[len(buf):min(end, cap(buf))])
		buf = buf[:len(buf)+k]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}
