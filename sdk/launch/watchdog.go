package launch

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A watchdog knows the calls to one process that are under way. It ends those in
// which nothing moves: keepalive finds a plugin that does not run, but not one
// that runs and does nothing. It lets no call begin once the process is being
// closed.
type watchdog struct {
	plugin string
	limit  time.Duration

	mu      sync.Mutex
	calls   int           // under way
	closing bool          // none begins any more
	quiet   chan struct{} // closed when none begins, and none is under way
}

func newWatchdog(plugin string, limit time.Duration) *watchdog {
	return &watchdog{plugin: plugin, limit: limit, quiet: make(chan struct{})}
}

// watched are the calls that are ours: go-plugin has some that last as long as
// the process.
func (w *watchdog) watched(method string) bool {
	return strings.HasPrefix(method, "/brock.plugin.v1.")
}

// begin counts a call, unless it comes too late. What is open may be closed
// until the end.
func (w *watchdog) begin(method string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing && method != pluginpb.MetaService_Close_FullMethodName {
		return fmt.Errorf("plugin %s: %w", w.plugin, fs.ErrClosed)
	}
	w.calls++
	return nil
}

func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	w.settle()
}

// drain lets no call begin any more, and reports whether all came to their end
// before ctx did.
func (w *watchdog) drain(ctx context.Context) bool {
	w.mu.Lock()
	w.closing = true
	w.settle()
	w.mu.Unlock()
	return wait(ctx, w.quiet)
}

func (w *watchdog) settle() {
	if w.closing && w.calls == 0 && !closedWithin(w.quiet, 0) {
		close(w.quiet)
	}
}

// dialOptions put the calls of a connection under the watchdog.
func (w *watchdog) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(w.unary), grpc.WithChainStreamInterceptor(w.stream)}
}

func (w *watchdog) unary(ctx context.Context, method string, req, res any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !w.watched(method) {
		return invoke(ctx, method, req, res, cc, opts...)
	}
	if err := w.begin(method); err != nil {
		return err
	}
	ctx, v := w.keep(ctx, method)
	defer v.end()
	v.about(req)
	return v.during(func() error { return invoke(ctx, method, req, res, cc, opts...) })
}

func (w *watchdog) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if !w.watched(method) {
		return open(ctx, desc, cc, method, opts...)
	}
	if err := w.begin(method); err != nil {
		return nil, err
	}
	ctx, v := w.keep(ctx, method)
	s := &watchedStream{vigil: v, answers: desc.ServerStreams}
	err := v.during(func() (err error) {
		s.ClientStream, err = open(ctx, desc, cc, method, opts...)
		return err
	})
	if err != nil {
		v.end()
		return nil, err
	}
	context.AfterFunc(ctx, v.end) // who has seen enough of a stream asks no more
	return s, nil
}

// A watchedStream is a stream whose every step the watchdog sees.
type watchedStream struct {
	grpc.ClientStream
	vigil   *vigil
	answers bool // more than once
}

func (s *watchedStream) SendMsg(m any) error {
	s.vigil.about(m)
	return s.vigil.during(func() error { return s.ClientStream.SendMsg(m) })
}

func (s *watchedStream) RecvMsg(m any) error {
	err := s.vigil.during(func() error { return s.ClientStream.RecvMsg(m) })
	if err != nil || !s.answers {
		s.vigil.end()
	}
	return err
}

// A vigil is kept over one call, but only while the host waits for the plugin:
// a host that has nothing to send, or does not read on, is not the plugin's
// fault.
type vigil struct {
	dog    *watchdog
	method string
	cancel context.CancelFunc
	timer  *time.Timer
	once   sync.Once

	mu      sync.Mutex
	name    string    // of the object, once known
	waiting int       // steps under way
	moved   time.Time // the last of them, or its beginning
	late    bool
}

func (w *watchdog) keep(ctx context.Context, method string) (context.Context, *vigil) {
	ctx, cancel := context.WithCancel(ctx)
	v := &vigil{dog: w, method: path.Base(method), cancel: cancel}
	v.mu.Lock() // the timer may be early
	defer v.mu.Unlock()
	v.timer = time.AfterFunc(w.limit, v.look)
	return ctx, v
}

// about notes which object a request names.
func (v *vigil) about(req any) {
	name := ""
	switch r := req.(type) {
	case *pluginpb.PutRequest:
		name = r.GetOpen().GetName()
	case *pluginpb.ListRequest:
		name = r.GetPrefix()
	case interface{ GetName() string }:
		name = r.GetName()
	}
	if name != "" {
		v.mu.Lock()
		v.name = " of " + name
		v.mu.Unlock()
	}
}

// during is a step for which the plugin is needed.
func (v *vigil) during(step func() error) error {
	v.mu.Lock()
	if v.waiting++; v.waiting == 1 {
		v.moved = time.Now()
		v.timer.Reset(v.dog.limit)
	}
	v.mu.Unlock()
	err := step()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moved = time.Now()
	if v.waiting--; v.waiting == 0 {
		v.timer.Stop()
	}
	if v.late && err != nil {
		return v.err()
	}
	return err
}

// look is what the timer does. It may come too late to have been stopped. If it
// comes too late altogether, the host itself has stood still, because somebody
// has stopped it, and has not seen what the plugin did meanwhile.
func (v *vigil) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.waiting == 0 {
		return
	}
	left := v.dog.limit - time.Since(v.moved)
	if left < -patience {
		v.moved, left = time.Now(), v.dog.limit
	}
	if left > 0 {
		v.timer.Reset(left)
		return
	}
	v.late = true
	v.cancel()
}

func (v *vigil) err() error {
	return sdk.WithHint(
		fmt.Errorf("plugin %s: %s%s: nothing has moved for %v; the plugin is alive, but does nothing", v.dog.plugin, v.method, v.name, v.dog.limit),
		"what it waits for may hang; brock plugin doctor tries that step by step")
}

func (v *vigil) end() {
	v.once.Do(func() {
		v.timer.Stop()
		v.cancel()
		v.dog.end()
	})
}
