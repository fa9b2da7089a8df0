package chunk

import (
	"context"
	"sync"
	"testing"
)

// A pool waits for what is on its way, and for nothing else.
func TestPool(t *testing.T) {
	p := New(4*Size, 2*Size)
	take := func() []byte {
		t.Helper()
		c, err := p.Take(t.Context())
		if err != nil || len(c) != Size {
			t.Fatalf("Take = %d bytes, %v", len(c), err)
		}
		return c
	}
	var held [][]byte
	for range 6 { // more than the limit: nothing is on its way
		held = append(held, take())
	}
	if got := p.TryTake(1); got != nil {
		t.Errorf("TryTake above the limit = %d chunks", len(got))
	}
	p.Send(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Take(ctx); err == nil {
		t.Error("Take does not wait for what is on its way")
	}
	var wg sync.WaitGroup
	var got []byte
	wg.Go(func() { got, _ = p.Take(t.Context()) })
	p.Sent(held[:1]) // there are still too many, but nothing to wait for
	wg.Wait()
	if got == nil {
		t.Fatal("Take waits for nothing")
	}
	held[0] = got
	p.Give(held...)
	if p.used != 0 || len(p.idle) != p.limit {
		t.Errorf("%d chunks are used and %d idle, want 0 and %d", p.used, len(p.idle), p.limit)
	}
	ahead := p.TryTake(2)
	if len(ahead) != 2 || p.TryTake(1) != nil {
		t.Errorf("TryTake = %d chunks, and then more; want 2, and then none", len(ahead))
	}
	p.Give(ahead...)
	p.clean()
	if len(p.idle) != 0 {
		t.Errorf("%d chunks are idle after all were given back", len(p.idle))
	}
	p.release.Stop()
}

// Many that take and send at once all get on, and all comes back.
func TestPoolOfMany(t *testing.T) {
	p := New(10*Size, 5*Size)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%5 == 0 {
					cancel()
				}
				var part [][]byte
				for range 1 + i%4 {
					if c, err := p.Take(ctx); err == nil {
						part = append(part, c)
					}
				}
				p.Send(len(part))
				p.Sent(part)
				p.Give(p.TryTake(3)...)
				cancel()
			}
		})
	}
	wg.Wait()
	if p.used != 0 || p.sending != 0 || len(p.waiting) != 0 {
		t.Errorf("%d chunks are used, %d on their way, %d waited for; want none", p.used, p.sending, len(p.waiting))
	}
	p.clean()
	p.release.Stop()
}
