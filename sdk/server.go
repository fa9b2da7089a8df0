package sdk

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// A server is the gRPC server of a plugin, or two that serve the same. Errors
// become statuses here, and panics become errors.
type server struct {
	grpc  atomic.Pointer[grpc.Server]
	bulk  atomic.Pointer[grpc.Server] // nil if the plugin has inherited no socket
	calls sync.RWMutex                // read by each that is under way
	stdio func()
}

func (s *server) start(opts []grpc.ServerOption) *grpc.Server {
	s.stdio = keepStdio()
	s.grpc.Store(grpc.NewServer(s.options(append(opts, handshake.ServerOptions()...))...))
	return s.grpc.Load()
}

// options adds to those of a connection what both have in common.
func (s *server) options(opts []grpc.ServerOption) []grpc.ServerOption {
	return append(opts, grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
}

// stop cancels the calls under way.
func (s *server) stop() {
	for _, p := range []*atomic.Pointer[grpc.Server]{&s.bulk, &s.grpc} {
		if g := p.Load(); g != nil {
			g.Stop()
		}
	}
}

func (s *server) unary(ctx context.Context, req any, i *grpc.UnaryServerInfo, h grpc.UnaryHandler) (res any, err error) {
	s.stdio()
	s.calls.RLock()
	defer s.calls.RUnlock()
	defer func() { err = code.Status(err, nameOf(req)) }()
	defer recoverTo(&err, i.FullMethod)
	return h(ctx, req)
}

func (s *server) stream(srv any, stream grpc.ServerStream, i *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
	s.stdio()
	s.calls.RLock()
	defer s.calls.RUnlock()
	defer func() { err = code.Status(err, "") }()
	defer recoverTo(&err, i.FullMethod)
	return h(srv, stream)
}

// keepStdio returns what gives the process its standard error back at the first
// call: go-plugin sends what is written there through a stream of its own, and
// a crash loses the last of it. Standard output goes the same way, because
// nobody reads it after the handshake.
func keepStdio() func() {
	stderr := os.Stderr
	return sync.OnceFunc(func() { os.Stdout, os.Stderr = stderr, stderr })
}

// nameOf returns the name of the object that a request is about.
func nameOf(req any) string {
	if r, ok := req.(interface{ GetName() string }); ok {
		return r.GetName()
	}
	return ""
}

// recoverTo turns a panic into an error. It never shows the panic's value, which
// may be a secret, unless the runtime itself wrote it.
func recoverTo(err *error, method string) {
	v := recover()
	if v == nil {
		return
	}
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	*err = fmt.Errorf("panic in %s: %s", path.Base(method), what)
	fmt.Fprintf(os.Stderr, "[ERROR] %v\n%s", *err, debug.Stack())
}
