package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// An Attachment is a plugin that its author has started by hand, with the
// arguments "debug FILE", and that runs for as long as the author wants.
type Attachment struct {
	Kind string // as in a Description
	Name string
	Pid  int
}

// ReadAttachment returns what such a plugin has written to file.
func ReadAttachment(file string) (Attachment, error) {
	a, err := readAttachment(file)
	return Attachment{a.Kind, a.Name, a.Pid}, err
}

// readAttachment trusts nobody's file but this user's: whoever wrote it will be
// given secrets.
func readAttachment(file string) (a handshake.Attachment, err error) {
	info, err := os.Lstat(file)
	if errors.Is(err, os.ErrNotExist) {
		return a, sdk.WithHint(fmt.Errorf("%w", err), "the plugin writes it when it is started with: debug "+file)
	}
	if err != nil {
		return a, err
	}
	if err := mine(info); err != nil {
		return a, fmt.Errorf("%s: %w", file, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil || a.Network != "unix" || a.Address == "" || a.Name == "" {
		return a, sdk.WithHint(fmt.Errorf("%s is not from a plugin: %w", file, sdk.ErrInvalid), "the plugin writes it when it is started with: debug "+file)
	}
	if a.Protocol != handshake.Protocol {
		return a, fmt.Errorf("%s is from a plugin that speaks version %d of Brock's protocol, this host speaks %d: update the older of the two",
			file, a.Protocol, handshake.Protocol)
	}
	if dir, err := os.Lstat(filepath.Dir(a.Address)); err == nil {
		if err := mine(dir); err != nil {
			return a, fmt.Errorf("the plugin's directory %s: %w", filepath.Dir(a.Address), err)
		}
	}
	return a, nil
}

// attach connects to a plugin that runs already. Its Process never ends it.
func attach(ctx context.Context, path string, o Options) (*Process, error) { //nolint:contextcheck // the Process outlives ctx, which is for the start
	a, err := readAttachment(o.Reattach)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", filepath.Base(path), err)
	}
	p := &Process{name: filepath.Base(path), options: o, open: map[string]bool{}}
	p.runner = attachedRunner(path, a.Pid, &p.options)
	p.last.Store(rand.Int64N(math.MaxInt64 / 2)) //nolint:gosec // other hosts may have instances in the same process
	view := viewer{p.runner.log.safe, func() []sdk.Setting { return p.description.Settings }}
	if p.trace, err = newTracer(o.TraceDir, p.name, view); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	watched, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	p.stop = sync.OnceValue(func() error { return p.detach(stop, &watch) }) //nolint:contextcheck // as above
	if err := p.connectTo(ctx, a); err != nil {
		_ = p.Close() // the start's own error is the cause
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	watch.Go(func() { p.watchAttached(watched, a.Address) })
	return p, nil
}

// attachedRunner stands for a process that somebody else runs.
func attachedRunner(path string, pid int, o *Options) *runner {
	r := &runner{
		cmd:      &exec.Cmd{Path: path},
		log:      newLog(path, o),
		attached: pid,
		exited:   make(chan struct{}),
		drained:  make(chan struct{}),
		greeted:  make(chan struct{}),
	}
	r.stdout, r.greet = io.Pipe()
	close(r.drained)
	return r
}

func (p *Process) connectTo(ctx context.Context, a handshake.Attachment) error {
	if err := dial(ctx, a.Address); err != nil {
		return sdk.WithHint(
			fmt.Errorf("process %d, which wrote %s, cannot be reached any more: %w", a.Pid, p.options.Reattach, err),
			"start the plugin again with: debug "+p.options.Reattach)
	}
	options := append(
		handshake.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),                  // only this user can enter the socket's directory
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: math.MaxInt64}), // a debugger stops it for as long as it likes
	)
	var err error
	p.conn, err = grpc.NewClient("unix:"+a.Address, append(options, p.trace.dialOptions("debug")...)...)
	if err != nil {
		return err
	}
	start, cancel := context.WithTimeout(ctx, p.options.StartTimeout)
	defer cancel()
	err = p.describe(start)
	if err != nil && ctx.Err() == nil && start.Err() != nil {
		return sdk.WithHint(fmt.Errorf("process %d does not answer", a.Pid), "it may stand still in the debugger")
	}
	return err
}

func dial(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// watchAttached notices that the plugin is gone: nobody else will tell.
func (p *Process) watchAttached(ctx context.Context, address string) {
	defer close(p.runner.exited)
	for state := connectivity.Ready; ; state = p.conn.GetState() {
		if state != connectivity.Ready && ctx.Err() == nil && dial(ctx, address) != nil {
			p.runner.waitErr = errors.New("nobody listens at its socket")
			return
		}
		if state == connectivity.Idle {
			p.conn.Connect() // while it dies, the socket may outlive the connection
		}
		if !p.conn.WaitForStateChange(ctx, state) {
			p.runner.waitErr = fs.ErrClosed
			return
		}
	}
}

// detach leaves the plugin as it was found.
func (p *Process) detach(stop func(), watch *sync.WaitGroup) error {
	p.died.Store(p.runner.gone(0))
	p.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), p.options.StopTimeout)
	defer cancel()
	var err error
	if p.conn != nil {
		err = p.closeInstances(ctx)
		_ = p.conn.Close()
	}
	stop()
	watch.Wait()
	_ = p.runner.stdout.Close()
	return errors.Join(err, p.trace.finish())
}
