// Package chunk is the memory that plugins hold objects in while these are on their
// way: handed out by the chunk, bounded for the whole process, and outside the
// garbage collected heap, which would keep twice as much.
package chunk

import (
	"context"
	"sync"
	"time"
)

// Size is that of a chunk, in bytes.
const Size = 1 << 20

// idleTime is how long unused memory is kept.
const idleTime = 5 * time.Second

// New returns a Pool of limit bytes, of which reading ahead may make it hold up to
// ahead. What is being filled may take more if it must: see Take.
func New(limit, ahead int) *Pool { return &Pool{limit: limit / Size, ahead: ahead / Size} }

// A Pool hands out chunks, and keeps those that come back for a while. It may be
// used concurrently.
type Pool struct {
	limit int // chunks
	ahead int // chunks that TryTake may make it

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

// Take returns a chunk. While there is none it waits, but only for parts that
// are on their way to the storage: they come back whatever the source of this Put
// and those of others do. If there are none, waiting might never end, since
// sources may depend on each other; then it takes more than the limit.
func (p *Pool) Take(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	if len(p.waiting) == 0 && p.grants() {
		defer p.mu.Unlock()
		return p.hand(), nil
	}
	w := &waiter{ready: make(chan struct{})}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return w.chunk, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.chunk != nil {
		p.put(w.chunk)
	}
	for i := range p.waiting {
		if p.waiting[i] == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			break
		}
	}
	p.serve()
	return nil, ctx.Err()
}

func (p *Pool) grants() bool { return p.used < p.limit || p.sending == 0 }

// TryTake returns n chunks, or none if they are not to spare.
func (p *Pool) TryTake(n int) (chunks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 || p.used+n > p.ahead {
		return nil
	}
	for range n {
		chunks = append(chunks, p.hand())
	}
	return chunks
}

// Send tells that n chunks come back as soon as the network allows.
func (p *Pool) Send(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sending += n
}

// Sent takes back what Send was told of.
func (p *Pool) Sent(chunks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sending -= len(chunks)
	p.back(chunks)
}

// Give takes chunks back.
func (p *Pool) Give(chunks ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back(chunks)
}

// Used returns how many chunks are handed out, and how many of them are on their
// way.
func (p *Pool) Used() (used, sending int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.sending
}

func (p *Pool) back(chunks [][]byte) {
	for _, c := range chunks {
		p.put(c)
	}
	p.serve()
}

func (p *Pool) serve() {
	for len(p.waiting) > 0 && p.grants() {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		w.chunk = p.hand()
		close(w.ready)
	}
}

func (p *Pool) hand() []byte {
	p.used++
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c
	}
	return newChunk()
}

// put keeps a chunk, unless there are more than should be.
func (p *Pool) put(c []byte) {
	p.used--
	if p.used+len(p.idle) >= p.limit {
		freeChunk(c)
		return
	}
	p.idle = append(p.idle, c)
	if p.release == nil {
		p.release = time.AfterFunc(idleTime, p.clean)
	} else {
		p.release.Reset(idleTime)
	}
}

// clean gives back what nobody has used for a while.
func (p *Pool) clean() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		freeChunk(c)
	}
	p.idle = nil
}
