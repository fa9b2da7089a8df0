package lane

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Use has a call take a lane if there is one. Its frames are sent as wire.Frames
// and received as wire.Steps.
func Use() grpc.CallOption { return use{} }

type use struct{ grpc.EmptyCallOption }

// A Near is the host's end of what all calls of one connection have in common.
// It may be nil: then there are no lanes.
type Near struct {
	pass     *net.UnixConn
	memories sync.Pool

	mu     sync.Mutex
	last   uint64
	open   map[*lane]bool
	closed bool
}

// NewNear returns the end of a plugin that serves lanes, or nil if it does not:
// it has said so before it described itself, and was given the socket's other
// end.
func NewNear(pass *net.UnixConn) *Near {
	if pass == nil || !greeted(pass) {
		return nil
	}
	return &Near{pass: pass, open: map[*lane]bool{}}
}

// DialOption is of the connection. It comes behind those that want to see every
// message.
func (n *Near) DialOption() grpc.DialOption { return grpc.WithChainStreamInterceptor(n.stream) }

func (n *Near) stream(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	l, id := n.lane(opts)
	if l == nil {
		return open(ctx, desc, cc, method, opts...)
	}
	context.AfterFunc(ctx, func() { n.end(l) }) // whoever opens a stream ends its context
	s, err := open(metadata.AppendToOutgoingContext(ctx, key, id), desc, cc, method, opts...)
	if err != nil {
		n.end(l)
		return nil, err
	}
	return &nearStream{s, l, desc.ClientStreams}, nil
}

// lane returns the near end of a new one, and its number, or nil if there is none.
func (n *Near) lane(opts []grpc.CallOption) (*lane, string) {
	wanted := false
	for _, o := range opts {
		if _, ok := o.(use); ok {
			wanted = true
		}
	}
	if n == nil || !wanted {
		return nil, ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ""
	}
	n.last++
	conn, err := handOver(n.pass, n.last)
	if err != nil {
		return nil, "" // the stream does it
	}
	l := newLane(conn, &n.memories)
	n.open[l] = true
	return l, strconv.FormatUint(n.last, 10)
}

func (n *Near) end(l *lane) {
	n.mu.Lock()
	delete(n.open, l)
	n.mu.Unlock()
	l.close()
}

// Close closes all lanes: the connection is broken, and its streams know why.
func (n *Near) Close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	_ = n.pass.Close()
	for l := range n.open {
		l.close()
	}
}

// A nearStream is a stream with a lane.
type nearStream struct {
	grpc.ClientStream
	lane  *lane
	sends bool // frames; otherwise it receives them
}

// Context implements grpc.ClientStream: see Buffers.
func (s *nearStream) Context() context.Context {
	return context.WithValue(s.ClientStream.Context(), contextKey{}, s.lane)
}

// SendMsg implements grpc.ClientStream. If the lane breaks, RecvMsg says why.
func (s *nearStream) SendMsg(m any) error {
	failed := false
	err := s.lane.send(m, func(m any) error {
		err := s.ClientStream.SendMsg(m)
		failed = err != nil
		return err
	})
	if err != nil && !failed {
		return io.EOF
	}
	return err
}

// CloseSend implements grpc.ClientStream.
func (s *nearStream) CloseSend() error {
	if s.sends && !s.lane.ended {
		s.lane.ended = true
		_ = s.lane.conn.CloseWrite() // it was broken if that fails
	}
	return s.ClientStream.CloseSend()
}

// RecvMsg implements grpc.ClientStream.
func (s *nearStream) RecvMsg(m any) error { return s.lane.receive(m, s.ClientStream.RecvMsg) }
