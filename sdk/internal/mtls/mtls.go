// Package mtls is TLS between a host and its plugin, each of which knows the
// other's certificate: go-plugin's AutoMTLS, over a socket that is read and
// written in portions.
//
// Package crypto/tls reads and writes a record at a time, 16 KiB. On a local
// socket each is a system call and wakes the other end: a fifth of what TLS takes
// there. A portion costs little more than a record.
package mtls

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// portion is how many bytes are read at once. What is written at once is what
// gRPC writes.
const portion = 256 << 10

// name is that of both ends in their certificates, as go-plugin has it.
const name = "localhost"

// Client returns the host's credentials. The configuration is asked for at every
// handshake: go-plugin completes it when the plugin has told its certificate.
func Client(config func() *tls.Config) credentials.TransportCredentials {
	return &client{credentials.NewTLS(&tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}), config}
}

type client struct {
	credentials.TransportCredentials
	config func() *tls.Config
}

func (c *client) Clone() credentials.TransportCredentials { return Client(c.config) }

func (c *client) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s := newSocket(conn)
	return s.under(credentials.NewTLS(c.config()).ClientHandshake(ctx, authority, s))
}

// Server returns the plugin's credentials.
func Server(config *tls.Config) credentials.TransportCredentials {
	return &server{credentials.NewTLS(config)}
}

type server struct {
	credentials.TransportCredentials
}

func (c *server) Clone() credentials.TransportCredentials {
	return &server{c.TransportCredentials.Clone()}
}

func (c *server) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s := newSocket(conn)
	return s.under(c.TransportCredentials.ServerHandshake(s))
}

// A socket hands on what was read ahead, and can hold back what is written.
type socket struct {
	net.Conn
	in *bufio.Reader

	mu   sync.Mutex // TLS may have to answer while it reads
	held bool
	out  []byte
}

func newSocket(c net.Conn) *socket { return &socket{Conn: c, in: bufio.NewReaderSize(c, portion)} }

// under returns the connection that a handshake made of the socket.
func (s *socket) under(secured net.Conn, info credentials.AuthInfo, err error) (net.Conn, credentials.AuthInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	return &conn{secured, s}, info, nil
}

func (s *socket) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held {
		return s.Conn.Write(p)
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *socket) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

func (s *socket) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.Conn.Write(s.out)
	s.out, s.held = s.out[:0], false
	return err
}

// A conn sends all records of one Write at once, and yields all that a portion
// holds in one Read: whoever waits for them is woken once.
type conn struct {
	net.Conn
	socket *socket
}

// maxRecord is how long a record is at most.
const maxRecord = 5 + 16<<10 + 256

// Read goes on while it need not wait: while more than a record is there, and one
// that carries no data, which are short.
func (c *conn) Read(p []byte) (n int, err error) {
	for {
		m, err := c.Conn.Read(p[n:])
		if n += m; err != nil || n == len(p) || c.socket.in.Buffered() < 2*maxRecord {
			return n, err
		}
	}
}

func (c *conn) Write(p []byte) (int, error) {
	c.socket.hold()
	n, err := c.Conn.Write(p)
	if released := c.socket.release(); err == nil && released != nil {
		return 0, released
	}
	return n, err
}
