package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brock-backup/brock/sdk"
)

// Load is what a benchmark does to a destination.
type Load struct {
	Objects  int
	Size     int64 // of one object
	Parallel int   // how many are under way at once

	Plugin int                             // process id of the plugin, whose CPU time and memory are measured; 0 if it is unknown
	Moved  func(phase string, bytes int64) // is told now and then how far a phase is; may be nil
}

// A Phase is one kind of work, and what it took.
type Phase struct {
	Name      string  `json:"phase"` // "put", "list", "get" or "delete"
	Objects   int     `json:"objects"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	HostCPU   float64 `json:"host_cpu_seconds"`
	PluginCPU float64 `json:"plugin_cpu_seconds"` // negative if it is unknown
	PluginRSS int64   `json:"plugin_peak_bytes"`  // of memory, since the plugin started; 0 if it is unknown
}

// BenchPrefix begins the names of all objects that a benchmark stores.
const BenchPrefix = "brock-bench-"

// Bench measures how fast objects are stored, listed, read and deleted. What it
// has stored is removed in any case; if that fails, the error says so.
func Bench(ctx context.Context, d sdk.Destination, load Load) ([]Phase, error) {
	b := &bench{Load: load, d: d, prefix: BenchPrefix + strings.ToLower(rand.Text()) + "/"}
	_, _ = rand.Read(b.block[:]) // it never fails
	phases, err := b.run(ctx)
	if !b.deleted {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if left := b.delete(clean); left != nil {
			err = errors.Join(err, fmt.Errorf("objects whose names begin with %s may be left behind: %w", b.prefix, left))
		}
	}
	return phases, err
}

// A bench is one benchmark.
type bench struct {
	Load
	d       sdk.Destination
	prefix  string
	block   [1 << 20]byte // what objects consist of
	moved   atomic.Int64
	deleted bool
}

func (b *bench) run(ctx context.Context) ([]Phase, error) {
	var phases []Phase
	for _, p := range []struct {
		name  string
		bytes int64
		work  func(context.Context) error
	}{
		{"put", int64(b.Objects) * b.Size, b.put},
		{"list", 0, b.list},
		{"get", int64(b.Objects) * b.Size, b.get},
		{"delete", 0, b.delete},
	} {
		phase := Phase{Name: p.name, Objects: b.Objects, Bytes: p.bytes, PluginCPU: -1}
		stop := b.tell(p.name)
		began, host, plugin := time.Now(), hostCPU(), processCPU(b.Plugin)
		err := p.work(ctx)
		phase.Seconds, phase.HostCPU = time.Since(began).Seconds(), (hostCPU() - host).Seconds()
		if now := processCPU(b.Plugin); now >= plugin && plugin >= 0 {
			phase.PluginCPU = (now - plugin).Seconds()
		}
		phase.PluginRSS = peakMemory(b.Plugin)
		stop()
		if err != nil {
			return phases, fmt.Errorf("%s: %w", p.name, err)
		}
		phases = append(phases, phase)
	}
	b.deleted = true
	return phases, nil
}

// tell says every second how far a phase is, until stop is called.
func (b *bench) tell(phase string) (stop func()) {
	b.moved.Store(0)
	if b.Moved == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			b.Moved(phase, b.moved.Load())
			select {
			case <-t.C:
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func (b *bench) name(i int) string { return fmt.Sprintf("%s%06d", b.prefix, i) }

// each does something to every object.
func (b *bench) each(ctx context.Context, do func(ctx context.Context, name string) error) error {
	g, all := errgroup.WithContext(ctx)
	g.SetLimit(b.Parallel)
	for i := range b.Objects {
		if all.Err() != nil {
			break
		}
		g.Go(func() error { return do(all, b.name(i)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (b *bench) put(ctx context.Context) error {
	return b.each(ctx, func(ctx context.Context, name string) error {
		return b.d.Put(ctx, name, &counted{b, io.LimitReader(&blocks{b.block[:], 0}, b.Size)})
	})
}

func (b *bench) get(ctx context.Context) error {
	return b.each(ctx, func(ctx context.Context, name string) error {
		r, err := b.d.Get(ctx, name, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, &counted{b, r})
		if err == nil && n != b.Size {
			err = fmt.Errorf("%s: %d bytes came back of %d", name, n, b.Size)
		}
		return err
	})
}

func (b *bench) list(ctx context.Context) error {
	n := 0
	for _, err := range b.d.List(ctx, b.prefix) {
		if err != nil {
			return err
		}
		n++
	}
	if n != b.Objects {
		return fmt.Errorf("%d objects are listed of %d", n, b.Objects)
	}
	return nil
}

func (b *bench) delete(ctx context.Context) error { return b.each(ctx, b.d.Delete) }

// blocks repeats one block for ever.
type blocks struct {
	block []byte
	at    int
}

func (r *blocks) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// counted counts what passes.
type counted struct {
	b *bench
	r io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.b.moved.Add(int64(n))
	return n, err
}

// WriteTo implements io.WriterTo: that the bytes are copied once more, in small
// pieces, is no part of what is measured.
func (c *counted) WriteTo(w io.Writer) (int64, error) { return io.Copy(counting{c.b, w}, c.r) }

// counting counts what passes.
type counting struct {
	b *bench
	w io.Writer
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.b.moved.Add(int64(n))
	return n, err
}
