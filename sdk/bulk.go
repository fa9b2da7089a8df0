package sdk

import (
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// startBulk serves the host on the socket that the plugin has inherited from it,
// if there is one. Nobody else can reach that socket: the bytes of objects pass
// without TLS. It reports whether it does.
func (s *server) startBulk(register func(*grpc.Server)) bool {
	f := inherited(handshake.BulkEnv)
	if f == nil {
		return false
	}
	conn, err := net.FileConn(f) // its own descriptor, which the plugin's processes do not inherit
	_ = f.Close()
	if err != nil {
		return false
	}
	g := grpc.NewServer(s.options(handshake.BulkServerOptions())...)
	register(g)
	s.bulk.Store(g)
	go func() { _ = g.Serve(newSingle(conn)) }() // until stop
	return true
}

// A single is a net.Listener with one connection.
type single struct {
	conns chan net.Conn
	addr  net.Addr
	once  sync.Once
}

func newSingle(c net.Conn) *single {
	s := &single{conns: make(chan net.Conn, 1), addr: c.LocalAddr()}
	s.conns <- c
	return s
}

// Accept implements net.Listener.
func (s *single) Accept() (net.Conn, error) {
	if c, ok := <-s.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (s *single) Close() error {
	s.once.Do(func() { close(s.conns) })
	return nil
}

// Addr implements net.Listener.
func (s *single) Addr() net.Addr { return s.addr }
