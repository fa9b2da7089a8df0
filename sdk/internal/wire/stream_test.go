package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const frameSize = 1 << 20

// pattern is what the frame at an offset carries.
func pattern(offset int64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%16d", offset), frameSize/16)
}

// lend puts the pattern into a buffer of the pool.
func lend(pool mem.BufferPool, offset int64) mem.BufferSlice {
	buf := pool.Get(frameSize)
	copy(*buf, pattern(offset))
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}
}

var errDamaged = errors.New("damaged")

// take checks a frame and frees it.
func take(f *Frame) error {
	defer f.Data.Free()
	if !bytes.Equal(f.Data.Materialize(), pattern(f.Offset)) {
		return fmt.Errorf("frame at %d: %w", f.Offset, errDamaged)
	}
	return nil
}

// A server sends and takes frames, and stops when it is told by a name.
type server struct {
	pluginpb.UnimplementedDestinationServiceServer
	pool mem.BufferPool
}

func (s *server) Put(stream pluginpb.DestinationService_PutServer) error {
	for n := 0; ; n++ {
		step := Step{Other: new(pluginpb.PutRequest)}
		err := stream.RecvMsg(&step)
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pluginpb.PutResponse{})
		}
		if err != nil {
			return err
		}
		if step.Frame == nil {
			if step.Other.(*pluginpb.PutRequest).GetOpen().GetName() == "early" {
				return stream.SendAndClose(&pluginpb.PutResponse{Version: "early"})
			}
			continue
		}
		if err := take(step.Frame); err != nil {
			return err
		}
	}
}

func (s *server) Get(req *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	for offset := int64(0); offset < req.GetOffset(); offset += frameSize {
		f := &Frame{Offset: offset, Data: lend(s.pool, offset)}
		err := stream.SendMsg(f)
		f.Data.Free()
		if err != nil {
			return err
		}
	}
	if req.GetName() == "fails" {
		return errors.New("fails")
	}
	return stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: &pluginpb.GetEnd{}}})
}

// connect serves and dials, with a pool for both ends that spoils what is freed.
// If every stream is complete, all of it must be freed in the end: of others,
// gRPC leaves what it has not sent and what nobody reads to the garbage collector.
func connect(t *testing.T, complete bool) (pluginpb.DestinationServiceClient, *wiretest.Poison) {
	t.Helper()
	pool := wiretest.NewPoison()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec), experimental.BufferPool(pool), grpc.WaitForHandlers(true))
	pluginpb.RegisterDestinationServiceServer(g, &server{pool: pool})
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec)),
		experimental.WithBufferPool(pool))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer func() {
			conn.Close()
			g.Stop()
			<-served
		}()
		if !complete {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := pool.Empty(ctx); err != nil {
			t.Error(err)
		}
	})
	return pluginpb.NewDestinationServiceClient(conn), pool
}

// putFrames sends frames until there are n or until one is not taken.
func putFrames(stream pluginpb.DestinationService_PutClient, pool mem.BufferPool, n int, before func(i int)) error {
	for i := range n {
		before(i)
		f := &Frame{Offset: int64(i) * frameSize, Data: lend(pool, int64(i)*frameSize)}
		err := stream.SendMsg(f)
		f.Data.Free() // gRPC holds on to it until it is sent
		if err != nil {
			return err
		}
	}
	return nil
}

func nothing(int) {}

func TestPutOverAConnection(t *testing.T) {
	svc, pool := connect(t, true)
	stream, err := svc.Put(t.Context())
	if err == nil {
		err = putFrames(stream, pool, 24, nothing)
	}
	if err == nil {
		_, err = stream.CloseAndRecv()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestPutThatIsCancelled(t *testing.T) {
	svc, pool := connect(t, false)
	for i := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := svc.Put(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = putFrames(stream, pool, 12, func(n int) {
			if n == i {
				go cancel() // while a frame is on its way
			}
		})
		cancel()
		if _, rerr := stream.CloseAndRecv(); rerr == nil || errors.Is(err, errDamaged) {
			t.Errorf("Put: %v, %v", err, rerr)
		}
	}
}

func TestPutThatIsAnsweredEarly(t *testing.T) {
	svc, pool := connect(t, false)
	for range 8 {
		stream, err := svc.Put(t.Context())
		if err == nil {
			err = stream.Send(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{Name: "early"}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = putFrames(stream, pool, 12, nothing) // io.EOF, as soon as the answer is there
		res, err := stream.CloseAndRecv()
		if err != nil || res.GetVersion() != "early" {
			t.Errorf("Put: %v, %v", res, err)
		}
	}
}

// get takes the frames of a Get, at most n.
func get(ctx context.Context, svc pluginpb.DestinationServiceClient, req *pluginpb.GetRequest, n int) (frames int, err error) {
	stream, err := svc.Get(ctx, req)
	if err != nil {
		return 0, err
	}
	for frames < n {
		step := Step{Other: new(pluginpb.GetResponse)}
		if err := stream.RecvMsg(&step); err != nil {
			return frames, err
		}
		if step.Frame == nil {
			return frames, nil
		}
		if err := take(step.Frame); err != nil {
			return frames, err
		}
		frames++
	}
	return frames, nil
}

func TestGetOverAConnection(t *testing.T) {
	svc, _ := connect(t, true)
	if n, err := get(t.Context(), svc, &pluginpb.GetRequest{Offset: 24 * frameSize}, 100); n != 24 || err != nil {
		t.Errorf("Get = %d frames, %v", n, err)
	}
	if n, err := get(t.Context(), svc, &pluginpb.GetRequest{Offset: 3 * frameSize, Name: "fails"}, 100); n != 3 || err == nil {
		t.Errorf("Get that fails = %d frames, %v", n, err)
	}
}

func TestGetThatIsGivenUp(t *testing.T) {
	svc, _ := connect(t, false)
	for i := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		n, err := get(ctx, svc, &pluginpb.GetRequest{Offset: 24 * frameSize}, i)
		cancel() // with frames on their way
		if n != i || err != nil {
			t.Errorf("Get = %d frames, %v", n, err)
		}
	}
}
