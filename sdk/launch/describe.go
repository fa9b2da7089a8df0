package launch

import (
	"context"
	"errors"
	"fmt"
	"math"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/turnstile"
)

var kinds = map[pluginpb.Kind]string{
	pluginpb.Kind_KIND_DESTINATION:  handshake.Destination,
	pluginpb.Kind_KIND_KEY_PROVIDER: handshake.KeyProvider,
}

// describe is part of the start, because it is the first call: a plugin that
// does not do its half of the mutual TLS comes this far.
func (p *Process) describe(ctx context.Context) error {
	res, err := pluginpb.NewMetaServiceClient(p.conn).Describe(ctx, &pluginpb.DescribeRequest{})
	if status.Code(err) == codes.Unimplemented {
		return errors.New("does not speak brock.plugin.v1: it is a plugin of another program")
	}
	if err != nil {
		return errors.New("does not describe itself: " + p.runner.log.safe(code.Error(err).Error()))
	}
	if kinds[res.GetKind()] == "" {
		return fmt.Errorf("is of a kind unknown to this version of Brock (%d)", res.GetKind())
	}
	p.description = description(res)
	p.puts = turnstile.New(p.description.Limits.ConcurrentPuts)
	p.runner.log.settle(p.runner.env, p.runner.given, &p.description)
	return p.connectBulk(res.GetBulkSocket())
}

func description(res *pluginpb.DescribeResponse) sdk.Description {
	d := sdk.Description{
		Plugin: sdk.Plugin{
			Name:    res.GetName(),
			Version: res.GetVersion(),
			Doc:     res.GetDoc(),
			Schemes: res.GetSchemes(),
			Limits:  limits(res.GetLimits()),
			Env:     res.GetEnvironment(),
		},
		Kind:          kinds[res.GetKind()],
		Protocol:      handshake.Protocol,
		ProtocolMinor: int(res.GetProtocolMinor()),
		Capabilities:  handshake.DecodeCapabilities(res.GetCapabilities()),
	}
	for _, s := range res.GetSettings() {
		d.Settings = append(d.Settings, sdk.Setting{
			Name: s.GetName(), Type: s.GetType(), Required: s.GetRequired(), Secret: s.GetSecret(),
			Default: s.GetDefault(), Env: s.GetEnv(), Example: s.GetExample(), Doc: s.GetDoc(),
		})
	}
	return d
}

// limits takes a limit that makes no sense for none.
func limits(l *pluginpb.Limits) sdk.Limits {
	return sdk.Limits{
		ConcurrentPuts: int(min(l.GetConcurrentPuts(), math.MaxInt32)),
		ObjectSize:     max(0, l.GetObjectSize()),
		PartSize:       max(0, l.GetPartSize()),
	}
}
