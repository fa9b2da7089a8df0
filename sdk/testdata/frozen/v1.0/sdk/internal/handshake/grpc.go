package handshake

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// MessageLimit is the size of the largest message, in both directions. A frame
// and its envelope are well below it. gRPC's own limits differ from side to side.
const MessageLimit = 2 << 20

// DialOptions are the host's. It asks an idle plugin for a sign of life, so that
// one that hangs fails a call instead of holding it up for ever.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(MessageLimit),
			grpc.MaxCallSendMsgSize(MessageLimit),
		),
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
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             5 * time.Second,
			PermitWithoutStream: true,
		}),
	}
}
