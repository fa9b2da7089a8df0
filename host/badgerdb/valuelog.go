package badgerdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v3"
)

// pointerSize is that of a pointer into the value log: file, length and offset.
const pointerSize = 12

// A valueLog reads values that are too long for tables. It may be used concurrently.
type valueLog struct {
	dir  string
	keys *badger.KeyRegistry

	mu    sync.Mutex
	files map[uint32]*valueFile
}

type valueFile struct {
	f    *os.File
	size int64
	key  logKey
}

func newValueLog(dir string, keys *badger.KeyRegistry) *valueLog {
	return &valueLog{dir: dir, keys: keys, files: map[uint32]*valueFile{}}
}

func (l *valueLog) close() {
	for _, f := range l.files {
		f.f.Close()
	}
}

func (l *valueLog) file(id uint32) (*valueFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.files[id]; f != nil {
		return f, nil
	}
	name := fmt.Sprintf("%06d.vlog", id)
	f, err := os.Open(filepath.Join(l.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, damaged("value log %s is missing", name)
	}
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	header := make([]byte, logHeader)
	if _, err := f.ReadAt(header, 0); err != nil {
		f.Close()
		return nil, damaged("value log %s has no header", name)
	}
	key, err := newLogKey(header, l.keys)
	if err != nil {
		f.Close()
		return nil, damaged("value log %s: %v", name, err)
	}
	l.files[id] = &valueFile{f, size, key}
	return l.files[id], nil
}

// read returns the value that it points to, in buf, which it may replace. What
// lies there must be the same version of the same key, with a good checksum.
func (l *valueLog) read(it *item, buf *[]byte) ([]byte, error) {
	if len(it.value) != pointerSize {
		return nil, damaged("bad value pointer %x", it.value)
	}
	id := binary.LittleEndian.Uint32(it.value)
	size := int(binary.LittleEndian.Uint32(it.value[4:]))
	offset := binary.LittleEndian.Uint32(it.value[8:])
	f, err := l.file(id)
	if err != nil {
		return nil, err
	}
	bad := func(why string) error { return damaged("value log %06d.vlog offset %d: %s", id, offset, why) }
	if int64(offset)+int64(size) > f.size {
		return nil, bad("the file ends before it")
	}
	*buf = grow(*buf, size)
	b := *buf
	if _, err := f.f.ReadAt(b, int64(offset)); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, bad("the file ends in it")
		}
		return nil, err
	}
	e, ok := parseLogHeader(b)
	if !ok || e.size() != size {
		return nil, bad("not an entry")
	}
	body := b[:size-crc32.Size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, bad("checksum mismatch")
	}
	kv := body[e.header:]
	if err := f.key.open(kv, offset); err != nil {
		return nil, err
	}
	var at item
	if !at.setKey(kv[:e.keyLen]) || at.version != it.version || !bytes.Equal(at.key, it.key) {
		return nil, bad("the entry of another key")
	}
	return kv[e.keyLen:], nil
}
