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
// the lane, a frame is its offset, size, checksum and place in 20 bytes, and its
// data. One without data says that the stream goes on. A lane that breaks off
// says no more than that the stream knows why.
//
// Behind the first whole frame, the data lies in memory that the sender has passed
// along with a head: what it reads from a storage need not be copied into a socket and
// out of it. The receiver copies it before it looks at it, since nobody must change what
// was checked, and answers with one byte when the sender may have the place again.
package lane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// key is that of a lane's number in the metadata of a call.
const key = "brock-lane"

// headSize is how long the offset, the size, the checksum and the place of a frame are.
const headSize = 8 + 4 + 4 + 4

// step is how much is read at once: it is still in the processor's cache when
// its checksum is computed.
const step = 128 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A lane is one end of one. Sending and receiving do not disturb each other.
type lane struct {
	conn *net.UnixConn
	out  buffers

	begun bool // the stream has carried what begins the call
	ended bool // no frame will be sent any more
	past  bool // no frame will be received any more

	mu     sync.Mutex
	in     *view // of the memory in which the other end's frames lie; nil before the first
	closed bool
}

func newLane(conn *net.UnixConn, memories *sync.Pool) *lane {
	return &lane{conn: conn, out: buffers{conn: conn, memories: memories}}
}

// close ends what is being sent and received.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	_ = l.conn.Close()
	if l.in != nil {
		l.in.close()
	}
}

type contextKey struct{}

// Buffers returns where to get buffers for the frames to be sent on a stream: one at a
// time, the next when the last was sent. After release, which may wait for the other end,
// none is used any more.
func Buffers(stream interface{ Context() context.Context }) (pool mem.BufferPool, release func()) {
	l, ok := stream.Context().Value(contextKey{}).(*lane) // others may have wrapped the stream
	if !ok {
		return wire.Pool, func() {}
	}
	l.out.wanted = true
	return &l.out, l.out.release
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
	place := l.out.place(f.Data)
	head := make([]byte, 0, headSize)
	head = binary.BigEndian.AppendUint64(head, uint64(f.Offset))
	head = binary.BigEndian.AppendUint32(head, uint32(f.Data.Len()))
	head = binary.BigEndian.AppendUint32(head, f.CRC32C)
	head = binary.BigEndian.AppendUint32(head, uint32(place))
	if place > 0 {
		return l.out.pass(head)
	}
	pieces := net.Buffers{head}
	for _, b := range f.Data {
		pieces = append(pieces, b.ReadOnlyData())
	}
	_, err := pieces.WriteTo(l.conn)
	l.out.followed(f.Data.Len())
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
	f, err := l.readFrame()
	if errors.Is(err, errNoMemory) || errors.Is(err, errTooLarge) {
		return nil, err
	}
	return f, nil
}

var errTooLarge = fmt.Errorf("%d bytes are allowed", frame.Size)

func (l *lane) readFrame() (*wire.Frame, error) {
	head, err := l.readHead()
	if err != nil {
		return nil, err
	}
	f := &wire.Frame{Offset: int64(binary.BigEndian.Uint64(head[:])), CRC32C: binary.BigEndian.Uint32(head[12:])}
	size, place := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[16:])
	if size > frame.Size {
		return nil, fmt.Errorf("frame of %d bytes at offset %d: %w", size, f.Offset, errTooLarge)
	}
	if size == 0 {
		return nil, nil
	}
	buf := wire.Pool.Get(int(size))
	crc32c := uint32(0)
	for n := 0; n < len(*buf); {
		m, err := l.readData((*buf)[n:min(n+step, len(*buf))], place, n)
		crc32c = crc32.Update(crc32c, castagnoli, (*buf)[n:n+m])
		if n += m; err != nil {
			wire.Pool.Put(buf)
			return nil, fmt.Errorf("frame of %d bytes at offset %d: %w", size, f.Offset, err)
		}
	}
	if place > 0 {
		_, _ = l.conn.Write([]byte{1}) // the sender may be gone
	}
	f.Checked = crc32c == f.CRC32C
	f.Data = mem.BufferSlice{mem.NewBuffer(buf, wire.Pool)}
	return f, nil
}

// readData reads a piece of a frame, which is n bytes behind its beginning, from where that lies.
func (l *lane) readData(p []byte, place uint32, n int) (int, error) {
	if place == 0 {
		return l.conn.Read(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, net.ErrClosed
	}
	return len(p), l.in.copy(p, int64(place-1)*frame.Size+int64(n))
}

// readHead keeps the other end's memory, which may come along.
func (l *lane) readHead() (head [headSize]byte, err error) {
	for n := 0; n < len(head) && err == nil; {
		if l.in != nil { // only this goroutine sets it
			_, err = io.ReadFull(l.conn, head[n:])
			break
		}
		var m int
		var in *view
		m, in, err = receive(l.conn, head[n:])
		if n += m; in != nil {
			err = l.keep(in)
		}
	}
	return head, err
}

// keep has the memory given back with the lane.
func (l *lane) keep(in *view) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		in.close()
		return net.ErrClosed
	}
	l.in = in
	return nil
}
