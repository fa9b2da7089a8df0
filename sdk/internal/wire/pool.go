package wire

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Pool keeps the buffers of both ends of a connection: those that gRPC reads
// into, and those of frames on their way out. Unlike gRPC's own, it does not
// clear them: whoever gets one fills it.
var Pool mem.BufferPool = new(pool)

// maxClass is that of the largest buffer in the pool, which holds a message.
const maxClass = 21

// A pool has one class of buffers for every power of two.
type pool [maxClass + 1]sync.Pool

// Get implements mem.BufferPool.
func (p *pool) Get(length int) *[]byte {
	class := bits.Len(uint(max(length, 1) - 1))
	if class > maxClass {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p[class].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<class)
	return &b
}

// Put implements mem.BufferPool.
func (p *pool) Put(b *[]byte) {
	if n := cap(*b); n > 0 && n&(n-1) == 0 && n <= 1<<maxClass {
		p[bits.Len(uint(n))-1].Put(b)
	}
}
