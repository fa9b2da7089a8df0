// Package lane gives a Put or a Get a socket of its own for the bytes of its
// object, and leaves everything else to its gRPC stream.
//
// HTTP/2 cuts what it carries into pieces of 16 KiB, and copies, counts and hands
// on each: more than half of what the way to a plugin took. On a lane a frame
// costs little more than its bytes. Both ends are written in Go with this SDK;
// for all others the stream carries the frames, as the protocol says.
//
// The two ends have a socket in common over which the host passes lanes, each
// with a number. A call that is to use one names that number in its metadata. On
// the lane, a frame is its offset, size and checksum in 16 bytes, and its data.
// One without data says that the stream goes on. A lane that breaks off says no
// more than that the stream knows why.
package lane

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"

	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// key is that of a lane's number in the metadata of a call.
const key = "brock-lane"

// headSize is how long the offset, the size and the checksum of a frame are.
const headSize = 8 + 4 + 4

// step is how much is read at once: it is still in the processor's cache when
// its checksum is computed.
const step = 128 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A lane is one end of one. Sending and receiving do not disturb each other.
type lane struct {
	conn *net.UnixConn

	begun bool // the stream has carried what begins the call
	ended bool // no frame will be sent any more
	past  bool // no frame will be received any more
}

// send gives a frame to the lane and all else to the stream.
func (l *lane) send(m any, stream func(any) error) error {
	if f, ok := m.(*wire.Frame); ok && !l.ended && f.Data.Len() > 0 {
		return l.write(f)
	}
	if l.begun {
		if err := l.end(); err != nil {
			return err
		}
	}
	l.begun = true
	return stream(m)
}

// end says that the stream goes on.
func (l *lane) end() error {
	if l.ended {
		return nil
	}
	l.ended = true
	return l.write(new(wire.Frame))
}

func (l *lane) write(f *wire.Frame) error {
	head := make([]byte, 0, headSize)
	head = binary.BigEndian.AppendUint64(head, uint64(f.Offset))
	head = binary.BigEndian.AppendUint32(head, uint32(f.Data.Len()))
	head = binary.BigEndian.AppendUint32(head, f.CRC32C)
	pieces := net.Buffers{head}
	for _, b := range f.Data {
		pieces = append(pieces, b.ReadOnlyData())
	}
	_, err := pieces.WriteTo(l.conn)
	return err
}

// receive takes frames from the lane while there are any, and all else from the
// stream.
func (l *lane) receive(m any, stream func(any) error) error {
	s, ok := m.(*wire.Step)
	if !ok || l.past {
		return stream(m)
	}
	f, err := l.read()
	if f != nil || err != nil {
		s.Frame = f
		return err
	}
	l.past = true
	return stream(m)
}

// read returns nil if the stream goes on, or knows why the lane does not.
func (l *lane) read() (*wire.Frame, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		return nil, nil //nolint:nilerr // the stream tells
	}
	f := &wire.Frame{Offset: int64(binary.BigEndian.Uint64(head[:])), CRC32C: binary.BigEndian.Uint32(head[12:])}
	size := binary.BigEndian.Uint32(head[8:])
	if size > frame.Size {
		return nil, fmt.Errorf("frame of %d bytes at offset %d: %d are allowed", size, f.Offset, frame.Size)
	}
	if size == 0 {
		return nil, nil
	}
	buf := wire.Pool.Get(int(size))
	crc32c := uint32(0)
	for n := 0; n < len(*buf); {
		m, err := l.conn.Read((*buf)[n:min(n+step, len(*buf))])
		crc32c = crc32.Update(crc32c, castagnoli, (*buf)[n:n+m])
		if n += m; err != nil {
			wire.Pool.Put(buf)
			return nil, nil //nolint:nilerr // the stream tells
		}
	}
	f.Checked = crc32c == f.CRC32C
	f.Data = mem.BufferSlice{mem.NewBuffer(buf, wire.Pool)}
	return f, nil
}
