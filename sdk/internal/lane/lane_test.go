//go:build unix

package lane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/socket"
	"github.com/brock-backup/brock/sdk/internal/wire"
	"github.com/brock-backup/brock/sdk/internal/wire/wiretest"
)

func TestMain(m *testing.M) {
	wire.Pool = wiretest.NewPoison()
	goleak.VerifyTestMain(m)
}

// A plugin returns what was put, and refuses what is called so.
type plugin struct {
	pluginpb.UnimplementedDestinationServiceServer
	object []byte
	ended  chan error // what became of a Get
}

func (p *plugin) Put(stream pluginpb.DestinationService_PutServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetOpen().GetName() == "refused" {
		return status.Error(codes.PermissionDenied, "refused")
	}
	r := &frame.Reader{Next: func(sum *frame.Sum) (*wire.Frame, error) {
		step := wire.Step{Other: new(pluginpb.PutRequest)}
		if err := stream.RecvMsg(&step); errors.Is(err, io.EOF) {
			return nil, status.Error(codes.Aborted, "no commit")
		} else if err != nil {
			return nil, err
		}
		if step.Frame != nil {
			return step.Frame, nil
		}
		c := step.Other.(*pluginpb.PutRequest).GetCommit()
		if err := sum.Match(c.GetSize(), c.GetCrc32C()); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}}
	if p.object, err = io.ReadAll(r); err != nil {
		return err
	}
	return stream.SendAndClose(&pluginpb.PutResponse{})
}

func (p *plugin) Get(_ *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) (err error) {
	defer func() { p.ended <- err }()
	if err := stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Info{Info: &pluginpb.GetInfo{}}}); err != nil {
		return err
	}
	buffers, release := Buffers(stream)
	defer release()
	sum, _, err := frame.Copy(bytes.NewReader(p.object), buffers, func(f *wire.Frame) error { return stream.SendMsg(f) })
	if err != nil {
		return err
	}
	end := &pluginpb.GetEnd{Length: sum.Size, Crc32C: sum.CRC32C}
	return stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: end}})
}

// A counter counts the bytes of messages that streams carry.
type counter struct{ bytes atomic.Int64 }

func (c *counter) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		c.bytes.Add(int64(in.Length))
	}
}
func (*counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*counter) HandleConn(context.Context, stats.ConnStats)                       {}

// A pair is a host and a plugin in one process.
type pair struct {
	svc     pluginpb.DestinationServiceClient
	plugin  *plugin
	near    *Near
	far     *Far
	carried counter // by streams, both ways
}

func inherited(t *testing.T, f *os.File) *net.UnixConn {
	t.Helper()
	c, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

func connect(t *testing.T) *pair {
	t.Helper()
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{plugin: &plugin{ended: make(chan error, 1)}, far: NewFar(inherited(t, theirs))}
	if p.near = NewNear(ours); p.near == nil || p.far == nil {
		t.Fatal("no lanes")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec), grpc.StatsHandler(&p.carried), p.far.ServerOption(), grpc.WaitForHandlers(true))
	pluginpb.RegisterDestinationServiceServer(g, p.plugin)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec)),
		grpc.WithStatsHandler(&p.carried), p.near.DialOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		p.near.Close()
		g.Stop()
		<-served
		_ = p.far.pass.Close()
	})
	p.svc = pluginpb.NewDestinationServiceClient(conn)
	return p
}

// put puts data in frames and commits it, if that is wanted.
func (p *pair) put(t *testing.T, name string, data []byte, commit bool) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := p.svc.Put(ctx, Use())
	if err != nil {
		return err
	}
	if err := stream.Send(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{Name: name}}}); err != nil {
		return err
	}
	buffers, release := Buffers(stream)
	defer release()
	defer cancel()
	sum, _, err := frame.Copy(bytes.NewReader(data), buffers, func(f *wire.Frame) error { return stream.SendMsg(f) })
	if err == nil && commit {
		err = stream.Send(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Commit{Commit: &pluginpb.PutCommit{Size: sum.Size, Crc32C: sum.CRC32C}}})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// get begins a Get, and returns what reads it.
func (p *pair) get(t *testing.T) (r *frame.Reader, cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := p.svc.Get(ctx, &pluginpb.GetRequest{}, Use())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetInfo() == nil {
		t.Fatal(m, err)
	}
	return &frame.Reader{Next: func(sum *frame.Sum) (*wire.Frame, error) {
		step := wire.Step{Other: new(pluginpb.GetResponse)}
		if err := stream.RecvMsg(&step); err != nil {
			return nil, err
		}
		if step.Frame != nil {
			return step.Frame, nil
		}
		end := step.Other.(*pluginpb.GetResponse).GetEnd()
		if err := sum.Match(end.GetLength(), end.GetCrc32C()); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}}, cancel
}

