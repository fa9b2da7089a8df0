package backupfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// An Entry is one key with its value as a backup keeps it.
type Entry struct {
	Key       []byte // a marshalled BackupKey in a Dgraph backup, else the Badger key
	Value     []byte
	UserMeta  byte
	Meta      byte // Badger's delete, discard and merge bits; 0 in a Dgraph backup
	Version   uint64
	ExpiresAt uint64 // Unix seconds; 0: never
}

// Tags of the fields of KVList and KV: number<<3 | wire type.
const (
	tagKV        = 1<<3 | uint64(protowire.BytesType)
	tagKey       = 1<<3 | uint64(protowire.BytesType)
	tagValue     = 2<<3 | uint64(protowire.BytesType)
	tagUserMeta  = 3<<3 | uint64(protowire.BytesType)
	tagVersion   = 4<<3 | uint64(protowire.VarintType)
	tagExpiresAt = 5<<3 | uint64(protowire.VarintType)
	tagMeta      = 6<<3 | uint64(protowire.BytesType)
)

// appendEntry appends e as one element of a KVList. The user meta is always
// there, as Dgraph 23 and later insist on exactly one byte of it.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, byte(tagKV))
	dst = binary.AppendUvarint(dst, uint64(sizeEntry(e)))
	if len(e.Key) > 0 {
		dst = append(dst, byte(tagKey))
		dst = binary.AppendUvarint(dst, uint64(len(e.Key)))
		dst = append(dst, e.Key...)
	}
	if len(e.Value) > 0 {
		dst = append(dst, byte(tagValue))
		dst = binary.AppendUvarint(dst, uint64(len(e.Value)))
		dst = append(dst, e.Value...)
	}
	dst = append(dst, byte(tagUserMeta), 1, e.UserMeta)
	if e.Version != 0 {
		dst = append(dst, byte(tagVersion))
		dst = binary.AppendUvarint(dst, e.Version)
	}
	if e.ExpiresAt != 0 {
		dst = append(dst, byte(tagExpiresAt))
		dst = binary.AppendUvarint(dst, e.ExpiresAt)
	}
	if e.Meta != 0 {
		dst = append(dst, byte(tagMeta), 1, e.Meta)
	}
	return dst
}

// sizeEntry returns the length of e as a message, its own tag and length apart.
func sizeEntry(e *Entry) int {
	n := 3
	if k := len(e.Key); k > 0 {
		n += 1 + sizeUvarint(uint64(k)) + k
	}
	if v := len(e.Value); v > 0 {
		n += 1 + sizeUvarint(uint64(v)) + v
	}
	if e.Version != 0 {
		n += 1 + sizeUvarint(e.Version)
	}
	if e.ExpiresAt != 0 {
		n += 1 + sizeUvarint(e.ExpiresAt)
	}
	if e.Meta != 0 {
		n += 3
	}
	return n
}

func sizeUvarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// A list is what is left of a KVList.
type list []byte

// next takes one entry off the list; it aliases the list. io.EOF: none is left.
// Fields that a reader need not know (alloc_ref, stream_id, stream_done, kind)
// are passed over.
func (l *list) next(e *Entry) error {
	b := []byte(*l)
	for len(b) > 0 {
		tag, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return badEntry("tag", n)
		}
		b = b[n:]
		if tag == tagKV {
			kv, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return badEntry("length", n)
			}
			*l = b[n:]
			return parseEntry(kv, e)
		}
		if n = skip(tag, b, 1); n < 0 {
			return badEntry("field of the list", n)
		}
		b = b[n:]
	}
	*l = nil
	return io.EOF
}

func parseEntry(b []byte, e *Entry) error {
	*e = Entry{}
	for len(b) > 0 {
		tag, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return badEntry("tag", n)
		}
		b = b[n:]
		switch tag {
		case tagKey:
			e.Key, n = protowire.ConsumeBytes(b)
		case tagValue:
			e.Value, n = protowire.ConsumeBytes(b)
		case tagUserMeta:
			n = consumeByte(b, &e.UserMeta)
		case tagVersion:
			e.Version, n = protowire.ConsumeVarint(b)
		case tagExpiresAt:
			e.ExpiresAt, n = protowire.ConsumeVarint(b)
		case tagMeta:
			n = consumeByte(b, &e.Meta)
		default:
			n = skip(tag, b, 6)
		}
		if n < 0 {
			return badEntry("field of an entry", n)
		}
		b = b[n:]
	}
	return nil
}

// consumeByte reads a bytes field that holds one byte at most.
func consumeByte(b []byte, to *byte) int {
	v, n := protowire.ConsumeBytes(b)
	if len(v) > 1 {
		return -1
	}
	*to = 0
	if n > 0 && len(v) == 1 {
		*to = v[0]
	}
	return n
}

// skip returns the length of the value of a field that is not read. A field
// numbered up to known has a type that is not its own: that is damage.
func skip(tag uint64, b []byte, known protowire.Number) int {
	if tag > 1<<32-1 {
		return -1
	}
	num, typ := protowire.DecodeTag(tag)
	if num <= known {
		return -1
	}
	return protowire.ConsumeFieldValue(num, typ, b)
}

func badEntry(what string, code int) error {
	if err := protowire.ParseError(code); err != nil && code != -1 {
		return fmt.Errorf("%w: %s: %s", ErrCorrupt, what, err.Error())
	}
	return fmt.Errorf("%w: %s", ErrCorrupt, what)
}

// expect compares how many entries the list holds with how many it should.
func (l list) expect(want int) error {
	n := 0
	for len(l) > 0 {
		tag, k := protowire.ConsumeVarint(l)
		if k < 0 {
			return badEntry("tag", k)
		}
		l = l[k:]
		if tag == tagKV {
			n++
			_, k = protowire.ConsumeBytes(l)
		} else {
			k = skip(tag, l, 1)
		}
		if k < 0 {
			return badEntry("length", k)
		}
		l = l[k:]
	}
	if n != want {
		return fmt.Errorf("%w: %d entries, %d were sealed", ErrCorrupt, n, want)
	}
	return nil
}
