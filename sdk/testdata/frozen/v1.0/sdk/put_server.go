package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

func (s *destinationServer) Put(stream pluginpb.DestinationService_PutServer) error {
	first, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("put that does not begin: %w", code.Error(err))
	}
	open := first.GetOpen()
	if open == nil {
		return fmt.Errorf("put that does not begin with open: %w", ErrInvalid)
	}
	version, err := s.put(open, stream)
	if err != nil {
		return code.Status(err, open.GetName())
	}
	return stream.SendAndClose(&pluginpb.PutResponse{Version: version})
}

// put gives the author a reader that ends only after a commit that matches, and
// a context that ends as soon as there can be none: an author who mistakes the
// reader's error for the end has it refused by the storage.
func (s *destinationServer) put(open *pluginpb.PutOpen, stream pluginpb.DestinationService_PutServer) (string, error) {
	if err := frame.CheckName(open.GetName()); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	r := &frame.Reader{
		Next:   func(sum *frame.Sum) (*pluginpb.Frame, error) { return nextFrame(stream, sum) },
		Failed: cancel,
	}
	defer r.Close()
	version, err := s.store(ctx, open, r)
	if err == nil && !r.Complete() {
		return "", errors.Join(errors.New("the plugin reports an object stored that was never committed"), r.Err())
	}
	return version, err
}

func (s *destinationServer) store(ctx context.Context, open *pluginpb.PutOpen, r io.Reader) (string, error) {
	switch open.GetCondition() {
	case pluginpb.Condition_CONDITION_CREATE_ONLY:
		d, err := instance[Destination](s.meta, open.GetInstance())
		if err != nil {
			return "", err
		}
		return "", d.Put(ctx, open.GetName(), r)
	case pluginpb.Condition_CONDITION_IF_VERSION:
		d, err := instance[Replacer](s.meta, open.GetInstance())
		if err != nil {
			return "", err
		}
		return d.Replace(ctx, open.GetName(), r, open.GetVersion())
	}
	return "", fmt.Errorf("put under the condition %v: %w", open.GetCondition(), ErrUnsupported)
}

// nextFrame returns io.EOF after a commit that matches and has nothing behind it.
func nextFrame(stream pluginpb.DestinationService_PutServer, sum *frame.Sum) (*pluginpb.Frame, error) {
	msg, err := stream.Recv()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the host ended the put without a commit")
	case err != nil:
		return nil, code.Error(err)
	case msg.GetFrame() != nil:
		return msg.GetFrame(), nil
	case msg.GetCommit() == nil:
		return nil, fmt.Errorf("put with a step that is neither frame nor commit: %w", ErrInvalid)
	}
	if err := sum.Match(msg.GetCommit().GetSize(), msg.GetCommit().GetCrc32C()); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("put that goes on after its commit"), code.Error(err))
	}
	return nil, io.EOF
}
