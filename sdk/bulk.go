package sdk

import (
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/lane"
)

// startBulk serves the host on the socket that the plugin has inherited from it,
// if there is one. Nobody else can reach that socket: the bytes of objects pass
// without TLS. It reports whether it does.
func (s *server) startBulk(register func(*grpc.Server)) bool {
	conn := unixConn(handshake.BulkEnv)
	if conn == nil {
		return false
	}
	options := handshake.BulkServerOptions()
	if lanes := lane.NewFar(unixConn(handshake.LanesEnv)); lanes != nil {
		options = append(options, lanes.ServerOption())
	}
	g := grpc.NewServer(s.options(options)...)
	register(g)
	s.bulk.Store(g)
	go func() { _ = g.Serve(newSingle(conn)) }() // until stop
	return true
}

// unixConn returns the socket that the plugin has inherited under the number in a
// variable, or nil.
func unixConn(env string) *net.UnixConn {
	f := inherited(env)
	if f == nil {
		return nil
	}
	conn, err := net.FileConn(f) // its own descriptor, which the plugin's processes do not inherit
	_ = f.Close()
	if err != nil {
		return nil
	}
	socket, _ := conn.(*net.UnixConn)
	return socket
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
