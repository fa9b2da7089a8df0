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
	"github.com/brock-backup/brock/sdk/internal/lane"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/socket"
)

// shareSockets makes the sockets whose other ends the plugin inherits, and returns
// those ends, also when it fails.
func (r *runner) shareSockets() (theirs []*os.File, err error) {
	if r.noBulk {
		return nil, nil
	}
	for _, s := range []struct {
		env  string
		ours **net.UnixConn
	}{{handshake.BulkEnv, &r.bulk}, {handshake.LanesEnv, &r.lanes}} {
		ours, other, err := socket.Pair()
		if err != nil || other == nil {
			return theirs, err
		}
		*s.ours, theirs = ours, append(theirs, other)
		r.cmd.Env = append(r.cmd.Env, s.env+"="+strconv.Itoa(3+len(r.cmd.ExtraFiles)))
		r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, other)
	}
	return theirs, nil
}

// A bulk is the connection for the bytes of objects: over a socket that only the
// plugin has inherited, and that has no name by which anybody else could reach
// it. Therefore it needs no TLS, which would cost twice as much as all else.
//
// Once it is broken it stays so. All calls take the other connection then.
type bulk struct {
	conn   *grpc.ClientConn
	lanes  *lane.Near                   // nil if the plugin does not know them
	socket atomic.Pointer[net.UnixConn] // until it is dialed
	broken atomic.Bool
}

// connectBulk uses the socket if the plugin serves it, and closes it otherwise.
func (p *Process) connectBulk(served bool) error {
	inherited := p.runner.bulk
	if inherited == nil {
		return nil
	}
	if !served {
		return errors.Join(inherited.Close(), p.runner.lanes.Close())
	}
	b := &bulk{lanes: lane.NewNear(p.runner.lanes)}
	b.socket.Store(inherited)
	options := append(handshake.BulkDialOptions(), grpc.WithContextDialer(b.dial))
	options = append(options, p.dog.dialOptions()...)
	options = append(options, p.trace.dialOptions("bulk")...)
	conn, err := grpc.NewClient("passthrough:///bulk", append(options, b.lanes.DialOption())...)
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
		b.breaks()
		return nil, errors.New("the plugin's socket for objects is closed")
	}
	return &bulkSocket{socket, b}, nil
}

type bulkSocket struct {
	net.Conn
	bulk *bulk
}

// Read implements net.Conn.
func (s *bulkSocket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.bulk.breaks()
	}
	return n, err
}

// breaks ends the lanes, too: whoever waits for one would not see that its stream
// has ended.
func (b *bulk) breaks() {
	b.broken.Store(true)
	b.lanes.Close()
}

func (b *bulk) close() {
	if b != nil {
		_ = b.conn.Close() // it has no other reason than to be closed already
		b.lanes.Close()
	}
}

// streams is where the bytes of objects pass.
func (d *destination) streams() pluginpb.DestinationServiceClient {
	if b := d.p.bulk; b != nil && !b.broken.Load() {
		return pluginpb.NewDestinationServiceClient(b.conn)
	}
	return d.svc
}
