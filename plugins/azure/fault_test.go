package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// isCommit and isWhole recognise the requests that make an object visible.
func isCommit(r *http.Request) bool {
	return r.URL.Query().Get("comp") == "blocklist" && r.Method == http.MethodPut
}

func isWhole(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("comp") == ""
}

// Blocks are sent again when a third of all requests is turned away, and so is
// the list of them.
func TestBusy(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	data := pattern(20*minBlockSize + 1)
	for seed := range uint64(3) {
		f.Answer(0.3, seed+1, servers.Action{Status: 503, Header: http.Header{"X-Ms-Error-Code": {"ServerBusy"}}})
		name := fmt.Sprint("busy/", seed)
		put(t, d, name, data)
		if got := get(t, d, name); !bytes.Equal(got, data) {
			t.Errorf("Get has %d bytes, want %d", len(got), len(data))
		}
	}
}

// Connections break off every 150,000 bytes, in one direction and in the other.
func TestCuts(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	data := pattern(15 * minBlockSize)
	f.CutAfter(150_000, -1)
	put(t, d, "object", data)
	f.CutAfter(-1, 150_000)
	before := f.Requests()
	if got := get(t, d, "object"); !bytes.Equal(got, data) {
		t.Errorf("Get has %d bytes, want %d", len(got), len(data))
	}
	if n := f.Requests() - before; n < 7 {
		t.Errorf("Get took %d requests, want one for every 150,000 bytes", n)
	}
	r, err := d.Get(t.Context(), "object", 500_000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); !bytes.Equal(got, data[500_000:]) || err != nil {
		t.Errorf("Get from an offset has %d bytes, %v; want %d", len(got), err, len(data)-500_000)
	}
}

// An answer that is lost does not make a failure of what was done, nor a success
// of what somebody else did.
func TestLostAnswers(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	once := func(when func(*http.Request) bool) (lost *atomic.Int32) {
		lost = new(atomic.Int32)
		f.Do(func(r *http.Request) servers.Action {
			return servers.Action{Lose: when(r) && lost.CompareAndSwap(0, 1)}
		})
		return lost
	}
	for name, c := range map[string]struct {
		size int
		when func(*http.Request) bool
	}{"whole": {1000, isWhole}, "commit": {3 * minBlockSize, isCommit}} {
		t.Run(name, func(t *testing.T) {
			data := pattern(c.size)
			lost := once(c.when)
			put(t, d, name, data)
			if got := get(t, d, name); !bytes.Equal(got, data) || lost.Load() != 1 {
				t.Errorf("Get has %d bytes, and %d answers were lost", len(got), lost.Load())
			}
			version, err := d.Version(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			lost = once(c.when)
			data[0]++
			next, err := d.Replace(t.Context(), name, bytes.NewReader(data), version)
			if now, verr := d.Version(t.Context(), name); err != nil || verr != nil || now != next || next == version || lost.Load() != 1 {
				t.Errorf("Replace = %q, %v; then the version is %q, %v, and %d answers were lost", next, err, now, verr, lost.Load())
			}
			once(c.when)
			if err := d.Put(t.Context(), name, bytes.NewReader(data)); !errors.Is(err, sdk.ErrExist) {
				t.Errorf("Put of what is there: %v, want ErrExist", err)
			}
			once(c.when)
			if _, err := d.Replace(t.Context(), name, bytes.NewReader(data), version); !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("Replace of another version: %v, want ErrConflict", err)
			}
		})
	}
}

// A damager changes one byte of the first request that it is asked about.
type damager struct {
	http.RoundTripper
	when func(*http.Request) bool
	done atomic.Bool
}

func (d *damager) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.when(r) && d.done.CompareAndSwap(false, true) {
		r = r.Clone(r.Context())
		r.Body = &damaged{r.Body, false}
	}
	return d.RoundTripper.RoundTrip(r)
}

type damaged struct {
	io.ReadCloser
	done bool
}

func (d *damaged) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if n > 0 && !d.done {
		p[n/2] ^= 1
		d.done = true
	}
	return n, err
}

// What was damaged on its way is refused by the service, and sent again.
func TestDamageOnTheWay(t *testing.T) {
	p := onAzurite(t)
	for name, c := range map[string]struct {
		size int
		when func(*http.Request) bool
	}{
		"whole": {1000, isWhole},
		"block": {3 * minBlockSize, func(r *http.Request) bool { return r.URL.Query().Get("comp") == "block" }},
	} {
		t.Run(name, func(t *testing.T) {
			d := p.open(t)
			bad := &damager{RoundTripper: d.wire.conns, when: c.when}
			d.wire.conns = bad
			put(t, d, name, pattern(c.size))
			if got := get(t, d, name); !bytes.Equal(got, pattern(c.size)) || !bad.done.Load() {
				t.Errorf("Get has %d bytes that may be wrong; something was damaged: %v", len(got), bad.done.Load())
			}
		})
	}
}

// An object that is replaced while it is read does not change into the new one.
func TestReplacedDuringGet(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	old := pattern(8 * minBlockSize)
	put(t, d, "object", old)
	version, err := d.Version(t.Context(), "object")
	if err != nil {
		t.Fatal(err)
	}
	f.CutAfter(-1, 150_000)
	r, err := d.Get(t.Context(), "object", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := make([]byte, 1000)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(t).Replace(t.Context(), "object", bytes.NewReader(bytes.Repeat([]byte("x"), len(old))), version); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "was replaced while it was read") {
		t.Errorf("the rest: %v, want ErrUnavailable and why", err)
	}
	if got := append(first, rest...); !bytes.HasPrefix(old, got) {
		t.Errorf("%d bytes are not those of the object that was opened", len(got))
	}
}

