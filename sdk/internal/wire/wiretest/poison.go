// Package wiretest finds out who uses a buffer after having freed it.
package wiretest

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/mem"
)

// A Poison is a mem.BufferPool that overwrites each buffer at once when it is
// freed, and never hands it out a second time. It panics if one is freed twice.
type Poison struct {
	mu    sync.Mutex
	lent  map[*byte]bool // by their first byte
	empty chan struct{}  // closed when nothing is lent
}

// NewPoison returns a pool that has lent nothing.
func NewPoison() *Poison {
	p := &Poison{lent: map[*byte]bool{}, empty: make(chan struct{})}
	close(p.empty)
	return p
}

// Get implements mem.BufferPool.
func (p *Poison) Get(length int) *[]byte {
	b := make([]byte, length, max(length, 2048)) // gRPC counts no small ones
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lent) == 0 {
		p.empty = make(chan struct{})
	}
	p.lent[first(b)] = true
	return &b
}

// Put implements mem.BufferPool.
func (p *Poison) Put(b *[]byte) {
	whole := (*b)[:cap(*b)]
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.lent[first(whole)] {
		panic(fmt.Sprintf("a buffer of %d bytes is freed that is not lent", len(whole)))
	}
	for i := range whole {
		whole[i] = 0xDB
	}
	if delete(p.lent, first(whole)); len(p.lent) == 0 {
		close(p.empty)
	}
}

// Lent returns how many buffers have not been freed.
func (p *Poison) Lent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lent)
}

// Empty waits until everything has been freed.
func (p *Poison) Empty(ctx context.Context) error {
	p.mu.Lock()
	empty := p.empty
	p.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d buffers were never freed", p.Lent())
	}
}

func first(b []byte) *byte { return &b[:1][0] }

var _ mem.BufferPool = (*Poison)(nil)
