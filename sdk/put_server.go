package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/wire"
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
	if err := s.puts.Enter(ctx); err != nil { // a host that keeps to the limits never waits
		return "", err
	}
	defer s.puts.Leave()
	r := s.newPutReader(open, stream, cancel)
	defer r.Close()
	version, err := s.store(ctx, open, r)
	if err != nil {
		return s.commits.replay(open, r, err)
	}
	if !r.Complete() {
		return "", errors.Join(errors.New("the plugin reports an object stored that was never committed"), r.Err())
	}
	s.commits.add(open, r.sum, version)
	return version, nil
}

// A putReader is what an author reads an object from.
type putReader struct {
	frame.Reader
	hint *int64
	sum  frame.Sum // of all frames, once it is complete
}

func (s *destinationServer) newPutReader(
	open *pluginpb.PutOpen, stream pluginpb.DestinationService_PutServer, failed func(error),
) *putReader {
	limit := s.meta.description.Limits.ObjectSize
	r := &putReader{hint: open.SizeHint}
	r.Failed = failed
	r.Next = func(sum *frame.Sum) (*wire.Frame, error) {
		if limit > 0 && sum.Size > limit {
			return nil, fmt.Errorf("%s is too large, %d bytes are possible: %w", open.GetName(), limit, ErrInvalid)
		}
		f, err := nextFrame(stream, sum)
		r.sum = *sum
		return f, err
	}
	return r
}

// SizeHint is what the function SizeHint looks for.
func (r *putReader) SizeHint() (int64, bool) {
	if r.hint == nil || *r.hint < 0 {
		return 0, false
	}
	return *r.hint, true
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
func nextFrame(stream pluginpb.DestinationService_PutServer, sum *frame.Sum) (*wire.Frame, error) {
	msg := new(pluginpb.PutRequest)
	step := wire.Step{Other: msg}
	err := stream.RecvMsg(&step)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the host ended the put without a commit")
	case err != nil:
		return nil, code.Error(err)
	case step.Frame != nil:
		return step.Frame, nil
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
