package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// shareSocket makes the socket whose other end the plugin inherits, and returns
// that end.
func (r *runner) shareSocket() (*os.File, error) {
	if r.noBulk {
		return nil, nil //nolint:nilnil // there is none
	}
	ours, theirs, err := socketPair()
	if err != nil || theirs == nil {
		return nil, err
	}
	r.bulk = ours
	r.cmd.Env = append(r.cmd.Env, handshake.BulkEnv+"="+strconv.Itoa(3+len(r.cmd.ExtraFiles)))
	r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, theirs)
	return theirs, nil
}

// A bulk is the connection for the bytes of objects: over a socket that only the
// plugin has inherited, and that has no name by which anybody else could reach
// it. Therefore it needs no TLS, which would cost twice as much as all else.
//
// Once it is broken it stays so. All calls take the other connection then.
type bulk struct {
	conn   *grpc.ClientConn
	socket atomic.Pointer[net.Conn] // until it is dialed
	broken atomic.Bool
}

// connectBulk uses the socket if the plugin serves it, and closes it otherwise.
func (p *Process) connectBulk(served bool) error {
	socket := p.runner.bulk
	if socket == nil {
		return nil
	}
	if !served {
		return socket.Close()
	}
	b := new(bulk)
	b.socket.Store(&socket)
	options := append(handshake.BulkDialOptions(), grpc.WithContextDialer(b.dial))
	options = append(options, p.dog.dialOptions()...)
	conn, err := grpc.NewClient("passthrough:///bulk", append(options, p.trace.dialOptions("bulk")...)...)
	if err != nil {
		return fmt.Errorf("connection for objects: %w", err)
	}
	conn.Connect()
	b.conn = conn
	p.bulk = b
	return nil
}

func (b *bulk) dial(context.Context, string) (net.Conn, error) {
	socket := b.socket.Swap(nil)
	if socket == nil {
		b.broken.Store(true)
		return nil, errors.New("the plugin's socket for objects is closed")
	}
	return &bulkSocket{*socket, b}, nil
}

type bulkSocket struct {
	net.Conn
	bulk *bulk
}

// Read implements net.Conn.
func (s *bulkSocket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.bulk.broken.Store(true)
	}
	return n, err
}

func (b *bulk) close() {
	if b != nil {
		_ = b.conn.Close() // it has no other reason than to be closed already
	}
}

// streams is where the bytes of objects pass.
func (d *destination) streams() pluginpb.DestinationServiceClient {
	if b := d.p.bulk; b != nil && !b.broken.Load() {
		return pluginpb.NewDestinationServiceClient(b.conn)
	}
	return d.svc
}
