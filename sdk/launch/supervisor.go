package launch

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/brock-backup/brock/sdk"
)

// A State is what a Supervisor's plugin is doing.
type State string

// The states of a plugin.
const (
	Idle        State = "idle"        // nobody has asked for it yet, or its Supervisor is closed
	Starting    State = "starting"    // until it has described itself
	Ready       State = "ready"       // it runs
	Backoff     State = "backoff"     // it crashed; what is asked of it next starts it again, after a delay
	Quarantined State = "quarantined" // it crashed too often, and is not started any more
)

// A Supervisor keeps one plugin running: it starts the plugin when that is
// first needed, and again after a crash. Its methods, and those of what it
// opens, may be called concurrently.
//
// A crash fails the operations that were under way, with an error that tells
// how the process ended and what its last words were. They are not repeated:
// whoever began them knows whether they may be. The next operation starts the
// plugin again, waits for it, opens what it needs with the same settings, and
// goes on as if nothing had happened.
//
// A first start that fails, fails what asked for it, and the next operation
// tries once more. Between two starts lies a delay that doubles with every
// crash, from a tenth of a second on, until the plugin has lived for 10 s. After
// the seventh crash in a row, or the third in more than 30 s, the plugin is
// quarantined: every operation fails at once, and says why. So is a plugin that
// describes itself differently after a restart, because the host has acted upon
// what it said at first.
type Supervisor struct {
	path    string
	name    string
	options Options
	starts  context.Context //nolint:containedctx // ends waits and starts when the Supervisor is closed
	cancel  func()
	stop    func() error
	lives   sync.WaitGroup

	mu          sync.Mutex
	state       State
	observe     func(State) // for tests
	backoff     backoff
	until       time.Time // before that there is no start
	life        *life     // the present one; nil if there is none
	err         error     // why there will be none any more
	description *sdk.Description
	restarts    uint64
	tail        []string // what the last process wrote to standard error
}

// A life is one of the plugin's, from the wait for its start to the end of its
// process.
type life struct {
	up   chan struct{} // closed once there is a process, or none to come
	over chan struct{} // closed once its end is known to the Supervisor

	p     *Process // valid once up
	err   error    // why there is no process
	first bool     // none was ever up before
}

// NewSupervisor returns a Supervisor of the plugin at path. Nothing is started
// yet.
func NewSupervisor(path string, o Options) *Supervisor {
	o.defaults()
	s := &Supervisor{
		path:    path,
		name:    filepath.Base(path),
		options: o,
		state:   Idle,
		observe: func(State) {},
		backoff: newBackoff(rand.Float64),
	}
	s.starts, s.cancel = context.WithCancel(context.Background())
	s.stop = sync.OnceValue(s.end)
	return s
}

// Description is what the plugin says of itself. It starts the plugin, if no
// one has yet.
func (s *Supervisor) Description(ctx context.Context) (sdk.Description, error) {
	s.mu.Lock()
	known := s.description
	s.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	p, err := s.process(ctx)
	if err != nil {
		return sdk.Description{}, err
	}
	return p.Description(), nil
}

// State is what the plugin is doing at the moment.
func (s *Supervisor) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Restarts is how often the plugin was started, or was tried to start, after a crash.
func (s *Supervisor) Restarts() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// Stderr returns the last lines, up to 64, that the plugin's present process,
// or else its last one, wrote to standard error, without secrets.
func (s *Supervisor) Stderr() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil && s.life.p != nil {
		return s.life.p.Stderr()
	}
	return append([]string(nil), s.tail...)
}

// Close ends the plugin, as the Close of its Process does. Whoever waits for a
// start gets fs.ErrClosed. A second Close returns what the first did.
func (s *Supervisor) Close() error { return s.stop() }

func (s *Supervisor) end() error {
	s.mu.Lock()
	s.cancel()
	if s.err == nil {
		s.err = s.closed()
	}
	var p *Process
	if s.life != nil {
		p = s.life.p
	}
	s.mu.Unlock()
	var err error
	if p != nil {
		err = p.Close()
	}
	s.lives.Wait()
	s.enter(Idle)
	return err
}

func (s *Supervisor) closed() error { return fmt.Errorf("plugin %s: %w", s.name, fs.ErrClosed) }

// process returns the process that runs. It starts one if there is none, and
// waits for it.
func (s *Supervisor) process(ctx context.Context) (*Process, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l, err := s.present()
		if err != nil {
			return nil, err
		}
		if !wait(ctx, l.up) {
			continue
		}
		switch {
		case l.p != nil && !l.p.lost():
			return l.p, nil
		case l.p == nil && l.first:
			return nil, l.err
		}
		wait(ctx, l.over)
	}
}

