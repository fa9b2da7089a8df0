package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"google.golang.org/grpc/codes"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// lost are the codes with which gRPC reports a broken connection.
var lost = map[codes.Code]bool{codes.Unavailable: true, codes.Internal: true, codes.Unknown: true, codes.Canceled: true}

// fail returns the error of a call as the plugin meant it. If the plugin did not
// report it, something else went wrong, most likely the plugin itself: then the
// error tells how the process ended and what its last words were. Such an error
// is not sdk.ErrUnavailable, because no retry revives this Process.
func (p *Process) fail(ctx context.Context, err error) error {
	err = code.Error(err)
	var remote *code.Remote
	if !errors.As(err, &remote) {
		return err
	}
	remote.Text, remote.Tip = p.runner.log.safe(remote.Text), p.runner.log.safe(remote.Tip)
	if remote.Reported || ctx.Err() != nil {
		return remote
	}
	if p.closed.Load() && !p.died.Load() {
		return fmt.Errorf("plugin %s: %w", p.name, fs.ErrClosed)
	}
	if !lost[remote.Code] || p.answers(ctx) {
		return fmt.Errorf("plugin %s: %w", p.name, remote)
	}
	if p.runner.gone(0) {
		return fmt.Errorf("plugin %s: %w", p.name, p.runner.obituary("ended while it was in use"))
	}
	return p.giveUp(remote)
}

// answers reports whether the process lives and can be reached. Where the answer
// is no, the process has ended, or somebody has stopped it.
func (p *Process) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := pluginpb.NewMetaServiceClient(p.conn).Describe(ctx, &pluginpb.DescribeRequest{})
		answered <- err
	}()
	select {
	case <-p.runner.exited:
		return false
	case err := <-answered:
		if err != nil && ctx.Err() == nil {
			p.runner.gone(2 * patience) // it is on its way out
		}
		return err == nil
	}
}

// giveUp kills a process that lives, but that nobody can reach. Its calls have
// failed, or will.
func (p *Process) giveUp(remote *code.Remote) error {
	how := "stands still"
	if p.runner.attached == 0 {
		how = "does not answer any more, and is killed"
		if !p.stuck.Swap(true) {
			go p.runner.end()
		}
	}
	return sdk.WithHint(
		fmt.Errorf("plugin %s %s: %s%s", p.name, how, remote.Text, p.runner.words()),
		"it hangs, or somebody has stopped it")
}
