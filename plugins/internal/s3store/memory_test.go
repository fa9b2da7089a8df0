package s3store

import (
	"context"
	"sync"
	"testing"
)

// The memory waits for what is on its way, and for nothing else.
func TestMemory(t *testing.T) {
	m := &memory{limit: 4, ahead: 2}
	take := func() []byte {
		t.Helper()
		c, err := m.take(t.Context())
		if err != nil || len(c) != chunkSize {
			t.Fatalf("take = %d bytes, %v", len(c), err)
		}
		return c
	}
	var held [][]byte
	for range 6 { // more than the limit: nothing is on its way
		held = append(held, take())
	}
	if got := m.tryTake(1); got != nil {
		t.Errorf("tryTake above the limit = %d chunks", len(got))
	}
	m.send(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.take(ctx); err == nil {
		t.Error("take does not wait for what is on its way")
	}
	var wg sync.WaitGroup
	var got []byte
	wg.Go(func() { got, _ = m.take(t.Context()) })
	m.sent(held[:1]) // there are still too many, but nothing to wait for
	wg.Wait()
	if got == nil {
		t.Fatal("take waits for nothing")
	}
	held[0] = got
	m.give(held...)
	if m.used != 0 || len(m.idle) != m.limit {
		t.Errorf("%d chunks are used and %d idle, want 0 and %d", m.used, len(m.idle), m.limit)
	}
	ahead := m.tryTake(2)
	if len(ahead) != 2 || m.tryTake(1) != nil {
		t.Errorf("tryTake = %d chunks, and then more; want 2, and then none", len(ahead))
	}
	m.give(ahead...)
	m.clean()
	if len(m.idle) != 0 {
		t.Errorf("%d chunks are idle after all were given back", len(m.idle))
	}
	m.release.Stop()
}

// Many that take and send at once all get on, and all comes back.
func TestMemoryOfMany(t *testing.T) {
	m := &memory{limit: 10, ahead: 5}
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
					if c, err := m.take(ctx); err == nil {
						part = append(part, c)
					}
				}
				m.send(len(part))
				m.sent(part)
				m.give(m.tryTake(3)...)
				cancel()
			}
		})
	}
	wg.Wait()
	if m.used != 0 || m.sending != 0 || len(m.waiting) != 0 {
		t.Errorf("%d chunks are used, %d on their way, %d waited for; want none", m.used, m.sending, len(m.waiting))
	}
	m.clean()
	m.release.Stop()
}
