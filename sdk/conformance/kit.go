package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Result tells whether one promise was kept.
type Result struct {
	Check    string        // the check's name
	Group    string        // what the promise is about, as in "list" or "life cycle"
	Profile  string        // the ability that the promise belongs to, as in "core" or "replace"
	Failures []string      // how it was broken; none: it was kept
	Skipped  string        // why it was not checked, if it was not
	Measured string        // what was found out besides, for people; mostly nothing
	Took     time.Duration // how long it took to find out
}

// OK reports whether the promise was checked and kept.
func (r Result) OK() bool { return r.Skipped == "" && len(r.Failures) == 0 }

// checkTime is how long one check may take, on the slowest storage, and
// stuckTime how much later it is given up.
var checkTime, stuckTime = 2 * time.Minute, 10 * time.Second

// A trial is one run of a check. Its methods may be called concurrently, except
// for those that end it.
type trial struct {
	ctx context.Context //nolint:containedctx // of one check

	mu       sync.Mutex
	failures []string
	skipped  string
	measured string
	cleanups []func()
}

// Errorf says how the promise is broken, and goes on.
func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < 20 {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
	}
}

// failed reports whether the promise is known to be broken.
func (t *trial) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// Fatalf says how the promise is broken, and ends the check.
func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf says why the promise cannot be checked, and ends the check.
func (t *trial) Skipf(format string, args ...any) {
	t.mu.Lock()
	t.skipped = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	runtime.Goexit()
}

// Cleanup has f called when the check is over.
func (t *trial) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// A check is one promise, and how to find out whether it is kept.
type check[S any] struct {
	group   string
	profile string
	name    string
	run     func(*trial, S)
}

// only returns the checks with these names, or all if there are none.
func only[S any](checks []check[S], names []string) []check[S] {
	if len(names) == 0 {
		return checks
	}
	return slices.DeleteFunc(checks, func(c check[S]) bool { return !slices.Contains(names, c.name) })
}

// try runs checks one after the other. A check that does not come back is left
// behind, and stuck is called for it.
func try[S any](ctx context.Context, checks []check[S], subject func(*trial) S, stuck func()) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		for _, c := range checks {
			if ctx.Err() != nil {
				return
			}
			r, finished := c.try(ctx, subject)
			if !finished {
				stuck()
			}
			if !yield(r) {
				return
			}
		}
	}
}

func (c check[S]) try(ctx context.Context, subject func(*trial) S) (r Result, finished bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	t := &trial{ctx: ctx}
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.cleanUp()
		c.run(t, subject(t))
	}()
	select {
	case <-done:
		finished = true
	case <-time.After(checkTime + stuckTime):
		t.Errorf("still not over after %v", checkTime)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Result{
		Check: c.name, Group: c.group, Profile: c.profile,
		Failures: t.failures, Skipped: t.skipped, Measured: t.measured, Took: time.Since(start),
	}, finished
}

func (t *trial) cleanUp() {
	for _, f := range t.cleanups {
		defer f()
	}
}

// prompt is how soon a plugin must hear that there is nothing more to come. It
// is promised within a second; a machine may be busy.
const prompt = 4 * time.Second

// within fails the check if f takes longer than d. It waits for f anyway.
func (t *trial) within(d time.Duration, what string, f func()) {
	start := time.Now()
	f()
	if took := time.Since(start); took > d {
		t.Errorf("%s: took %v, want at most %v", what, took.Round(time.Millisecond), d)
	}
}

const racerCount = 64

// racers runs f concurrently, 64 times.
func racers(f func(i int)) {
	var wg sync.WaitGroup
	for i := range racerCount {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// A gate lets the sources of all racers end at the same moment. A plugin need
// not serve them all at once, and so it opens after a while in any case.
type gate struct {
	width   int32 // how many are expected at once
	waiting atomic.Int32
	open    chan struct{}
}

// newGate is as wide as the plugin itself says.
func (p *place) newGate() *gate {
	width := racerCount
	if p.lab != nil {
		if limit := p.lab.shared(p.trial).Description().Limits.ConcurrentPuts; limit > 0 {
			width = min(width, limit)
		}
	}
	return &gate{width: int32(width), open: make(chan struct{})}
}

// source yields data, and waits before its end.
func (g *gate) source(data []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(data), readerFunc(func([]byte) (int, error) {
		if g.waiting.Add(1) == g.width {
			close(g.open)
		}
		select {
		case <-g.open:
		case <-time.After(2 * time.Second):
		}
		return 0, io.EOF
	}))
}
