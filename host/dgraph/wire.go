package dgraph

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A field is one field of a protobuf message. It aliases the message.
type field struct {
	num protowire.Number
	typ protowire.Type
	u   uint64 // of varint, fixed64 and fixed32
	b   []byte // of bytes
	raw []byte // tag and value as they stand
}

// nextField reads the first field of msg, which is not empty, and returns what
// comes after it. It allocates nothing. Groups, which no Dgraph writes, are refused.
func nextField(msg []byte, f *field) (rest []byte, err error) {
	tag, n := uvarint(msg)
	if n <= 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return nil, fmt.Errorf("%w: not a protobuf field", ErrCorrupt)
	}
	f.num, f.typ, f.u, f.b = protowire.Number(tag>>3), protowire.Type(tag&7), 0, nil
	b := msg[n:]
	switch f.typ {
	case protowire.VarintType:
		u, n := uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("%w: field %d is cut short", ErrCorrupt, f.num)
		}
		f.u, b = u, b[n:]
	case protowire.BytesType:
		u, n := uvarint(b)
		if n <= 0 || u > uint64(len(b)-n) {
			return nil, fmt.Errorf("%w: field %d is cut short", ErrCorrupt, f.num)
		}
		f.b, b = b[n:n+int(u):n+int(u)], b[n+int(u):]
	case protowire.Fixed64Type:
		if len(b) < 8 {
			return nil, fmt.Errorf("%w: field %d is cut short", ErrCorrupt, f.num)
		}
		f.u, b = binary.LittleEndian.Uint64(b), b[8:]
	case protowire.Fixed32Type:
		if len(b) < 4 {
			return nil, fmt.Errorf("%w: field %d is cut short", ErrCorrupt, f.num)
		}
		f.u, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
	default:
		return nil, fmt.Errorf("%w: field %d has wire type %d", ErrCorrupt, f.num, f.typ)
	}
	f.raw = msg[: len(msg)-len(b) : len(msg)-len(b)]
	return b, nil
}

// is reports whether f has this number and type. A known number with another type
// is no field that Dgraph wrote, and is passed over like an unknown one.
func (f *field) is(num protowire.Number, typ protowire.Type) bool {
	return f.num == num && f.typ == typ
}

// uvarint is binary.Uvarint, quicker for one byte.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// appendBytesField appends a field of bytes.
func appendBytesField(dst []byte, num protowire.Number, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(num)<<3|uint64(protowire.BytesType))
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// appendVarintField appends a field of a number, as proto3 does: 0 is left out.
func appendVarintField(dst []byte, num protowire.Number, u uint64) []byte {
	if u == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(num)<<3|uint64(protowire.VarintType))
	return binary.AppendUvarint(dst, u)
}
