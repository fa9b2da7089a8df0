package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"google.golang.org/grpc/codes"

	"github.com/brock-backup/brock/sdk/internal/code"
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
	if lost[remote.Code] && p.runner.gone(patience) {
		return fmt.Errorf("plugin %s: %w", p.name, p.runner.obituary("ended while it was in use"))
	}
	return fmt.Errorf("plugin %s: %w", p.name, remote)
}
