package conformance

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/brock-backup/brock/sdk/internal/frame"
)

const (
	speedSize = 64 << 20
	speedMost = 60 // processor seconds per GiB; a thing that is slower hangs
)

// speed measures what a Put and a Get cost, both processes together, beside what
// a socket alone costs at the same time.
func speed(t *trial, p *place) {
	t.needProc()
	size := int64(speedSize)
	process := p.lab.own(t)
	if limit := process.Description().Limits.ObjectSize; limit > 0 {
		size = min(size, limit)
	}
	d, err := process.OpenDestination(t.ctx, p.lab.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	p.dst = d
	perGiB := func(seconds float64) float64 { return seconds * (1 << 30) / float64(size) }
	cost := func(f func()) (cpuPerGiB, rate float64) {
		start, ours, theirs := time.Now(), spent(), cpu(process.Pid())
		f()
		took := time.Since(start).Seconds()
		return perGiB(spent() - ours + (cpu(process.Pid()) - theirs).Seconds()), float64(size) / took / 1e6
	}
	put, putRate := cost(func() {
		if err := d.Put(t.ctx, p.root+"speed", endless(int(size), func() error { return io.EOF })); err != nil {
			t.Fatalf("Put: %v", err)
		}
	})
	get, getRate := cost(func() {
		r, err := d.Get(t.ctx, p.root+"speed", 0)
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); n != size || err != nil {
			t.Errorf("Get: %d bytes, %v", n, err)
		}
	})
	raw, rawRate := cost(func() { rawSocket(t, size) })
	t.measure("put %.2f CPU-s/GiB, %.0f MB/s; get %.2f CPU-s/GiB, %.0f MB/s; a bare socket %.2f CPU-s/GiB, %.0f MB/s",
		put, putRate, get, getRate, raw, rawRate)
	for what, c := range map[string]float64{"Put": put, "Get": get} {
		if c > max(speedMost, 100*raw) {
			t.Errorf("%s costs %.1f CPU seconds per GiB, a bare socket %.2f", what, c, raw)
		}
	}
}

// rawSocket sends as much over a socket, within this process.
func rawSocket(t *trial, size int64) {
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatalf("socket: %v", err)
	}
	defer os.RemoveAll(dir)
	l, err := new(net.ListenConfig).Listen(t.ctx, "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatalf("socket: %v", err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, frame.Size)
		for sent := int64(0); sent < size; sent += int64(len(buf)) {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	c, err := new(net.Dialer).DialContext(t.ctx, "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatalf("socket: %v", err)
	}
	defer c.Close()
	buf := make([]byte, frame.Size)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// measure says what was found out besides whether the promise was kept.
func (t *trial) measure(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.measured = fmt.Sprintf(format, args...)
}
