package backupfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// A FileInfo is what a seal knows of its file.
type FileInfo struct {
	Size   int64
	SHA256 [sha256.Size]byte
	IV     []byte // the 16 bytes in front of the blocks; nil if the file is not encrypted
	Blocks []BlockInfo
}

// A BlockInfo is one block of a file, its place and digest as it is stored.
type BlockInfo struct {
	Offset, Length int64
	Raw            int64  // bytes before compression
	First, Last    []byte // sort keys of the first and the last entry
	Entries        int
	Live           int // keys that begin here with an entry that is no delete and never expires
	SHA256         [sha256.Size]byte
}

// Entries returns how many entries the file holds.
func (f *FileInfo) Entries() int64 {
	var n int64
	for i := range f.Blocks {
		n += int64(f.Blocks[i].Entries)
	}
	return n
}

// A Writer puts blocks into a file, in the order they come.
type Writer struct {
	w      io.Writer
	cipher cipher.Block  // nil: plain
	stream cipher.Stream // nil: plain, or nothing was written
	codec  Codec
	digest hash.Hash
	info   FileInfo
	err    error // sticky
}

var errClosed = errors.New("file is closed")

// NewWriter writes blocks of one codec to w, encrypted if there is a data key.
// A key must have 16, 24 or 32 bytes.
func NewWriter(w io.Writer, c Codec, dataKey []byte) (*Writer, error) {
	return newWriter(w, c, dataKey, rand.Reader)
}

func newWriter(w io.Writer, c Codec, dataKey []byte, random io.Reader) (*Writer, error) {
	if err := checkKey(dataKey); err != nil {
		return nil, err
	}
	f := &Writer{w: w, codec: c, digest: sha256.New()}
	if len(dataKey) == 0 {
		return f, nil
	}
	f.info.IV = make([]byte, ivSize)
	if _, err := io.ReadFull(random, f.info.IV); err != nil {
		return nil, fmt.Errorf("initialisation vector: %w", err)
	}
	var err error
	f.cipher, err = aes.NewCipher(dataKey)
	return f, err
}

// Write appends a block. Its first key must not be below the last key of the
// block before. The block's data is encrypted in place: it is of no use
// afterwards, except to Release. A block without entries is left out.
func (f *Writer) Write(b *Block) error {
	switch {
	case f.err != nil:
		return f.err
	case b.Entries == 0:
		return nil
	}
	if n := len(f.info.Blocks); n > 0 && bytes.Compare(b.First, f.info.Blocks[n-1].Last) < 0 {
		f.err = fmt.Errorf("block with key %x after %x: %w: a file is sorted", b.First, f.info.Blocks[n-1].Last, fs.ErrInvalid)
		return f.err
	}
	f.err = f.write(b.Data, BlockInfo{
		Raw: b.Raw, Entries: b.Entries, Live: b.Live,
		First: bytes.Clone(b.First), Last: bytes.Clone(b.Last),
	})
	return f.err
}

func (f *Writer) write(data []byte, info BlockInfo) error {
	if err := f.start(); err != nil {
		return err
	}
	if f.stream != nil {
		f.stream.XORKeyStream(data, data)
	}
	info.Offset, info.Length = f.info.Size, int64(len(data))
	info.SHA256 = sha256.Sum256(data)
	f.info.Blocks = append(f.info.Blocks, info)
	return f.put(data)
}

// start writes the IV of a file that is encrypted.
func (f *Writer) start() error {
	if f.cipher == nil || f.stream != nil {
		return nil
	}
	f.stream = cipher.NewCTR(f.cipher, f.info.IV)
	return f.put(f.info.IV)
}

func (f *Writer) put(b []byte) error {
	n, err := f.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	f.info.Size += int64(len(b))
	f.digest.Write(b)
	return err
}

// Close ends the file and says what it holds; it does not close the underlying
// writer. If nothing was written, the file is one block with an empty KVList
// frame, which every Dgraph reads as a group without keys: no bytes at all are
// what a failed copy leaves, and gzip readers refuse them.
func (f *Writer) Close() (FileInfo, error) {
	if f.err == nil && len(f.info.Blocks) == 0 {
		f.err = f.writeEmpty()
	}
	if f.err != nil {
		return FileInfo{}, f.err
	}
	f.digest.Sum(f.info.SHA256[:0])
	f.err = errClosed
	return f.info, nil
}

func (f *Writer) writeEmpty() error {
	b, err := NewBlockEncoder(f.codec).Flush()
	if err != nil {
		return err
	}
	return f.write(b.Data, BlockInfo{Raw: b.Raw})
}
