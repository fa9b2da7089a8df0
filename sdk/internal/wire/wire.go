// Package wire carries the messages of the plugin protocol without copying the
// bytes of objects.
//
// What it puts on the wire is protobuf as everybody speaks it. A Frame is taken
// apart by hand: its data stays where it is, in buffers that are counted, and
// gRPC holds on to them until they are sent. Every other message, and every
// frame that is encoded in an unusual way, takes gRPC's own path.
package wire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A Frame is a pluginpb.Frame whose data lies in counted buffers. Its owner
// frees Data; whoever sends it does so after Send has returned.
//
// To send one is to send the step of a Put or a Get that carries it: those look
// alike on the wire.
type Frame struct {
	Offset int64
	CRC32C uint32
	Data   mem.BufferSlice

	Checked bool // CRC32C has been found to be that of Data
}

// A Step is what to receive from a Put or a Get.
type Step struct {
	Frame *Frame  // to be freed; nil if it is another step
	Other Message // takes all other steps
}

// A Message is a pluginpb.PutRequest or a pluginpb.GetResponse.
type Message interface {
	proto.Message
	GetFrame() *pluginpb.Frame
}

// Proto returns f as the message that it is on the wire, which shares its data
// if that is in one piece.
func (f *Frame) Proto() proto.Message {
	p := &pluginpb.Frame{Offset: f.Offset, Crc32C: f.CRC32C}
	if len(f.Data) == 1 {
		p.Data = f.Data[0].ReadOnlyData()
	} else {
		p.Data = f.Data.Materialize()
	}
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Frame{Frame: p}}
}

// Proto returns the message that arrived.
func (s *Step) Proto() proto.Message {
	if s.Frame != nil {
		return s.Frame.Proto()
	}
	return s.Other
}
