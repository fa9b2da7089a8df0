package launch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/lane"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

func (d *destination) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := frame.CheckName(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("offset %d of %s: %w", offset, name, sdk.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := d.streams().Get(ctx, &pluginpb.GetRequest{Instance: d.id, Name: name, Offset: offset}, lane.Use())
	if err != nil {
		err = d.p.fail(ctx, err) // before ctx ends: that would be taken for the caller's
		cancel()
		return nil, err
	}
	g := &getReader{d: d, ctx: ctx, cancel: cancel, name: name, stream: stream}
	g.Next = g.next
	msg, err := stream.Recv()
	if err == nil && msg.GetInfo() == nil {
		err = fmt.Errorf("plugin %s: get %s: begins without info", d.p.name, name)
	}
	if err != nil {
		err = g.failed(err)
		cancel()
		return nil, err
	}
	return g, nil
}

// A getReader yields an object. It ends only after the plugin said that it sent
// everything, and what arrived is that.
type getReader struct {
	frame.Reader
	d      *destination
	ctx    context.Context //nolint:containedctx // of one Get
	cancel func()
	name   string
	stream pluginpb.DestinationService_GetClient
}

func (g *getReader) next(sum *frame.Sum) (*wire.Frame, error) {
	msg := new(pluginpb.GetResponse)
	step := wire.Step{Other: msg}
	err := g.stream.RecvMsg(&step)
	switch {
	case err != nil:
		return nil, g.failed(err)
	case step.Frame != nil && step.Frame.Data.Len() == 0: // or it might never end
		return nil, fmt.Errorf("plugin %s: get %s: a frame without a byte", g.d.p.name, g.name)
	case step.Frame != nil:
		return step.Frame, nil
	case msg.GetEnd() == nil:
		return nil, fmt.Errorf("plugin %s: get %s: neither frame nor end", g.d.p.name, g.name)
	}
	if err := sum.Match(msg.GetEnd().GetLength(), msg.GetEnd().GetCrc32C()); err != nil {
		return nil, fmt.Errorf("plugin %s: get %s: %w", g.d.p.name, g.name, err)
	}
	if _, err := g.stream.Recv(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("plugin %s: get %s: goes on after its end", g.d.p.name, g.name)
	}
	return nil, io.EOF
}

func (g *getReader) failed(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("plugin %s: get %s: the stream ended before the object did", g.d.p.name, g.name)
	}
	return g.d.p.fail(g.ctx, err)
}

// Close implements io.Closer.
func (g *getReader) Close() error {
	g.Reader.Close()
	g.cancel()
	return nil
}
