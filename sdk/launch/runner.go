package launch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	gorunner "github.com/hashicorp/go-plugin/runner"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// patience is how long a plugin may take for what is a matter of microseconds:
// to end after SIGTERM, to be gone after SIGKILL, to be reaped after its
// connection broke.
const patience = time.Second

// A runner is a plugin's process, as go-plugin wants to see one. A second
// process is a second runner.
type runner struct {
	cmd     *exec.Cmd
	path    string            // of the plugin's file, whatever is executed of it
	digest  [sha256.Size]byte // that it must have; any if zero
	execute imager            // makes of its bytes what is executed
	image   *os.File          // inherited by the plugin: what it executes; nil if that has a path
	env     []string          // that every plugin sees
	given   []string          // that only this one sees
	dir     string            // holds the socket; nobody else may enter
	lock    *os.File          // of dir; nil if there are no locks
	log     *log
	execErr error

	attached int // process id of a plugin that somebody else runs; 0 if this is ours

	mu    sync.Mutex
	pid   int  // 0 before the start
	ended bool // before the start, there will be none

	liveness *os.File      // while the plugin can read from its other end, the host lives
	exited   chan struct{} // closed when the process has been reaped
	drained  chan struct{} // closed when all it wrote has been read
	waitErr  error         // valid once exited

	noBulk bool
	bulk   *net.UnixConn // over which it may serve the bytes of objects; nil if there is none
	lanes  *net.UnixConn // over which it may be passed lanes; nil if there is none

	stdout   *io.PipeReader // the plugin's greeting, and nothing else
	greet    *io.PipeWriter
	greeting error // why it was refused; valid once greeted
	greeted  chan struct{}
}

var _ gorunner.Runner = (*runner)(nil)

func newRunner(path string, o *Options) (*runner, error) {
	dir, lock, err := makeRunDir()
	if err != nil {
		return nil, err
	}
	r := &runner{
		cmd:     exec.Command(inPlace(path)), //nolint:gosec,noctx // it is the user's plugin, and outlives every context
		path:    path,
		digest:  o.Digest,
		execute: o.execute,
		env:     append(allowed(os.Environ()), handshake.LogLevelEnv+"="+o.LogLevel.String()),
		given:   o.Env,
		noBulk:  o.NoBulk,
		dir:     dir,
		lock:    lock,
		log:     newLog(path, o),
		exited:  make(chan struct{}),
		drained: make(chan struct{}),
		greeted: make(chan struct{}),
	}
	r.log.hideEnv(r.env, r.given)
	r.stdout, r.greet = io.Pipe()
	return r, nil
}

// inPlace keeps a path without a directory from being looked for in PATH.
func inPlace(path string) string {
	if filepath.Base(path) == path {
		return "." + string(filepath.Separator) + path
	}
	return path
}

// prepare takes over the variables by which go-plugin speaks to the plugin.
func (r *runner) prepare(env []string) {
	r.cmd.Env = slices.Concat(r.env, r.given, env)
	r.cmd.Env = append(r.cmd.Env,
		handshake.SocketDirEnv+"="+r.dir,
		handshake.LivenessEnv+"="+strconv.Itoa(livenessFD))
}

// Start implements gorunner.Runner.
func (r *runner) Start(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return context.Canceled
	}
	ours, theirs, err := pipes(3)
	defer closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return err
	}
	stdout, stderr := ours[0], ours[1]
	r.cmd.Stdout, r.cmd.Stderr, r.liveness = theirs[0], theirs[1], ours[2]
	isolate(r.cmd, theirs[2])
	sockets, err := r.shareSockets()
	defer closeAll(sockets)
	if err != nil {
		closeAll(ours)
		return err
	}
	if r.execErr = r.pin(); r.execErr != nil {
		closeAll(ours)
		return r.execErr
	}
	started := make(chan error)
	go r.run(started, stdout, stderr)
	r.execErr = <-started
	if r.image != nil {
		_ = r.image.Close() // the plugin has its own
	}
	if r.execErr != nil {
		closeAll(ours)
		return r.execErr
	}
	go r.read(stdout, stderr)
	return nil
}

