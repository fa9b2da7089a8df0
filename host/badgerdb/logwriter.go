package badgerdb

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	badgerpb "github.com/dgraph-io/badger/v3/pb"
)

// logFileSize is how large a file of the value log grows before the next one begins.
const logFileSize = 256 << 20

// A logWriter writes the value log.
type logWriter struct {
	dir string
	key *badgerpb.DataKey

	f    *os.File
	open logKey
	id   uint32
	at   int64
	buf  []byte
}

// write adds an entry and returns the pointer to it.
func (l *logWriter) write(stored, value []byte, userMeta, meta byte, expiresAt uint64) ([]byte, error) {
	if l.f == nil || l.at >= logFileSize {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	b := append(l.buf[:0], meta, userMeta)
	b = binary.AppendUvarint(b, uint64(len(stored)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = binary.AppendUvarint(b, expiresAt)
	header := len(b)
	b = append(append(b, stored...), value...)
	if err := l.open.open(b[header:], uint32(l.at)); err != nil { // the same in both directions
		return nil, err
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if l.buf = b; cap(b) > 16<<20 {
		l.buf = nil
	}
	if int64(len(b)) > 1<<32-1-l.at {
		return nil, fmt.Errorf("value of %d bytes: Badger takes less than 4 GiB", len(value))
	}
	if _, err := l.f.Write(b); err != nil {
		return nil, err
	}
	p := binary.LittleEndian.AppendUint32(nil, l.id)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(b)))
	p = binary.LittleEndian.AppendUint32(p, uint32(l.at))
	l.at += int64(len(b))
	return p, nil
}

// next begins the next file.
func (l *logWriter) next() error {
	if err := l.close(); err != nil {
		return err
	}
	l.id++
	f, err := os.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%06d.vlog", l.id)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	l.f = f
	header := make([]byte, logHeader)
	if _, err := rand.Read(header[8:]); err != nil {
		return err
	}
	l.open = logKey{}
	if l.key != nil {
		binary.BigEndian.PutUint64(header, l.key.KeyId)
		l.open.key = l.key.Data
		copy(l.open.iv[:12], header[8:])
	}
	l.at = logHeader
	_, err = f.Write(header)
	return err
}

// close makes the current file durable.
func (l *logWriter) close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return errors.Join(f.Sync(), f.Close())
}
