package wire

import (
	"encoding/binary"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto" // registers what it names
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Codec encodes Frames and Steps without copying their data, and everything else
// as gRPC does.
var Codec encoding.CodecV2 = codec{encoding.GetCodecV2(grpcproto.Name)}

type codec struct{ encoding.CodecV2 }

// The tags of the fields on the way to a frame's data.
var (
	tagStep   = tag(15, protowire.BytesType) // of a PutRequest or a GetResponse
	tagOffset = tag(1, protowire.VarintType)
	tagCRC32C = tag(2, protowire.Fixed32Type)
	tagData   = tag(15, protowire.BytesType)
)

func tag(n protowire.Number, t protowire.Type) byte { return byte(protowire.EncodeTag(n, t)) }

// maxHeader is how long what precedes the data is at most: three tags, two
// lengths, the offset and the checksum.
const maxHeader = 3 + 3*binary.MaxVarintLen64 + 4 + 1

// Marshal implements encoding.CodecV2. What it returns holds references of its
// own.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	if !zeroCopy {
		return c.CodecV2.Marshal(f.Proto())
	}
	f.Data.Ref()
	return append(mem.BufferSlice{mem.SliceBuffer(f.header())}, f.Data...), nil
}

// header encodes f up to its data.
func (f *Frame) header() []byte {
	var inner []byte
	if f.Offset != 0 {
		inner = protowire.AppendVarint(append(inner, tagOffset), uint64(f.Offset))
	}
	if f.CRC32C != 0 {
		inner = protowire.AppendFixed32(append(inner, tagCRC32C), f.CRC32C)
	}
	size := f.Data.Len()
	if size != 0 {
		inner = protowire.AppendVarint(append(inner, tagData), uint64(size))
	}
	outer := protowire.AppendVarint([]byte{tagStep}, uint64(len(inner)+size))
	return append(outer, inner...)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	s, ok := v.(*Step)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if s.Frame = split(data); s.Frame != nil {
		return nil
	}
	if err := c.CodecV2.Unmarshal(data, s.Other); err != nil {
		return err
	}
	if f := s.Other.GetFrame(); f != nil {
		s.Frame = &Frame{Offset: f.GetOffset(), CRC32C: f.GetCrc32C(), Data: mem.BufferSlice{mem.SliceBuffer(f.GetData())}}
	}
	return nil
}

// split returns the frame in a step that is encoded as everybody does it: the
// fields in the order of their numbers, the data at the very end. It is nil for
// all else.
func split(data mem.BufferSlice) *Frame {
	if !zeroCopy {
		return nil
	}
	var start [maxHeader]byte
	p := parser{rest: start[:data.CopyTo(start[:])], size: data.Len()}
	f := p.frame()
	if p.odd {
		return nil
	}
	f.Data = make(mem.BufferSlice, 0, len(data))
	skip := data.Len() - p.size
	for _, b := range data {
		n := min(skip, b.Len())
		if skip -= n; n < b.Len() {
			f.Data = append(f.Data, b.Slice(n, b.Len()))
		}
	}
	return f
}

// A parser reads what precedes the data of a frame.
type parser struct {
	rest []byte // what can be seen of the message
	size int    // what there is of it
	odd  bool   // something is not as usual
}

func (p *parser) frame() *Frame {
	f := new(Frame)
	p.length(tagStep)
	if p.tag(tagOffset) {
		f.Offset = int64(p.varint())
	}
	if p.tag(tagCRC32C) {
		var n int
		f.CRC32C, n = protowire.ConsumeFixed32(p.rest)
		p.skip(n)
	}
	p.length(tagData)
	return f
}

// length reads a field that takes all the rest of the message.
func (p *parser) length(tag byte) {
	if !p.tag(tag) {
		p.odd = true
	}
	if n := p.varint(); n != uint64(p.size) {
		p.odd = true
	}
}

func (p *parser) tag(tag byte) bool {
	if len(p.rest) == 0 || p.rest[0] != tag {
		return false
	}
	p.skip(1)
	return true
}

func (p *parser) varint() uint64 {
	v, n := protowire.ConsumeVarint(p.rest)
	p.skip(n)
	return v
}

// skip goes on behind n bytes, which are less than 0 if there was an error.
func (p *parser) skip(n int) {
	if n < 0 {
		p.odd = true
		return
	}
	p.rest, p.size = p.rest[n:], p.size-n
}
