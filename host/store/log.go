package store

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/durable"
	"github.com/brock-backup/brock/sdk"
)

// A log is a row of files N.log, each a row of records:
//
//	length of the payload   4 bytes, little endian
//	CRC32C of the payload   4 bytes
//	payload                 kind (1 byte), then what the kind has, see record
//
// Where the database is encrypted the payload is, too: a nonce of 24 bytes, then what
// XChaCha20-Poly1305 makes of it, with a key derived from that of the database.
//
// Only the last file grows. A record that is not whole ends the log: nobody was told that
// it was written.
type log struct {
	dir  string
	f    *os.File
	n    int   // of the file
	size int64 // of the file, up to where it is whole
	buf  []byte
	seal cipher.AEAD // nil: the database is not encrypted
}

// A recordKind says what a record of the log asks for.
type recordKind byte

const (
	recordCommit recordKind = 1 // entries are written
	recordDrop   recordKind = 2 // something is dropped, then entries are written
	recordTs     recordKind = 3 // a timestamp, or uids, were given out
	recordMove   recordKind = 4 // a predicate moves to another group
	recordMoved  recordKind = 5 // all of it is there: it goes from the old one
	recordRoll   recordKind = 6 // a list is written: its parts, and last what points to them
)

// A record is one step that the database has taken, or is about to.
type record struct {
	kind    recordKind
	ts      uint64
	uid     uint64 // all up to it may have been given out
	drop    dgraph.Drop
	isType  bool // the drop is that of a type
	from    uint32
	to      uint32
	entries []entry
}

// An entry is one item of a group's Badger.
type entry struct {
	group    uint32
	key      []byte
	value    []byte
	userMeta byte
	version  uint64
	deleted  bool
	discard  bool // what is older can go
}

const (
	logHeader = 8
	maxRecord = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openLog finds the files of the log in dir and reads every record.
func openLog(dir string, key sdk.Secret, replay func(*record) error) (*log, error) {
	l := &log{dir: dir}
	if !key.IsZero() {
		k, err := hkdf.Key(sha256.New, key.Reveal(), nil, "brock-log", chacha20poly1305.KeySize)
		if err != nil {
			return nil, err
		}
		if l.seal, err = chacha20poly1305.NewX(k); err != nil {
			return nil, err
		}
	}
	numbers, err := l.numbers()
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		size, err := l.read(l.path(n), replay)
		if err != nil {
			return nil, err
		}
		if err := l.cut(n, size, i == len(numbers)-1); err != nil {
			return nil, err
		}
		l.n = n
	}
	return l, l.next()
}

