package backupfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// NewSealedReader reads a file that is known by its seal, from its first byte
// on. A block whose digest differs is not decoded, a file that is longer or
// shorter than sealed is an error, and io.EOF means that every byte and every
// entry of it was seen. The seal's own authenticity is ParseSeal's matter, and
// that it is the seal of this file's backup is Expect's.
func NewSealedReader(r io.Reader, dataKey []byte, s *Seal) *Reader {
	return &Reader{frames: &sealed{stored: stored{r: r}, blocks: NewBlockDecoder(dataKey, s)}}
}

// A sealed is the blocks of a file in order.
type sealed struct {
	stored stored
	blocks *BlockDecoder
	buf    []byte
	block  int // the next one
}

func (s *sealed) next() (list, error) {
	file := &s.blocks.seal.File
	if s.block == 0 {
		if err := s.readIV(file.IV); err != nil {
			return nil, err
		}
	}
	if s.block == len(file.Blocks) {
		return nil, s.end()
	}
	b := &file.Blocks[s.block]
	if cap(s.buf) > keptBuffer && b.Length <= keptBuffer {
		s.buf = nil
	}
	var err error
	if s.buf, err = fill(&s.stored, s.buf[:0], int(b.Length)); err != nil {
		return nil, s.explain(err)
	}
	l, err := s.blocks.open(s.block, s.buf)
	s.block++
	return l, err
}

func (s *sealed) readIV(want []byte) error {
	var iv [ivSize]byte
	if _, err := io.ReadFull(&s.stored, iv[:len(want)]); err != nil {
		return s.explain(err)
	}
	if !bytes.Equal(iv[:len(want)], want) {
		return fmt.Errorf("initialisation vector: %w: it is not the one that was sealed", ErrCorrupt)
	}
	return nil
}

// end returns io.EOF if the file has nothing behind its last block.
func (s *sealed) end() error {
	var one [1]byte
	n, err := io.ReadFull(&s.stored, one[:])
	switch {
	case n > 0:
		return fmt.Errorf("%w: longer than the %d bytes that were sealed", ErrCorrupt, s.blocks.seal.File.Size)
	case s.stored.err != nil:
		return s.stored.err
	}
	return err
}

func (s *sealed) explain(err error) error {
	if s.stored.err != nil {
		return s.stored.err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("block %d: %w: %d bytes of the %d that were sealed", s.block, ErrTruncated, s.stored.n, s.blocks.seal.File.Size)
	}
	return err
}

// A BlockDecoder opens the blocks of a sealed file one by one, in any order: to
// read a part of a file, or several parts at once with a decoder for each.
type BlockDecoder struct {
	seal    *Seal
	cipher  cipher.Block // nil: plain
	src     bytes.Reader
	decoder decompressor
	raw     []byte
	list    list
	err     error // of the key; sticky
}

// NewBlockDecoder decodes blocks of the file that s seals. A key that does not
// fit the file is an error of the first Open.
func NewBlockDecoder(dataKey []byte, s *Seal) *BlockDecoder {
	d := &BlockDecoder{seal: s}
	switch err := checkKey(dataKey); {
	case err != nil:
		d.err = err
	case len(s.File.IV) > 0 && len(dataKey) == 0:
		d.err = fmt.Errorf("%w: none was given, and the file is encrypted", ErrWrongKey)
	case len(s.File.IV) == 0 && len(dataKey) > 0:
		d.err = fmt.Errorf("%w: the file is not encrypted, but a key was given", ErrWrongKey)
	case len(dataKey) > 0:
		d.cipher, d.err = aes.NewCipher(dataKey)
	}
	return d
}

// Open checks and decodes block i of the seal. Stored is the block as it lies
// in the file (BlockInfo.Offset and Length); it is decrypted in place.
func (d *BlockDecoder) Open(i int, stored []byte) error {
	var err error
	d.list, err = d.open(i, stored)
	return err
}

// Next reads the next entry of the block that was opened last, valid until the
// following Open. io.EOF: there are no more.
func (d *BlockDecoder) Next(e *Entry) error { return d.list.next(e) }

func (d *BlockDecoder) open(i int, stored []byte) (list, error) {
	if d.err != nil {
		return nil, d.err
	}
	b := &d.seal.File.Blocks[i]
	l, err := d.decode(b, stored)
	if err != nil {
		return nil, fmt.Errorf("block %d at %d: %w", i, b.Offset, err)
	}
	return l, nil
}

func (d *BlockDecoder) decode(b *BlockInfo, stored []byte) (list, error) {
	if int64(len(stored)) != b.Length {
		return nil, fmt.Errorf("%w: %d bytes, %d were sealed", ErrTruncated, len(stored), b.Length)
	}
	if sha256.Sum256(stored) != b.SHA256 {
		return nil, fmt.Errorf("%w: its digest differs", ErrCorrupt)
	}
	if d.cipher != nil {
		iv := d.seal.File.IV
		keyStream(d.cipher, iv, b.Offset-int64(len(iv))).XORKeyStream(stored, stored)
	}
	codec, err := sniff(stored)
	if err != nil {
		// The digest holds, so these bytes were written: under another key.
		return nil, fmt.Errorf("%w: what it decrypts to is no block", ErrWrongKey)
	}
	if err := d.inflate(codec, b, stored); err != nil {
		return nil, err
	}
	return d.frame(b)
}

// inflate decompresses a block to exactly the raw bytes that were sealed.
func (d *BlockDecoder) inflate(c Codec, b *BlockInfo, stored []byte) error {
	d.src.Reset(stored)
	r, err := d.decoder.open(c, &d.src)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrCorrupt, err.Error())
	}
	if cap(d.raw) > keptBuffer && b.Raw <= keptBuffer {
		d.raw = nil
	}
	if d.raw, err = fill(r, d.raw[:0], int(b.Raw)); err != nil {
		return fmt.Errorf("%w: %s, after %d raw bytes of %d", ErrCorrupt, err.Error(), len(d.raw), b.Raw)
	}
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); err != io.EOF {
		return fmt.Errorf("%w: more than the %d raw bytes that were sealed", ErrCorrupt, b.Raw)
	}
	return nil
}

// frame returns the block's one frame, having counted its entries.
func (d *BlockDecoder) frame(b *BlockInfo) (list, error) {
	l := list(d.raw[frameHeader:])
	if n := binary.LittleEndian.Uint64(d.raw); n != uint64(len(l)) {
		return nil, fmt.Errorf("%w: a frame of %d bytes in a block of %d", ErrCorrupt, n, len(l))
	}
	return l, l.expect(b.Entries)
}
