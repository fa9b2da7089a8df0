//go:build unix

package launch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A tardy stream takes its time for every step.
type tardy struct {
	grpc.ClientStream
	ctx           context.Context
	send, receive time.Duration
}

func (s tardy) SendMsg(any) error { return s.spend(s.send, io.EOF) }
func (s tardy) RecvMsg(any) error {
	return s.spend(s.receive, status.Error(codes.Canceled, "cancelled"))
}

func (s tardy) spend(d time.Duration, cancelled error) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.ctx.Done():
		return cancelled
	}
}

// tardyPut begins a Put under a watchdog of a minute.
func tardyPut(t *testing.T, w *watchdog, send, receive time.Duration) grpc.ClientStream {
	t.Helper()
	open := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
		return tardy{ctx: ctx, send: send, receive: receive}, nil
	}
	s, err := w.stream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, nil, pluginpb.DestinationService_Put_FullMethodName, open)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var putA1 = &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{Name: "a/1"}}}

func TestWatchdogLetsASlowPluginWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog("p", time.Minute)
		s := tardyPut(t, w, 59*time.Second, 59*time.Second)
		for range 100 {
			if err := s.SendMsg(putA1); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.RecvMsg(nil); err != nil || !w.drain(t.Context()) {
			t.Errorf("end: %v", err)
		}
	})
}

// The time that the host takes is not the plugin's.
func TestWatchdogLetsASlowHostWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog("p", time.Minute)
		s := tardyPut(t, w, time.Second, time.Second)
		for range 3 {
			if err := s.SendMsg(putA1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) //nolint:forbidigo // takes no time here
		}
		if err := s.RecvMsg(nil); err != nil || !w.drain(t.Context()) {
			t.Errorf("end: %v", err)
		}
	})
}

// A host that was stopped for longer than a call may stand still knows nothing
// of what the plugin did meanwhile.
func TestWatchdogLetsAStoppedHostGoOn(t *testing.T) {
	for late, ended := range map[time.Duration]bool{0: true, time.Hour: false} {
		ctx, v := newWatchdog("p", time.Minute).keep(t.Context(), "Put")
		v.dog.calls++ // that end counts
		_ = v.during(func() error {
			v.mu.Lock()
			v.moved = time.Now().Add(-time.Minute - late)
			v.mu.Unlock()
			v.look()
			return nil
		})
		if (ctx.Err() != nil) != ended {
			t.Errorf("looked %v too late: %v", late, ctx.Err())
		}
		v.end()
	}
}

func TestWatchdogEndsWhatDoesNotMove(t *testing.T) {
	const want = "plugin p: Put of a/1: nothing has moved for 1m0s; the plugin is alive, but does nothing"
	for what, step := range map[string]func(grpc.ClientStream) error{
		"send":    func(s grpc.ClientStream) error { return s.SendMsg(putA1) },
		"receive": func(s grpc.ClientStream) error { return s.RecvMsg(nil) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatchdog("p", time.Minute)
			s := tardyPut(t, w, time.Second, time.Hour)
			if err := s.SendMsg(putA1); err != nil {
				t.Fatal(err)
			}
			if what == "send" {
				s.(*watchedStream).ClientStream = tardy{ctx: s.(*watchedStream).ClientStream.(tardy).ctx, send: time.Hour}
			}
			begin := time.Now()
			err := step(s)
			if err == nil || err.Error() != want || sdk.Hint(err) == "" || time.Since(begin) != time.Minute {
				t.Errorf("%s: %v, hint %q, after %v; want %s", what, err, sdk.Hint(err), time.Since(begin), want)
			}
			if !w.drain(t.Context()) {
				t.Errorf("%s: the call is still under way", what)
			}
		})
	}
}

func TestDrainWaitsForCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog("p", time.Minute)
		slow := func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			<-time.After(10 * time.Second)
			return nil
		}
		call := func(method string) error { return w.unary(t.Context(), method, nil, nil, nil, slow) }
		go func() { _ = call(pluginpb.DestinationService_Delete_FullMethodName) }()
		go func() { _ = call("/plugin.GRPCStdio/StreamStdio") }() // of go-plugin: not waited for
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if w.drain(short) {
			t.Error("drained while a call was under way")
		}
		if err := call(pluginpb.DestinationService_Delete_FullMethodName); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("call while it drains: %v; want fs.ErrClosed", err)
		}
		if err := call(pluginpb.MetaService_Close_FullMethodName); err != nil {
			t.Errorf("Close while it drains: %v", err)
		}
		for range 2 {
			if !w.drain(t.Context()) {
				t.Error("not drained after the last call")
			}
		}
	})
}

// The plugin runs, and answers keepalive, but none of its operations moves.
func TestIdleOperationFails(t *testing.T) {
	t.Parallel()
	p := start(t, "hostile", Options{IdleTimeout: 2 * time.Second})
	d := openDestination(t, p, nil)
	zeros := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	for what, operation := range map[string]func() error{
		"Put of stall": func() error { return d.Put(t.Context(), "stall", zeros) },
		"Get of stall": func() error {
			r, err := d.Get(t.Context(), "stall", 0)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		},
		"List of stall/":     func() error { _, err := listAll(d, "stall/"); return err },
		"Version of stall x": func() error { _, err := d.(sdk.Replacer).Version(t.Context(), "stall x"); return err },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			within(t, 20*time.Second, what, func() {
				err := operation()
				if err == nil || !strings.Contains(err.Error(), what+": nothing has moved for 2s") || sdk.Hint(err) == "" {
					t.Errorf("%s: %v", what, err)
				}
			})
		})
	}
}

// Close gives operations the time that Options.StopTimeout says.
func TestCloseWaitsForOperations(t *testing.T) {
	t.Parallel()
	p := start(t, "hostile", Options{StopTimeout: time.Minute})
	d := openDestination(t, p, nil)
	child := number(t, say(t.Context(), d, "fork"))
	ended := make(chan error)
	err := d.Put(t.Context(), "put", io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
		go func() { ended <- p.Close() }()
		var err error
		for err == nil { // until Close has begun
			err = d.Delete(t.Context(), "x")
		}
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Delete, while the process is being closed: %v; want fs.ErrClosed", err)
		}
		if p.runner.gone(2 * time.Second) { // that is more than the plugin's own grace
			t.Error("the plugin ended before the Put did")
		}
		return 0, io.EOF
	})))
	if err != nil {
		t.Errorf("Put, while the process is being closed: %v", err)
	}
	within(t, 20*time.Second, "Close", func() {
		if err := <-ended; err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	gone(t, 10*time.Second, p.Pid(), child)
}

func TestCloseCutsOffOperationsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "hostile", Options{StopTimeout: 500 * time.Millisecond})
	d := openDestination(t, p, nil)
	child := number(t, say(t.Context(), d, "fork"))
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- d.Put(t.Context(), "stall", io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
			close(begun)
			return 0, io.EOF
		})))
	}()
	<-begun
	within(t, 15*time.Second, "Close", func() { p.Close() })
	within(t, 15*time.Second, "the Put", func() {
		if err := <-ended; !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Put: %v; want fs.ErrClosed", err)
		}
	})
	gone(t, 10*time.Second, p.Pid(), child)
}
