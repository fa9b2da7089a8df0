package s3store

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	chunkSize = 1 << 20 // bytes

	// memoryLimit is what parts and what was read ahead take together, over all
	// Stores of the process. The parts that are being filled may take more if
	// they must: see memory.take.
	memoryLimit = 48 << 20 // bytes

	// aheadLimit is as much of it as reading ahead may take.
	aheadLimit = 24 << 20 // bytes

	// heapLimit is from which on the garbage collector works harder for the rest:
	// what the host has sent ahead of the parts, 8 MiB for each Put, and what was
	// collected too late.
	heapLimit = 56 << 20 // bytes

	// idleTime is how long unused memory is kept.
	idleTime = 5 * time.Second
)

// limitHeap is for the plugin's process, which serves nothing but Stores.
var limitHeap = sync.OnceFunc(func() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
})

// buffers is the memory of this process.
var buffers = &memory{limit: memoryLimit / chunkSize, ahead: aheadLimit / chunkSize}

// A memory hands out chunks, and keeps those that come back for a while. They
// lie outside the garbage collected heap, which would keep twice as much.
type memory struct {
	limit int // chunks
	ahead int // chunks that tryTake may make it

	mu      sync.Mutex
	used    int // chunks that are handed out
	sending int // of those, chunks that come back as soon as the network allows
	idle    [][]byte
	waiting []*waiter
	release *time.Timer
}

type waiter struct {
	ready chan struct{}
	chunk []byte
}

// take returns a chunk. While there is none it waits, but only for parts that
// are on their way to the store: they come back whatever the source of this Put
// and those of others do. If there are none, waiting might never end, since
// sources may depend on each other; then it takes more than the limit.
func (m *memory) take(ctx context.Context) ([]byte, error) {
	m.mu.Lock()
	if len(m.waiting) == 0 && m.grants() {
		defer m.mu.Unlock()
		return m.hand(), nil
	}
	w := &waiter{ready: make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	select {
	case <-w.ready:
		return w.chunk, nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.chunk != nil {
		m.put(w.chunk)
	}
	for i := range m.waiting {
		if m.waiting[i] == w {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			break
		}
	}
	m.serve()
	return nil, ctx.Err()
}

func (m *memory) grants() bool { return m.used < m.limit || m.sending == 0 }

// tryTake returns n chunks, or none if they are not to spare.
func (m *memory) tryTake(n int) (chunks [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) > 0 || m.used+n > m.ahead {
		return nil
	}
	for range n {
		chunks = append(chunks, m.hand())
	}
	return chunks
}

// send tells that n chunks come back as soon as the network allows.
func (m *memory) send(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending += n
}

// sent takes back what send was told of.
func (m *memory) sent(chunks [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending -= len(chunks)
	m.back(chunks)
}

// give takes chunks back.
func (m *memory) give(chunks ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.back(chunks)
}

func (m *memory) back(chunks [][]byte) {
	for _, c := range chunks {
		m.put(c)
	}
	m.serve()
}

func (m *memory) serve() {
	for len(m.waiting) > 0 && m.grants() {
		w := m.waiting[0]
		m.waiting = m.waiting[1:]
		w.chunk = m.hand()
		close(w.ready)
	}
}

func (m *memory) hand() []byte {
	m.used++
	if n := len(m.idle); n > 0 {
		c := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return c
	}
	return newChunk()
}

// put keeps a chunk, unless there are more than should be.
func (m *memory) put(c []byte) {
	m.used--
	if m.used+len(m.idle) >= m.limit {
		freeChunk(c)
		return
	}
	m.idle = append(m.idle, c)
	if m.release == nil {
		m.release = time.AfterFunc(idleTime, m.clean)
	} else {
		m.release.Reset(idleTime)
	}
}

// clean gives back what nobody has used for a while.
func (m *memory) clean() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.idle {
		freeChunk(c)
	}
	m.idle = nil
}