func pattern(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	return data
}

// The bytes of objects pass beside the streams, whatever their number.
func TestObjectsTakeLanes(t *testing.T) {
	for _, size := range []int{0, 1, frame.Size, 5*frame.Size + 17} {
		p := connect(t)
		data := pattern(size)
		if err := p.put(t, "object", data, true); err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		r, _ := p.get(t)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) || !bytes.Equal(p.plugin.object, data) {
			t.Errorf("Get = %d bytes, %v; want the %d that were put", len(got), err, size)
		}
		if n := p.carried.bytes.Load(); n == 0 || n > 1000 {
			t.Errorf("streams carried %d bytes for an object of %d; want little", n, size)
		}
	}
}

// A Put without a commit, and one that is refused at once, end as they do
// without lanes.
func TestPutThatEndsEarly(t *testing.T) {
	p := connect(t)
	for name, want := range map[string]codes.Code{"object": codes.Aborted, "refused": codes.PermissionDenied} {
		for _, size := range []int{0, 1, 30 * frame.Size} {
			if err := p.put(t, name, pattern(size), false); status.Code(err) != want {
				t.Errorf("Put of %d bytes: %v; want %v", size, err, want)
			}
		}
	}
	if err := p.put(t, "object", pattern(1), true); err != nil {
		t.Errorf("Put afterwards: %v", err)
	}
}

// A plugin whose bytes nobody takes any more is told so.
func TestGetThatIsGivenUp(t *testing.T) {
	p := connect(t)
	p.plugin.object = pattern(30 * frame.Size)
	r, cancel := p.get(t)
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-p.plugin.ended; status.Code(err) != codes.Canceled {
		t.Errorf("the plugin's Get = %v; want that it was cancelled", err)
	}
	r.Close()
}

// Whoever waits for a lane does not do so longer than there is a connection.
func TestConnectionThatBreaks(t *testing.T) {
	p := connect(t)
	p.plugin.object = pattern(30 * frame.Size)
	r, cancel := p.get(t)
	p.near.Close()
	n, err := io.Copy(io.Discard, r)
	if err == nil {
		t.Errorf("Get = %d bytes and no error", n)
	}
	cancel()
	<-p.plugin.ended
}

// A plugin that was written with another SDK says nothing, and is given none.
func TestPluginWithoutLanes(t *testing.T) {
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	if NewNear(ours) != nil || NewNear(nil) != nil || NewFar(nil) != nil {
		t.Error("there are lanes")
	}
	var none *Near
	if conn, _ := none.lane([]grpc.CallOption{Use()}); conn != nil {
		t.Error("there is a lane")
	}
	none.Close()
}

// Lanes of calls that never come are not kept for ever, and a call that comes
// too late is told.
func TestUnclaimed(t *testing.T) {
	p := connect(t)
	ids := map[string]*net.UnixConn{}
	for range maxUnclaimed + 1 {
		l, id := p.near.lane([]grpc.CallOption{Use()})
		ids[id] = l.conn
	}
	if _, err := ids["1"].Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // waits until all have come
		t.Errorf("the oldest: %v; want its end", err)
	}
	if c, err := p.far.take(t.Context(), 1); !errors.Is(err, errGone) {
		t.Errorf("take of the oldest = %v, %v", c, err)
	}
	for id := range uint64(maxUnclaimed) {
		c, err := p.far.take(t.Context(), id+2)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// A frame that was damaged is found out, and so is one that is too large.
func TestDamage(t *testing.T) {
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	from, to := newLane(ours, new(sync.Pool)), newLane(inherited(t, theirs), new(sync.Pool))
	defer to.conn.Close()
	f := new(frame.Sum).Next(mem.BufferSlice{mem.SliceBuffer("some"), mem.SliceBuffer(" data")})
	f.CRC32C++
	if err := from.write(f); err != nil {
		t.Fatal(err)
	}
	got, err := to.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(frame.Sum).Accept(got); err == nil || string(got.Data.Materialize()) != "some data" {
		t.Errorf("Accept of %q with a wrong checksum: no error", got.Data.Materialize())
	}
	got.Data.Free()
	go func() {
		_ = from.write(&wire.Frame{Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, frame.Size+1))}})
	}()
	if f, err := to.read(); err == nil {
		t.Errorf("a frame of %d bytes: no error", f.Data.Len())
	}
}

// A lane whose call never comes does not stay.
func TestLaneWithoutACall(t *testing.T) {
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	f, conn := &Far{came: map[uint64]*net.UnixConn{}}, inherited(t, theirs)
	f.arrive(1, conn)
	f.giveUp(1, conn)
	if _, err := f.take(t.Context(), 1); !errors.Is(err, errGone) {
		t.Errorf("a call that comes too late gets %v", err)
	}
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the other end reads %v, want that it was closed", err)
	}
}
