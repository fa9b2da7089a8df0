package backupfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// ParseSeal reads a seal and checks that it is whole and, with a data key, that
// whoever wrote it had that key. Damage is ErrCorrupt or ErrTruncated. A whole
// seal under another key, or under one when none is given, is ErrWrongKey; one
// without a key when one is given is ErrCorrupt, as anybody can write such.
func ParseSeal(data, dataKey []byte) (*Seal, error) {
	if err := checkKey(dataKey); err != nil {
		return nil, err
	}
	body, err := openSeal(data, dataKey)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	p := parser{b: body}
	s := p.seal(data[len(sealMagic)])
	if p.err == nil && len(p.b) > 0 {
		p.fail("%d bytes too many", len(p.b))
	}
	if p.err == nil {
		if err := errors.Join(s.File.check(), checkSpans(s.Spans)); err != nil {
			p.fail("%v", err)
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("seal: %w", p.err)
	}
	return s, nil
}

// openSeal checks the digests around the body and returns the body.
func openSeal(data, dataKey []byte) ([]byte, error) {
	head := len(sealMagic) + 2
	switch {
	case len(data) > MaxSeal:
		return nil, fmt.Errorf("%w: %d bytes, above the limit of %d", ErrCorrupt, len(data), MaxSeal)
	case len(data) < head && bytes.HasPrefix([]byte(sealMagic), data[:min(len(data), len(sealMagic))]):
		return nil, ErrTruncated
	case !bytes.HasPrefix(data, []byte(sealMagic)):
		return nil, fmt.Errorf("%w: no seal", ErrCorrupt)
	case data[head-2] < 1 || data[head-2] > sealVersion:
		return nil, fmt.Errorf("%w: version %d; this program knows those up to %d", ErrCorrupt, data[head-2], sealVersion)
	}
	flags := data[head-1]
	if flags&^(sealKeyed|sealCompressed) != 0 {
		return nil, fmt.Errorf("%w: flags %#x", ErrCorrupt, flags)
	}
	tail := sha256.Size
	if flags&sealKeyed != 0 {
		head += checkSize
		tail += sha256.Size
	}
	if len(data) < head+tail {
		return nil, ErrTruncated
	}
	covered := data[:len(data)-tail]
	summed := data[:len(covered)+sha256.Size]
	if sum := sha256.Sum256(covered); !bytes.Equal(sum[:], summed[len(covered):]) {
		return nil, fmt.Errorf("%w: its digest differs", ErrCorrupt)
	}
	switch keyed := flags&sealKeyed != 0; {
	case !keyed && len(dataKey) > 0:
		return nil, fmt.Errorf("%w: not authenticated, though there is a data key", ErrCorrupt)
	case keyed && len(dataKey) == 0:
		return nil, fmt.Errorf("%w: none was given, and the seal is under key %s", ErrWrongKey, sealKeyCheck(data))
	case keyed && !bytes.Equal(data[head-checkSize:head], keyCheck(dataKey)):
		return nil, fmt.Errorf("%w: the seal is under key %s, the key at hand is %s", ErrWrongKey, sealKeyCheck(data), KeyCheck(dataKey))
	case keyed && !hmac.Equal(sealMAC(dataKey, summed), data[len(summed):]):
		return nil, fmt.Errorf("%w: its authentication code differs", ErrCorrupt)
	}
	return sealBody(covered[head:], flags&sealCompressed != 0)
}

func sealKeyCheck(data []byte) string {
	at := len(sealMagic) + 2
	return hex.EncodeToString(data[at : at+checkSize])
}

func sealBody(b []byte, compressed bool) ([]byte, error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > MaxSeal {
		return nil, fmt.Errorf("%w: length of the body", ErrCorrupt)
	}
	b = b[n:]
	if compressed {
		stated, err := s2.DecodedLen(b)
		if err != nil || uint64(stated) != length || stated > sealFloor+sealRatio*len(b) {
			return nil, fmt.Errorf("%w: compressed body", ErrCorrupt)
		}
		if b, err = s2.Decode(nil, b); err != nil {
			return nil, fmt.Errorf("%w: compressed body: %s", ErrCorrupt, err.Error())
		}
	}
	if uint64(len(b)) != length {
		return nil, fmt.Errorf("%w: body of %d bytes, %d stated", ErrCorrupt, len(b), length)
	}
	return b, nil
}

// A parser takes fields off a body; after the first that is not there it
// returns zeros and keeps the error.
type parser struct {
	b      []byte
	last   []byte // the key before
	shared int
	err    error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
	p.b = nil
}

func (p *parser) seal(version byte) *Seal {
	s := new(Seal)
	s.Kind = string(p.string())
	s.Series = string(p.string())
	s.Number = int(p.uint(1<<31 - 1))
	s.Group = uint32(p.uint(1<<32 - 1))
	s.Since = p.uint(1<<64 - 1)
	s.ReadTs = p.uint(1<<64 - 1)
	s.Engine = string(p.string())
	s.Codec = string(p.string())
	s.File.Size = int64(p.uint(1<<63 - 1))
	copy(s.File.SHA256[:], p.take(sha256.Size))
	if iv := p.string(); len(iv) > 0 {
		s.File.IV = bytes.Clone(iv)
	}
	s.File.Blocks = p.blocks(int64(len(s.File.IV)))
	if n := p.count(2); n > 0 {
		s.Predicates = make(map[string]int64, n)
		for range n {
			name := string(p.string())
			s.Predicates[name] = int64(p.uint(1<<63 - 1))
		}
	}
	if n := p.count(1 + 16); n > 0 {
		s.Fingerprint = make(map[string][16]byte, n)
		for range n {
			name := string(p.string())
			s.Fingerprint[name] = [16]byte(p.take(16))
		}
	}
	if version >= 2 {
		if record := p.string(); len(record) > 0 {
			s.Record = bytes.Clone(record)
		}
		s.Spans = p.spans()
	}
	return s
}

func (p *parser) spans() []Span {
	n := p.uint(1 << 62)
	if n == 0 {
		return nil
	}
	if n--; n > uint64(len(p.b)/(2+1+16+1+2+1)) {
		p.fail("%d spans in %d bytes", n, len(p.b))
		return nil
	}
	spans := make([]Span, n)
	for i := range spans {
		s := &spans[i]
		s.Start = p.key()
		s.Keys = int64(p.uint(1<<63 - 1))
		s.Sum = [16]byte(p.take(16))
		s.Version = p.uint(1<<64 - 1)
		s.Newest = p.key()
		s.NewestVersion = p.uint(1<<64 - 1)
	}
	return spans
}

func (p *parser) blocks(offset int64) []BlockInfo {
	blocks := make([]BlockInfo, p.count(4+sha256.Size+4))
	for i := range blocks {
		b := &blocks[i]
		b.Offset = offset
		b.Length = int64(p.uint(1<<62 - 1))
		b.Raw = int64(p.uint(frameHeader + MaxFrame))
		b.Entries = int(p.uint(MaxFrame))
		b.Live = int(p.uint(MaxFrame))
		copy(b.SHA256[:], p.take(sha256.Size))
		b.First = p.key()
		b.Last = p.key()
		if offset += b.Length; offset < 0 {
			p.fail("block %d beyond all sizes", i)
			return nil
		}
	}
	return blocks
}

func (p *parser) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > limit {
		p.fail("a number is missing or above %d", limit)
		return 0
	}
	p.b = p.b[n:]
	return v
}