// run stays on one thread from the start of the process to its end: the kernel
// tells the plugin that its parent has died when that *thread* has.
func (r *runner) run(started chan<- error, outputs ...*os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := slackly(r.cmd.Start)
	if err == nil {
		r.pid = r.cmd.Process.Pid
		noCores(r.pid)
	}
	started <- err
	if err != nil {
		return
	}
	r.waitErr = r.cmd.Wait()
	signalGroup(r.pid, syscall.SIGKILL) // what the plugin has started
	for _, f := range outputs {         // and what has left its group, but holds its outputs
		_ = f.SetReadDeadline(time.Now().Add(patience))
	}
	close(r.exited)
}

// read reads all that the plugin writes.
func (r *runner) read(stdout, stderr *os.File) {
	defer close(r.drained)
	defer closeAll([]*os.File{stdout, stderr})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.log.read(bufio.NewReaderSize(stderr, lineLimit))
	}()
	b := bufio.NewReaderSize(stdout, lineLimit)
	line, _, err := readLine(b)
	if err == nil {
		r.greeting = checkGreeting(r.log.safe(string(line)))
	}
	close(r.greeted)
	if err == nil && r.greeting == nil {
		_, _ = fmt.Fprintln(r.greet, string(line))
	}
	_ = r.greet.Close()
	r.log.read(b) // the plugin must not block, and the host may want to know
	<-done
	r.log.flush()
}

// Wait implements gorunner.Runner.
func (r *runner) Wait(context.Context) error {
	<-r.exited
	return r.waitErr
}

// Kill implements gorunner.Runner.
func (r *runner) Kill(context.Context) error {
	r.end()
	return nil
}

// end ends the process and its group, politely first. It returns soon in any
// case: a process that hangs in the kernel does not even end at SIGKILL.
func (r *runner) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if r.pid == 0 || r.gone(0) {
			return
		}
		signalGroup(r.pid, sig)
		r.gone(patience)
	}
}

// gone reports whether the process has ended, or does so within d.
func (r *runner) gone(d time.Duration) bool {
	return closedWithin(r.exited, d)
}

func closedWithin(c <-chan struct{}, d time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// cleanUp releases what the runner holds besides the process.
func (r *runner) cleanUp() {
	if r.pid != 0 {
		closedWithin(r.drained, 2*patience)
	}
	if r.liveness != nil {
		_ = r.liveness.Close()
	}
	for _, socket := range []*net.UnixConn{r.bulk, r.lanes} {
		if socket != nil {
			_ = socket.Close()
		}
	}
	_ = r.stdout.Close()
	_ = os.RemoveAll(r.dir)
	if r.lock != nil {
		_ = r.lock.Close()
	}
}

// Stdout implements gorunner.Runner.
func (r *runner) Stdout() io.ReadCloser { return r.stdout }

// Stderr implements gorunner.Runner. go-plugin gets to see no line of it.
func (r *runner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements gorunner.Runner.
func (r *runner) Name() string { return r.path }

// ID implements gorunner.Runner.
func (r *runner) ID() string {
	if r.pid == 0 {
		return "" // not started
	}
	return strconv.Itoa(r.pid)
}

// Diagnose implements gorunner.Runner. See explain.
func (r *runner) Diagnose(context.Context) string { return "" }

// PluginToHost implements gorunner.Runner.
func (*runner) PluginToHost(network, addr string) (string, string, error) { return network, addr, nil }

// HostToPlugin implements gorunner.Runner.
func (*runner) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }

// pipes makes n pipes: of all but the last we read, of the last they do.
func pipes(n int) (ours, theirs []*os.File, err error) {
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			return ours, theirs, fmt.Errorf("pipe: %w", err)
		}
		if i == n-1 {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	return ours, theirs, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
