package lane

import (
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// slots is how many frames a memory holds: while one is being filled and one is
// being read, neither end waits for the other.
const slots = 4

// errNoMemory is about a frame whose head says that it lies in memory.
var errNoMemory = errors.New("there is no memory where it should lie")

// buffers is a mem.BufferPool for whoever sends frames. It hands out the slots of
// a memory in turn, once there is one: a small object does without.
type buffers struct {
	conn     *net.UnixConn
	memories *sync.Pool // of the connection: another call had this one's before

	wanted bool    // whoever fills buffers knows to release them
	memory *memory // nil if there is none
	passed bool    // the other end has it
	next   int     // the slot to hand out
	taken  int     // slots that the other end has not read yet
}

// Get implements mem.BufferPool.
func (b *buffers) Get(length int) *[]byte {
	if b.memory == nil || length > frame.Size {
		return wire.Pool.Get(length)
	}
	slot := b.memory.data[b.next*frame.Size:][:length:frame.Size]
	return &slot
}

// Put implements mem.BufferPool.
func (b *buffers) Put(buf *[]byte) {
	if b.slot(*buf) < 0 {
		wire.Pool.Put(buf)
	}
}

// slot returns the one that data lies in, or -1.
func (b *buffers) slot(data []byte) int {
	if b.memory == nil || cap(data) == 0 {
		return -1
	}
	for i := range slots {
		if &data[:1][0] == &b.memory.data[i*frame.Size] {
			return i
		}
	}
	return -1
}

// place returns what the head of a frame says of it: 0 if its data follows, and
// otherwise one more than the slot that it lies in.
func (b *buffers) place(data mem.BufferSlice) int {
	if len(data) != 1 {
		return 0
	}
	return b.slot(data[0].ReadOnlyData()) + 1
}

// followed is told of a frame whose data has followed its head. If there may be
// many more, those take memory.
func (b *buffers) followed(size int) {
	if !b.wanted || size < frame.Size {
		return
	}
	b.memory, _ = b.memories.Get().(*memory)
	if b.memory == nil {
		b.memory = newMemory()
	}
	b.wanted = false // or there is none to be had
}

// pass sends the head of the frame in the next slot, and waits until the slot
// behind that is free.
func (b *buffers) pass(head []byte) error {
	var err error
	if b.passed {
		_, err = b.conn.Write(head)
	} else {
		err = b.memory.pass(b.conn, head)
	}
	if err != nil {
		return err
	}
	b.passed = true
	b.next = (b.next + 1) % slots
	if b.taken++; b.taken < slots {
		return nil
	}
	return b.await()
}

// await waits until the other end has read from a slot.
func (b *buffers) await() error {
	var read [slots]byte
	n, err := b.conn.Read(read[:])
	b.taken -= n
	return err
}

// release waits until the other end has read everything, or reads no more.
func (b *buffers) release() {
	b.wanted = false
	if b.memory == nil {
		return
	}
	for b.taken > 0 && b.await() == nil {
	}
	b.memories.Put(b.memory)
	b.memory = nil
}
