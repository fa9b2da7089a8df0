package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/lane"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

func (d *destination) Put(ctx context.Context, name string, r io.Reader) error {
	_, err := d.put(ctx, r, &pluginpb.PutOpen{
		Instance:  d.id,
		Name:      name,
		Condition: pluginpb.Condition_CONDITION_CREATE_ONLY,
	})
	return err
}

func (d *destination) put(ctx context.Context, r io.Reader, open *pluginpb.PutOpen) (version string, err error) {
	if err := frame.CheckName(open.GetName()); err != nil {
		return "", err
	}
	if size, ok := sdk.SizeHint(r); ok {
		open.SizeHint = &size
	}
	if r, err = d.p.fitting(open.GetName(), r); err != nil {
		return "", err
	}
	if err := d.p.puts.Enter(ctx); err != nil {
		return "", err
	}
	defer d.p.puts.Leave()
	open.PutId = rand.Text()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a Put that fails half-way must not be committed
	stream, err := d.streams().Put(ctx, lane.Use())
	if err != nil {
		return "", d.p.fail(ctx, err)
	}
	if err := stream.Send(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: open}}); err != nil {
		return "", d.putError(ctx, stream, err)
	}
	buffers, release := lane.Buffers(stream)
	defer release()
	defer cancel() // before that, which waits for the plugin
	sum, readErr, sendErr := frame.Copy(r, buffers, func(f *wire.Frame) error { return stream.SendMsg(f) })
	if readErr != nil {
		abort(stream, cancel)
		return "", readErr
	}
	if sendErr != nil {
		return "", d.putError(ctx, stream, sendErr)
	}
	if err := ctx.Err(); err != nil { // a cancelled stream may still carry a commit
		return "", err
	}
	commit := &pluginpb.PutCommit{Size: sum.Size, Crc32C: sum.CRC32C}
	if err := stream.Send(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Commit{Commit: commit}}); err != nil {
		return "", d.putError(ctx, stream, err)
	}
	res, err := stream.CloseAndRecv()
	return res.GetVersion(), d.p.fail(ctx, err)
}

// abort ends a Put without a commit, and waits until the plugin has cleaned up,
// but not for long.
func abort(stream pluginpb.DestinationService_PutClient, cancel func()) {
	t := time.AfterFunc(5*time.Second, cancel)
	defer t.Stop()
	_, _ = stream.CloseAndRecv() // it fails: nothing was committed
}

// putError returns the reason for a failed Send, which gRPC keeps for Recv.
func (d *destination) putError(ctx context.Context, stream pluginpb.DestinationService_PutClient, err error) error {
	if errors.Is(err, io.EOF) {
		err = stream.RecvMsg(&pluginpb.PutResponse{})
	}
	if err == nil {
		return errors.New("plugin " + d.p.name + " reports an object stored before it was committed")
	}
	return d.p.fail(ctx, err)
}
