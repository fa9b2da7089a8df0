package handshake

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// serve connects a host's options with a server's.
func serve(t *testing.T, host []grpc.DialOption, plugin ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer(plugin...)
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	pluginpb.RegisterDestinationServiceServer(s, refusing{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///plugin", append(host,
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.Dial() }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Why the server has options: this is what a host's keepalive gets without them.
// Where it does not any more, they may go.
func TestStockServerCutsOffAnIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, DialOptions())
		stream, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = stream.Recv()
		if took := time.Since(begin); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "too_many_pings") || took > time.Minute {
			t.Errorf("an idle stream ends with %v after %v, connection %v", err, took, conn.GetState() == connectivity.Ready)
		}
	})
}

// refusing refuses before it has read anything.
type refusing struct {
	pluginpb.UnimplementedDestinationServiceServer
}

func (refusing) Put(pluginpb.DestinationService_PutServer) error {
	return status.Error(codes.PermissionDenied, "the cause")
}

// Why a failed Send is followed by a Recv.
func TestSendHidesItsCause(t *testing.T) {
	stream, err := pluginpb.NewDestinationServiceClient(serve(t, DialOptions(), ServerOptions()...)).Put(t.Context())
	for err == nil {
		err = stream.Send(&pluginpb.PutRequest{})
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("Send: %v; want io.EOF", err)
	}
	if err := stream.RecvMsg(&pluginpb.PutResponse{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("Recv: %v; want the cause", err)
	}
}
