package launch

import (
	"context"
	"crypto/tls"
	"errors"
	"os/exec"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	gorunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/mtls"
)

const service = handshake.Service

// config is that of go-plugin. Its own logger and its own parser of standard
// error, which panics at a line of an unexpected shape, have nothing to do:
// the runner does both.
func (p *Process) config() *plugin.ClientConfig {
	c := &plugin.ClientConfig{
		HandshakeConfig:  handshake.Config,
		Plugins:          plugin.PluginSet{service: dialer{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		Logger:           hclog.NewNullLogger(),
		StartTimeout:     p.options.StartTimeout,
		SyncStdout:       p.runner.log.writer(),
		SyncStderr:       p.runner.log.writer(),
		MaxPort:          1, // Windows: any port
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.runner.dir},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (gorunner.Runner, error) {
			p.runner.prepare(cmd.Env)
			return p.runner, nil
		},
	}
	c.GRPCDialOptions = slices.Concat(handshake.DialOptions(), p.dog.dialOptions(), p.trace.dialOptions("control"),
		[]grpc.DialOption{grpc.WithTransportCredentials(mtls.Client(func() *tls.Config { return c.TLSConfig }))})
	return c
}

// A dialer dispenses the bare connection.
type dialer struct{ plugin.NetRPCUnsupportedPlugin }

func (dialer) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host does not serve")
}

func (dialer) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}
