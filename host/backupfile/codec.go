package backupfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// A Codec is how blocks are compressed. Reading never asks: it goes by the
// first bytes, since Dgraph 25 writes S2 and calls it snappy.
type Codec uint8

// What is written by whom, and who reads it.
const (
	CodecSnappy Codec = iota // Snappy framing, chunks of at most 64 KiB: every Dgraph from 21.03
	CodecGzip                // every Dgraph; the only one that 20.x knows
	CodecS2                  // Dgraph 25 and later
	CodecZstd                // no Dgraph
)

var codecNames = []string{"snappy", "gzip", "s2", "zstd"}

func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec is the opposite of String; other names are fs.ErrInvalid.
func ParseCodec(s string) (Codec, error) {
	i := slices.Index(codecNames, s)
	if i < 0 {
		return 0, fmt.Errorf("compression %q: %w: known are %q", s, fs.ErrInvalid, codecNames)
	}
	return Codec(i), nil
}

// magics are the first bytes of a compressed run, by codec.
var magics = [][]byte{
	CodecSnappy: []byte("\xff\x06\x00\x00sNaPpY"),
	CodecGzip:   []byte("\x1f\x8b\x08"),
	CodecS2:     []byte("\xff\x06\x00\x00S2sTwO"),
	CodecZstd:   []byte("\x28\xb5\x2f\xfd"),
}

const longestMagic = 10

var errNoMagic = errors.New("no known compression")

// sniff tells the codec of a run by its first bytes, of which up to
// longestMagic are wanted: fewer mean that there are no more. ErrTruncated: too
// few to tell. errNoMagic: none of those known.
func sniff(start []byte) (Codec, error) {
	short := false
	for c, m := range magics {
		if bytes.HasPrefix(start, m) {
			return Codec(c), nil
		}
		short = short || bytes.HasPrefix(m, start)
	}
	if short {
		return 0, ErrTruncated
	}
	return 0, errNoMagic
}

// A compressor turns one block into one independent run, again and again.
type compressor interface {
	compress(dst, raw []byte) ([]byte, error)
}

func newCompressor(c Codec) (compressor, error) {
	switch c {
	case CodecSnappy:
		return framing{magics[c], 64 << 10, s2.EncodeSnappy}, nil
	case CodecS2:
		return framing{magics[c], BlockSize, s2.Encode}, nil
	case CodecGzip:
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return &gzipCompressor{w: w}, err
	case CodecZstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		return &zstdCompressor{w: w}, err
	}
	return nil, fmt.Errorf("%v: %w", c, fs.ErrInvalid)
}

// A framing is the Snappy framing format, or that of S2, which differs in its
// magic and allows larger chunks. It writes what s2.Writer would, without the
// buffers and allocations of that.
//
// After the magic come chunks: a type (0 compressed, 1 not), the length of what
// follows (3 bytes, little endian), a CRC-32C of the raw bytes, the data.
type framing struct {
	magic  []byte
	chunk  int // raw bytes in one
	encode func(dst, src []byte) []byte
}

const chunkHeader = 8

func (f framing) compress(dst, raw []byte) ([]byte, error) {
	dst = append(dst, f.magic...)
	for len(raw) > 0 {
		src := raw[:min(len(raw), f.chunk)]
		raw = raw[len(src):]
		dst = slices.Grow(dst, chunkHeader+s2.MaxEncodedLen(len(src)))
		header, room := dst[len(dst):len(dst)+chunkHeader], dst[len(dst)+chunkHeader:cap(dst)]
		kind, data := byte(0), f.encode(room, src)
		if len(data) >= len(src) {
			kind, data = 1, room[:copy(room, src)]
		}
		binary.LittleEndian.PutUint32(header, uint32(len(data)+4)<<8|uint32(kind))
		binary.LittleEndian.PutUint32(header[4:], maskedCRC(src))
		dst = dst[:len(dst)+chunkHeader+len(data)]
	}
	return dst, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return bits.RotateLeft32(c, 17) + 0xa282ead8
}

// out collects what a compressor writes.
type out []byte

func (o *out) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

type gzipCompressor struct {
	w   *gzip.Writer
	out out
}

func (c *gzipCompressor) compress(dst, raw []byte) ([]byte, error) {
	c.out = dst
	defer func() { c.out = nil }()
	c.w.Reset(&c.out)
	if _, err := c.w.Write(raw); err != nil {
		return nil, err
	}
	err := c.w.Close()
	return c.out, err
}

type zstdCompressor struct{ w *zstd.Encoder }

func (c *zstdCompressor) compress(dst, raw []byte) ([]byte, error) {
	return c.w.EncodeAll(raw, dst), nil
}

// maxWindow bounds the history that a zstd frame may ask for. The fastest
// level, which is the one written, asks for 4 MiB.
const maxWindow = 32 << 20

// A decompressor opens runs of any codec and keeps what it needs for the next.
type decompressor struct {
	s2   *s2.Reader
	gzip *gzip.Reader
	zstd *zstd.Decoder
}

// open returns the bytes that r decompresses to. For gzip r should be a
// *bufio.Reader or a *bytes.Reader: others are read byte by byte.
func (d *decompressor) open(c Codec, r io.Reader) (io.Reader, error) {
	switch c {
	case CodecGzip:
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		return d.gzip, d.gzip.Reset(r)
	case CodecZstd:
		if d.zstd == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
			d.zstd = z
		}
		return d.zstd, d.zstd.Reset(r)
	default:
		if d.s2 == nil {
			d.s2 = s2.NewReader(r, s2Options...)
		} else {
			d.s2.Reset(r)
		}
		return d.s2, nil
	}
}

var errSkippable = errors.New("a chunk to be skipped, which no backup has")

// s2Options begin with small buffers, and refuse skippable chunks other than
// padding: nobody writes them into a backup, and one flipped bit makes a chunk
// of data such a chunk, whose entries would be gone without a word.
var s2Options = func() []s2.ReaderOption {
	o := []s2.ReaderOption{s2.ReaderAllocBlock(64 << 10)}
	for id := 0x80; id <= 0xfd; id++ {
		o = append(o, s2.ReaderSkippableCB(uint8(id), func(io.Reader) error { return errSkippable }))
	}
	return o
}()