// count returns how many elements follow, each of at least size bytes.
func (p *parser) count(size int) int {
	n := p.uint(1 << 62)
	if n > uint64(len(p.b)/size) {
		p.fail("%d elements in %d bytes", n, len(p.b))
		return 0
	}
	return int(n)
}

// take returns the next n bytes, zeros if there are fewer.
func (p *parser) take(n int) []byte {
	if n > len(p.b) {
		p.fail("%d bytes are missing", n-len(p.b))
		return make([]byte, min(n, sha256.Size))
	}
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}

func (p *parser) string() []byte {
	n := p.uint(MaxSeal)
	if n > uint64(len(p.b)) {
		p.fail("%d bytes are missing", n-uint64(len(p.b)))
		return nil
	}
	return p.take(int(n))
}

func (p *parser) key() []byte {
	n := p.uint(MaxSeal)
	rest := p.string()
	if n > uint64(len(p.last)) {
		p.fail("a key shares %d bytes with one of %d", n, len(p.last))
		return nil
	}
	if p.shared += int(n); p.shared > sharedLimit {
		p.fail("keys share more than %d bytes", sharedLimit)
		return nil
	}
	key := make([]byte, int(n)+len(rest))
	copy(key, p.last[:n])
	copy(key[n:], rest)
	p.last = key
	return key
}