// cut removes what is behind the last whole record of a file. In any but the last one
// that is damage.
func (l *log) cut(n int, size int64, last bool) error {
	fi, err := os.Stat(l.path(n))
	if err != nil || fi.Size() == size {
		return err
	}
	if !last {
		return fmt.Errorf("%s: %w at byte %d: what follows would be lost; restore from a backup", l.path(n), ErrDamaged, size)
	}
	f, err := os.OpenFile(l.path(n), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

func (l *log) path(n int) string { return filepath.Join(l.dir, strconv.Itoa(n)+".log") }

func (l *log) numbers() ([]int, error) {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".log")
		if n, err := strconv.Atoi(name); ok && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// next begins a new file.
func (l *log) next() error {
	f, err := os.OpenFile(l.path(l.n+1), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := durable.SyncDir(l.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	was := l.f
	l.f, l.n, l.size = f, l.n+1, 0
	if was != nil {
		return was.Close()
	}
	return nil
}

// forget removes the files before the present one.
func (l *log) forget(before int) error {
	numbers, err := l.numbers()
	for _, n := range numbers {
		if n < before && err == nil {
			err = os.Remove(l.path(n))
		}
	}
	return errors.Join(err, durable.SyncDir(l.dir))
}

// append writes records and makes them durable. If it cannot, none of them is there,
// unless the error is errLogBroken.
func (l *log) append(records ...*record) error {
	l.buf = l.buf[:0]
	for _, r := range records {
		start := len(l.buf)
		l.buf = append(l.buf, make([]byte, logHeader)...)
		if l.seal == nil {
			l.buf = r.append(l.buf)
		} else {
			nonce := make([]byte, chacha20poly1305.NonceSizeX)
			_, _ = rand.Read(nonce) // it never fails
			l.buf = l.seal.Seal(append(l.buf, nonce...), nonce, r.append(nil), nil)
		}
		payload := l.buf[start+logHeader:]
		if len(payload) > maxRecord {
			return fmt.Errorf("%w: a transaction of %d MiB; at most %d MiB are possible", ErrInvalid, len(payload)>>20, maxRecord>>20)
		}
		binary.LittleEndian.PutUint32(l.buf[start:], uint32(len(payload)))
		binary.LittleEndian.PutUint32(l.buf[start+4:], crc32.Checksum(payload, castagnoli))
	}
	if _, err := l.f.WriteAt(l.buf, l.size); err != nil {
		if cut := l.f.Truncate(l.size); cut != nil {
			return fmt.Errorf("%w: %w", errLogBroken, errors.Join(err, cut))
		}
		return err
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errLogBroken, err)
	}
	l.size += int64(len(l.buf))
	if cap(l.buf) > 16<<20 {
		l.buf = nil
	}
	return nil
}

// errLogBroken means that what the log holds is not known: only a new start can tell.
var errLogBroken = errors.New("the log cannot be written; start again when there is room and the disk is well")

func (l *log) close() error { return l.f.Close() }

// opened is a payload in the clear.
func (l *log) opened(payload []byte) ([]byte, error) {
	if l.seal == nil {
		return payload, nil
	}
	if len(payload) < chacha20poly1305.NonceSizeX {
		return nil, badgerdb.ErrKey
	}
	nonce, sealed := payload[:chacha20poly1305.NonceSizeX], payload[chacha20poly1305.NonceSizeX:]
	plain, err := l.seal.Open(sealed[:0], nonce, sealed, nil)
	if err != nil {
		return nil, badgerdb.ErrKey
	}
	return plain, nil
}

// read replays one file and returns where the last whole record ends.
func (l *log) read(path string, replay func(*record) error) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	at := 0
	for len(b)-at >= logHeader {
		n := int(binary.LittleEndian.Uint32(b[at:]))
		if n > len(b)-at-logHeader {
			break
		}
		payload := b[at+logHeader : at+logHeader+n]
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[at+4:]) || n == 0 {
			break
		}
		payload, err := l.opened(payload)
		if err != nil {
			return 0, fmt.Errorf("%s, byte %d: %w", path, at, err)
		}
		var r record
		if err := r.parse(payload); err != nil {
			return 0, fmt.Errorf("%s, byte %d: %w", path, at, err)
		}
		if err := replay(&r); err != nil {
			return 0, fmt.Errorf("%s, byte %d: %w", path, at, err)
		}
		at += logHeader + n
	}
	return int64(at), nil
}

func (r *record) append(b []byte) []byte {
	b = append(b, byte(r.kind))
	for _, u := range []uint64{r.ts, r.uid, uint64(r.drop.Kind), r.drop.Namespace, uint64(r.from), uint64(r.to)} {
		b = binary.AppendUvarint(b, u)
	}
	b = append(b, flag(r.drop.WholeCluster), flag(r.isType))
	b = appendBytes(b, []byte(r.drop.Name))
	b = binary.AppendUvarint(b, uint64(len(r.entries)))
	for i := range r.entries {
		e := &r.entries[i]
		b = binary.AppendUvarint(b, uint64(e.group))
		b = binary.AppendUvarint(b, e.version)
		b = append(b, e.userMeta, flag(e.deleted), flag(e.discard))
		b = appendBytes(appendBytes(b, e.key), e.value)
	}
	return b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendBytes(b, v []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(v))), v...) }

// parse reads what append wrote. It aliases b.
func (r *record) parse(b []byte) error {
	p := parser{b: b}
	r.kind = recordKind(p.byte())
	r.ts, r.uid = p.uvarint(), p.uvarint()
	r.drop.Kind, r.drop.Namespace = dgraph.DropKind(p.uvarint()), p.uvarint()
	r.from, r.to = uint32(p.uvarint()), uint32(p.uvarint())
	r.drop.WholeCluster, r.isType = p.byte() != 0, p.byte() != 0
	r.drop.Name = string(p.bytes())
	n := p.uvarint()
	if n > uint64(len(b)) {
		return io.ErrUnexpectedEOF
	}
	r.entries = make([]entry, n)
	for i := range r.entries {
		e := &r.entries[i]
		e.group, e.version = uint32(p.uvarint()), p.uvarint()
		e.userMeta, e.deleted, e.discard = p.byte(), p.byte() != 0, p.byte() != 0
		e.key, e.value = p.bytes(), p.bytes()
	}
	if p.short || len(p.b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// A parser takes a payload apart.
type parser struct {
	b     []byte
	short bool
}

func (p *parser) uvarint() uint64 {
	u, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.b, p.short = nil, true
		return 0
	}
	p.b = p.b[n:]
	return u
}

func (p *parser) byte() byte {
	if len(p.b) == 0 {
		p.short = true
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

func (p *parser) bytes() []byte {
	n := p.uvarint()
	if n > uint64(len(p.b)) {
		p.b, p.short = nil, true
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}
