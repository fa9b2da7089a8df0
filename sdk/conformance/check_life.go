package conformance

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/launch"
)

// stopped stops the plugin with SIGSTOP, as a debugger or a full terminal does.
func stopped(t *trial, l *lab) {
	t.needProc()
	p, err := launch.Start(t.ctx, l.Path, launch.Options{Env: l.Env, Stderr: l.stderr, StopTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	defer p.Close()
	v, err := l.open(t, p, l.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	all := family(p.Pid())
	t.stop(p.Pid())
	ctx, cancel := context.WithTimeout(t.ctx, 300*time.Millisecond)
	defer cancel()
	t.within(patience, "an operation whose deadline is over", func() {
		if err := use(ctx, v); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an operation of a plugin that is stopped: %v, want the deadline to be over", err)
		}
	})
	resume(p.Pid())
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for range 10 {
		if err := use(t.ctx, v); err != nil {
			t.Fatalf("an operation of a plugin that was stopped for a while: %v", err)
		}
		<-again.C
	}
	t.stop(p.Pid())
	t.within(patience, "Close of a plugin that is stopped", func() { _ = p.Close() })
	t.gone("after Close of a plugin that was stopped", all)
}

// stop stops a process. It takes the kernel a moment.
func (t *trial) stop(pid int) {
	stop(pid)
	if !eventually(patience, func() bool { return threadsAre(pid, "T") }) {
		t.Fatalf("the plugin does not stop at SIGSTOP")
	}
}

// use is something that needs an open plugin, and changes nothing.
func use(ctx context.Context, v any) error {
	switch v := v.(type) {
	case sdk.Destination:
		for _, err := range v.List(ctx, "kit-use/") {
			return err
		}
	case sdk.KeyProvider:
		_, err := v.Wrap(ctx, pattern(32))
		return err
	}
	return nil
}

// An ending ends a plugin while a Put is under way.
type ending struct {
	what string
	do   func(p *launch.Process)
}

var endings = []ending{
	{"a SIGTERM", func(p *launch.Process) { terminate(p.Pid()) }},
	{"a Close", func(p *launch.Process) { _ = p.Close() }},
}

// drains ends the plugin as a host, or an operator, does.
func drains(t *trial, l *lab) {
	t.needProc()
	for _, e := range endings {
		l.end(t, e)
	}
}

// killed ends the plugin as the kernel does when memory is short.
func killed(t *trial, l *lab) {
	t.needProc()
	l.end(t, ending{"a SIGKILL of the plugin", func(p *launch.Process) { kill(p.Pid()) }})
}

func (l *lab) end(t *trial, e ending) {
	p, err := launch.Start(t.ctx, l.Path, launch.Options{Env: l.Env, Stderr: l.stderr})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	defer p.Close()
	v, err := l.open(t, p, l.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	name := newRoot() + "/ended"
	var all []proc
	finish := func() error {
		all = family(p.Pid())
		e.do(p)
		t.gone("after "+e.what, all[:1])
		return io.ErrClosedPipe
	}
	if d, ok := v.(sdk.Destination); ok {
		if err := d.Put(t.ctx, name, endless(inFlight, finish)); err == nil {
			t.Errorf("a Put that was interrupted by %s succeeds", e.what)
		}
	} else {
		_ = finish()
	}
	t.gone("after "+e.what, all)
	if t.failed() {
		return
	}
	l.vacant(t, name, "after "+e.what)
}

// cancelHeard cancels many Puts whose sources hang, and looks from outside
// whether the plugin lets go of them.
func cancelHeard(t *trial, p *place) {
	process := p.lab.own(t)
	d, err := process.OpenDestination(t.ctx, p.lab.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	p.dst = d
	p.hang(d, 0)
	before, now := usageOf(process.Pid()), usage{} // with what it holds on to once it has worked
	for i, more := 1, 0; i < 4 && !p.failed(); i++ {
		p.hang(d, i)
		if eventually(lifeTime, func() bool { now = usageOf(process.Pid()); return now.files <= before.files+2 }) {
			continue
		}
		// Connections that are kept for later may come with any round; what is not let go, with each.
		if more++; more == 3 {
			t.Errorf("after Puts that were cancelled, the plugin has %d files open, more than after those before: it does not let go", now.files)
		}
		before = now
	}
	if p.failed() {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := d.Put(ctx, p.root+"afterwards", endless(1000, func() error { return io.EOF })); err != nil {
		t.Errorf("a Put after many that were cancelled: %v: they still hold up the others", err)
	}
	if objs := p.list(""); len(objs) != 1 {
		t.Errorf("after Puts that were cancelled, and one that was not, List = %v", objs)
	}
	start := time.Now()
	if err := process.Close(); err != nil || time.Since(start) > lifeTime {
		t.Errorf("Close after Puts that were cancelled: %v after %v", err, time.Since(start))
	}
}

// hang has sixteen Puts wait for their sources, and cancels them. A host that is
// limited has fewer at a time.
func (p *place) hang(d sdk.Destination, round int) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	const count = 16
	at := make(chan struct{}, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() {
			name := p.root + "hung/" + string(rune('a'+round)) + string(rune('a'+i))
			r := endless(frame.Size+1000, func() error {
				at <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			if err := d.Put(ctx, name, r); !errors.Is(err, context.Canceled) {
				p.Errorf("a Put that was cancelled: %v", err)
			}
		})
	}
	enough := count
	if limit := p.lab.shared(p.trial).Description().Limits.ConcurrentPuts; limit > 0 {
		enough = min(count, limit)
	}
	soon := time.After(patience)
	for i := range enough {
		select {
		case <-at:
			continue
		case <-soon:
			p.Errorf("%d of %d Puts at once do not get anywhere: those that were cancelled hold them up", enough-i, enough)
		}
		break
	}
	cancel()
	wg.Wait()
}
