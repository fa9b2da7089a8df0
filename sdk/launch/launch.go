// Package launch starts plugins and supervises them. The host and the
// conformance kit use it; plugins do not.
//
// A plugin runs in a process group of its own, with its socket in a directory
// that only this user may enter, an environment of a few named variables, and
// /dev/null as standard input. It ends when its Process is closed, and also
// when the host is killed. Nothing that it writes or fails to do can stop the
// host: every line of its standard error is bounded, stripped of secrets and
// parsed defensively, and every wait for it has an end.
package launch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/turnstile"
)

// Options are how a plugin is run. The zero value is good.
type Options struct {
	Logger       hclog.Logger  // takes the plugin's log; default: none
	Env          []string      // NAME=value that this plugin may see besides the usual
	StartTimeout time.Duration // until it has described itself; default 10 s
	StopTimeout  time.Duration // until it is killed; default 3 s
	IdleTimeout  time.Duration // until a call fails in which nothing moves; default 5 min
	LogLevel     hclog.Level   // of what reaches Logger, which the plugin is told; default: Logger's, or Info
	Stderr       io.Writer     // takes a copy of what it writes to standard error, without secrets
	NoBulk       bool          // whether all bytes take the one connection with TLS, as on Windows
	TraceDir     string        // gets a file with every call, without secrets; default: none
	Reattach     string        // file of a plugin that runs already, instead of starting one: see Attachment

	// Digest, if not zero, pins the plugin: its file must have this SHA-256,
	// else the start is a ChangedError, and exactly the bytes that had it are
	// executed, whatever becomes of the file. They are in sealed memory on Linux;
	// elsewhere in a directory that only this user may enter.
	Digest [sha256.Size]byte

	execute imager // newImage, except in tests
}

func (o *Options) defaults() {
	if o.execute == nil {
		o.execute = newImage
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.LogLevel == hclog.NoLevel {
		o.LogLevel = cmp.Or(o.Logger.GetLevel(), hclog.Info)
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 3 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 5 * time.Minute
	}
}

// A Process is a plugin that runs. Its methods may be called concurrently.
type Process struct {
	name        string
	options     Options
	client      *plugin.Client
	runner      *runner
	dog         *watchdog
	conn        *grpc.ClientConn
	bulk        *bulk // nil if the plugin does not serve it
	description sdk.Description
	trace       *tracer
	puts        turnstile.Turnstile // as narrow as the plugin's limits

	last   atomic.Int64 // number of the newest instance
	mu     sync.Mutex
	open   map[string]bool // instances to close
	closed atomic.Bool
	died   atomic.Bool // by itself, before it was closed
	stuck  atomic.Bool // it does not answer, and is being killed
	stop   func() error
}

// Start runs the plugin at path and has it describe itself. The plugin runs
// until Close: ctx is for the start alone.
func Start(ctx context.Context, path string, o Options) (*Process, error) {
	o.defaults()
	if o.Reattach != "" {
		return attach(ctx, path, o)
	}
	p := &Process{name: filepath.Base(path), options: o, open: map[string]bool{}}
	p.dog = newWatchdog(p.name, o.IdleTimeout)
	p.stop = sync.OnceValue(p.end)
	var err error
	if p.runner, err = newRunner(path, &p.options); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	view := viewer{p.runner.log.safe, func() []sdk.Setting { return p.description.Settings }}
	if p.trace, err = newTracer(o.TraceDir, p.name, view); err == nil {
		err = p.start(ctx)
	}
	if err != nil {
		_ = p.Close() // the start's own error is the cause
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	return p, nil
}

// start is bounded by killing the process: go-plugin has steps that no context
// ends.
func (p *Process) start(ctx context.Context) error {
	start, cancel := context.WithTimeout(ctx, p.options.StartTimeout)
	defer cancel()
	defer context.AfterFunc(start, p.runner.end)()
	p.client = plugin.NewClient(p.config())
	err := p.connect()
	if err == nil {
		err = p.describe(start)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.runner.explain(err, start.Err() != nil)
}

func (p *Process) connect() error {
	rpc, err := p.client.Client()
	if err != nil {
		return err
	}
	conn, err := rpc.Dispense(service)
	if err != nil {
		return err
	}
	p.conn = conn.(*grpc.ClientConn)
	return nil
}

// Description is what the plugin says of itself.
func (p *Process) Description() sdk.Description { return p.description }

// Pid is the plugin's process id.
func (p *Process) Pid() int { return cmp.Or(p.runner.pid, p.runner.attached) }

// Stderr returns the last lines, up to 64, that the plugin wrote to standard
// error, without secrets.
func (p *Process) Stderr() []string { return p.runner.log.last() }

// Close lets no operation begin any more, waits for those under way, closes what
// was opened and ends the plugin, with all processes of its group. It takes
// little longer than Options.StopTimeout, whatever the plugin does: operations
// that do not end by then are cut off. A second Close does nothing, and returns
// what the first did.
func (p *Process) Close() error { return p.stop() }

func (p *Process) end() error {
	p.died.Store(p.runner.gone(0))
	p.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), p.options.StopTimeout)
	defer cancel()
	var err error
	if p.died.Load() || p.dog.drain(ctx) {
		err = p.closeInstances(ctx)
	} // else the plugin does it, when it gets the signal
	killed := make(chan struct{})
	go func() { // it waits for a plugin that is stopped, for ever
		if p.client != nil {
			p.client.Kill()
		}
		close(killed)
	}()
	select {
	case <-killed:
	case <-ctx.Done():
	}
	p.runner.end()
	select {
	case <-killed:
	case <-time.After(patience):
	}
	p.bulk.close()
	p.runner.cleanUp()
	return errors.Join(err, p.trace.finish())
}

func (p *Process) closeInstances(ctx context.Context) error {
	p.mu.Lock()
	ids := p.open
	p.open = nil
	p.mu.Unlock()
	var first error
	for id := range ids {
		_, err := pluginpb.NewMetaServiceClient(p.conn).Close(ctx, &pluginpb.CloseRequest{Instance: id})
		if err != nil && first == nil && !p.runner.gone(0) {
			first = p.fail(ctx, err)
		}
	}
	return first
}