func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// present returns the present life, and begins one if there is none.
func (s *Supervisor) present() (*life, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.life == nil {
		l := &life{up: make(chan struct{}), over: make(chan struct{}), first: s.description == nil}
		until := s.until
		s.life = l
		s.lives.Go(func() { s.live(l, until) })
	}
	return s.life, nil
}

// live is a life. Its start belongs to all who wait for it: it goes on when one
// of them gives up.
func (s *Supervisor) live(l *life, until time.Time) {
	s.pause(until)
	s.enter(Starting)
	if !l.first && s.starts.Err() == nil {
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
	}
	p, err := Start(s.starts, s.path, s.options)
	if err != nil {
		s.over(l, err, 0)
		return
	}
	if err := s.greet(l, p); err != nil {
		_ = p.Close() // it is not to be used
		s.over(l, err, 0)
		return
	}
	began := time.Now()
	close(l.up)
	<-p.runner.exited
	lived := time.Since(began)
	s.over(l, fmt.Errorf("plugin %s: %w", s.name, p.runner.obituary("ended")), lived)
	_ = p.Close() // of what is left of it
}

func (s *Supervisor) pause(until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.starts.Done():
	}
}

func (s *Supervisor) enter(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.become(state)
}

func (s *Supervisor) become(state State) {
	if s.state != state {
		s.state = state
		s.observe(state)
	}
}

// greet makes p the plugin's process, unless it is another plugin by now.
func (s *Supervisor) greet(l *life, p *Process) error {
	d := p.Description()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.starts.Err() != nil:
		return s.closed()
	case s.description == nil:
		s.description = &d
	case !reflect.DeepEqual(*s.description, d):
		s.err = s.changed(d)
		return s.err
	}
	l.p = p
	s.become(Ready)
	return nil
}

// changed says what a plugin says of itself that it did not say before.
func (s *Supervisor) changed(d sdk.Description) error {
	what := "other settings or limits"
	switch was := s.description; {
	case was.Name != d.Name || was.Version != d.Version:
		what = fmt.Sprintf("%s %s instead of %s %s", d.Name, d.Version, was.Name, was.Version)
	case was.Kind != d.Kind:
		what = "a " + d.Kind + " instead of a " + was.Kind
	case !slices.Equal(was.Schemes, d.Schemes):
		what = fmt.Sprintf("schemes %q instead of %q", d.Schemes, was.Schemes)
	case !slices.Equal(was.Capabilities, d.Capabilities):
		what = fmt.Sprintf("capabilities %q instead of %q", d.Capabilities, was.Capabilities)
	}
	return sdk.WithHint(
		fmt.Errorf("plugin %s was started again, and describes itself differently: %s", s.name, what),
		"its file was replaced while it was in use: begin anew")
}

// over ends a life.
func (s *Supervisor) over(l *life, err error, lived time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(l.over)
	s.life = nil
	if s.starts.Err() != nil {
		err = s.closed()
	}
	if l.p == nil {
		l.err = err
		close(l.up)
	} else {
		s.tail = l.p.Stderr()
	}
	if s.starts.Err() != nil {
		s.become(Idle)
		return
	}
	if !l.first || l.p != nil { // else whoever asked for it gets the error, and knows whether it matters
		how, _, _ := strings.Cut(err.Error(), "\n") // the plugin's last words are in the log already
		s.options.Logger.Warn(strings.TrimSuffix(how, ", its last words:"), "lived", lived)
	}
	if s.err == nil {
		s.crashed(err, lived)
	}
	if s.err != nil {
		s.become(Quarantined)
	} else {
		s.become(Backoff)
	}
}

func (s *Supervisor) crashed(err error, lived time.Duration) {
	now := time.Now()
	delay, again := s.backoff.crashed(now, lived)
	if again {
		s.until = now.Add(delay)
		return
	}
	in := now.Sub(s.backoff.since).Round(time.Millisecond)
	s.err = fmt.Errorf("crashed %d times within %v and is not started any more: %w", s.backoff.crashes, in, err)
	if sdk.Hint(s.err) == "" {
		s.err = sdk.WithHint(s.err, "its last words may say what it lacks; brock plugin doctor tries it step by step")
	}
}

// lost reports whether the process has ended, or nobody can reach it any more.
func (p *Process) lost() bool {
	if p.stuck.Load() || p.runner.gone(0) {
		return true
	}
	// The connection breaks a moment before the process has been reaped. It is
	// also idle if it was not used for long.
	return p.conn.GetState() != connectivity.Ready && p.runner.gone(patience)
}
