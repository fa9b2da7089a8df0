package lane

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A lane comes just before its call, which may have been cancelled meanwhile and never
// come: so many lanes wait for theirs, and so long.
const (
	maxUnclaimed  = 64
	unclaimedTime = 4 * time.Second
)

// A Far is the plugin's end of what all calls of one connection have in common.
// It may be nil: then there are no lanes.
type Far struct {
	pass     *net.UnixConn
	memories sync.Pool

	mu     sync.Mutex
	newest uint64                   // of those that came: they come in order
	came   map[uint64]*net.UnixConn // and nobody has asked for it
	wanted map[uint64]chan *net.UnixConn
	closed bool
}

// NewFar serves lanes over the socket that the plugin has inherited, and tells
// the host so. It is nil if there is no such socket.
func NewFar(pass *net.UnixConn) *Far {
	if pass == nil || greet(pass) != nil {
		return nil
	}
	f := &Far{pass: pass, came: map[uint64]*net.UnixConn{}, wanted: map[uint64]chan *net.UnixConn{}}
	go f.accept()
	return f
}

// ServerOption is of the connection.
func (f *Far) ServerOption() grpc.ServerOption { return grpc.ChainStreamInterceptor(f.stream) }

// accept takes lanes until the host is gone.
func (f *Far) accept() {
	for {
		id, conn, err := takeOver(f.pass)
		if err != nil {
			break
		}
		f.arrive(id, conn)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for id, c := range f.wanted {
		delete(f.wanted, id)
		close(c)
	}
}

func (f *Far) arrive(id uint64, conn *net.UnixConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest = id
	if c := f.wanted[id]; c != nil {
		delete(f.wanted, id)
		c <- conn
		return
	}
	f.came[id] = conn
	time.AfterFunc(unclaimedTime, func() { f.giveUp(id, conn) })
	if len(f.came) > maxUnclaimed {
		oldest := slices.Min(slices.Collect(maps.Keys(f.came)))
		_ = f.came[oldest].Close()
		delete(f.came, oldest)
	}
}

// giveUp closes a lane that nobody has asked for.
func (f *Far) giveUp(id uint64, conn *net.UnixConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.came[id] == conn {
		delete(f.came, id)
		_ = conn.Close()
	}
}

var errGone = errors.New("the lane of the call is gone")

// take waits for a lane: it was sent before the call was, over another socket.
func (f *Far) take(ctx context.Context, id uint64) (*net.UnixConn, error) {
	f.mu.Lock()
	conn := f.came[id]
	if conn != nil || id <= f.newest || f.closed {
		delete(f.came, id)
		f.mu.Unlock()
		if conn == nil {
			return nil, errGone
		}
		return conn, nil
	}
	c := make(chan *net.UnixConn, 1)
	f.wanted[id] = c
	f.mu.Unlock()
	select {
	case conn, ok := <-c:
		if !ok {
			return nil, errGone
		}
		return conn, nil
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.wanted, id)
	select {
	case conn, ok := <-c:
		if ok {
			_ = conn.Close()
		}
	default:
	}
	return nil, ctx.Err()
}

func (f *Far) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	named := metadata.ValueFromIncomingContext(ctx, key)
	if len(named) != 1 {
		return handle(srv, stream)
	}
	id, err := strconv.ParseUint(named[0], 10, 64)
	if err != nil {
		return status.Error(codes.InvalidArgument, "a lane without a number")
	}
	conn, err := f.take(ctx, id)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	l := newLane(conn, &f.memories)
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	return handle(srv, &farStream{stream, l})
}

// A farStream is a stream with a lane.
type farStream struct {
	grpc.ServerStream
	lane *lane
}

// Context implements grpc.ServerStream: see Buffers.
func (s *farStream) Context() context.Context {
	return context.WithValue(s.ServerStream.Context(), contextKey{}, s.lane)
}

// SendMsg implements grpc.ServerStream.
func (s *farStream) SendMsg(m any) error {
	err := s.lane.send(m, s.ServerStream.SendMsg)
	if ended := s.Context().Err(); err != nil && ended != nil {
		return status.FromContextError(ended).Err()
	}
	if broken := (*net.OpError)(nil); errors.As(err, &broken) { // the word that the call has ended is on its way
		return status.Error(codes.Canceled, "the host has closed the lane of the call")
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (s *farStream) RecvMsg(m any) error { return s.lane.receive(m, s.ServerStream.RecvMsg) }
