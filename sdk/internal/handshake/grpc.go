package handshake

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"

	"github.com/brock-backup/brock/sdk/internal/wire"
)

// MessageLimit is the size of the largest message, in both directions. A frame
// and its envelope are well below it. gRPC's own limits differ from side to side.
const MessageLimit = 2 << 20

// A stream's window is what one end may send before the other has read: enough
// that neither waits for the other, and that threads are not woken for every
// piece. Whoever does not read makes his end keep 8 MiB per stream, and the other
// end two frames.
const (
	streamWindow     = 8 << 20
	connectionWindow = 16 << 20
	bufferSize       = 128 << 10 // of what is written to and read from a socket at once
)

// On the socket for objects, more of them at once means that the two ends wake
// each other less often. TLS hands out 16 KiB at a time, whatever is asked for.
const (
	bulkWrite = 256 << 10
	bulkRead  = 512 << 10
)

// BulkDialOptions are the host's for the socket for objects.
func BulkDialOptions() []grpc.DialOption {
	return append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0), // there is no second socket to wake up with
		grpc.WithReadBufferSize(bulkRead),
		grpc.WithWriteBufferSize(bulkWrite))
}

// BulkServerOptions are the plugin's for the socket for objects.
func BulkServerOptions() []grpc.ServerOption {
	return append(ServerOptions(), grpc.ReadBufferSize(bulkRead), grpc.WriteBufferSize(bulkWrite))
}

// DialOptions are the host's. It asks an idle plugin for a sign of life, so that
// one that hangs fails a call instead of holding it up for ever.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(MessageLimit),
			grpc.MaxCallSendMsgSize(MessageLimit),
			grpc.ForceCodecV2(wire.Codec),
		),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
		experimental.WithBufferPool(wire.Pool),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                10 * time.Second,
			Timeout:             3 * time.Second,
			PermitWithoutStream: true,
		}),
	}
}

// ServerOptions are the plugin's. With gRPC's own policy it would cut off a
// healthy host for asking every ten seconds.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MessageLimit),
		grpc.MaxSendMsgSize(MessageLimit),
		grpc.ForceServerCodecV2(wire.Codec),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
		experimental.BufferPool(wire.Pool),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             5 * time.Second,
			PermitWithoutStream: true,
		}),
	}
}