// A server that is not there, and one that says nothing.
func TestOutOfReach(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	f.Refuse(true)
	if err := d.Put(t.Context(), "object", strings.NewReader("x")); !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Put: %v, want ErrUnavailable", err)
	}
	if _, err := d.Get(t.Context(), "object", 0); !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get: %v, want ErrUnavailable", err)
	}
	f.Refuse(false)
	put(t, d, "object", pattern(3*minBlockSize))
	f.BlackHole(true)
	for what, call := range map[string]func(context.Context) error{
		"Put":     func(ctx context.Context) error { return d.Put(ctx, "new", bytes.NewReader(pattern(3*minBlockSize))) },
		"Get":     func(ctx context.Context) error { _, err := d.Get(ctx, "object", 0); return err },
		"Delete":  func(ctx context.Context) error { return d.Delete(ctx, "object") },
		"Version": func(ctx context.Context) error { _, err := d.Version(ctx, "object"); return err },
		"List": func(ctx context.Context) (last error) {
			for _, last = range d.List(ctx, "") {
			}
			return last
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
			t.Errorf("%s: %v after %v, want the end of its context soon", what, err, took)
		}
	}
}

// A Put whose source fails does not wait for blocks that are under way.
func TestSourceFailsDuringSend(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	f.Do(func(r *http.Request) servers.Action {
		if r.URL.Query().Get("comp") == "block" {
			return servers.Action{Delay: time.Minute}
		}
		return servers.Action{}
	})
	broken := errors.New("the source broke")
	start := time.Now()
	err := d.Put(t.Context(), "object", io.MultiReader(bytes.NewReader(pattern(2*minBlockSize+1)), failing{broken}))
	if took := time.Since(start); !errors.Is(err, broken) || took > 10*time.Second {
		t.Errorf("Put: %v after %v, want the source's error at once", err, took)
	}
}

// A Put that is cancelled while its blocks are turned away ends at once.
func TestCancelDuringRetry(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	refused := make(chan struct{})
	var once sync.Once
	f.Do(func(r *http.Request) servers.Action {
		if r.URL.Query().Get("comp") != "block" {
			return servers.Action{}
		}
		once.Do(func() { close(refused) })
		return servers.Action{Status: 503, Header: http.Header{"Retry-After": {"60"}}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- d.Put(ctx, "object", bytes.NewReader(pattern(4*minBlockSize))) }()
	<-refused
	cancel()
	start := time.Now()
	if err := <-result; !errors.Is(err, context.Canceled) || time.Since(start) > 3*time.Second {
		t.Errorf("Put: %v after %v, want the end of its context soon", err, time.Since(start))
	}
	f.Pass()
	if got := names(t, d, ""); len(got) > 0 {
		t.Errorf("List = %q, want nothing", got)
	}
}

// A commit that is cancelled while its answer is awaited leaves nothing, though
// Azure has done it.
func TestCancelDuringCommit(t *testing.T) {
	p := onAzurite(t)
	for name, c := range map[string]struct {
		size int
		when func(*http.Request) bool
	}{"whole": {1000, isWhole}, "commit": {3 * minBlockSize, isCommit}} {
		t.Run(name, func(t *testing.T) {
			d := p.open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d.wire.conns = roundTrip(func(r *http.Request) (*http.Response, error) {
				next := http.DefaultTransport
				if !c.when(r) {
					return next.RoundTrip(r)
				}
				resp, err := next.RoundTrip(r)
				if err == nil {
					resp.Body.Close()
				}
				cancel() // it is done, and nobody has been told
				return nil, ctx.Err()
			})
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			if err := d.Put(ctx, name, bytes.NewReader(pattern(c.size))); !errors.Is(err, context.Canceled) {
				t.Errorf("Put: %v, want the end of its context", err)
			}
			if got := names(t, p.open(t), ""); len(got) > 0 {
				t.Errorf("List = %q, want nothing", got)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What somebody else commits under the same name throws the blocks of others
// away.
func TestOvertaken(t *testing.T) {
	p := onAzurite(t)
	d := p.open(t)
	src, reached, goOn := stopAt(io.EOF)
	result := make(chan error, 1)
	go func() { result <- d.Put(t.Context(), "object", src) }()
	<-reached
	other := p.open(t)
	put(t, other, "object", []byte("theirs"))
	goOn()
	if err := <-result; !errors.Is(err, sdk.ErrExist) {
		t.Errorf("a Put that was overtaken: %v, want ErrExist", err)
	}
	if got := get(t, d, "object"); string(got) != "theirs" {
		t.Errorf("Get = %q", got)
	}

	src, reached, goOn = stopAt(io.EOF)
	go func() { result <- d.Put(t.Context(), "brief", src) }()
	<-reached
	put(t, other, "brief", []byte("theirs"))
	if err := other.Delete(t.Context(), "brief"); err != nil {
		t.Fatal(err)
	}
	goOn()
	if err := <-result; err != nil && !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a Put whose blocks were thrown away: %v, want ErrUnavailable", err)
	} else if got := names(t, d, "brief"); (len(got) == 1) != (err == nil) {
		t.Errorf("Put: %v, and List = %q", err, got)
	}
}
