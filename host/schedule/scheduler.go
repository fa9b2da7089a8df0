package schedule

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// A Runner does what schedules ask for, at a destination by its name. Backups and
// verifications may be asked for at the same time. What is cancelled returns soon.
type Runner interface {
	Backup(ctx context.Context, destination string, full bool) error
	Verify(ctx context.Context, destination string, mode Mode) error // damage is an error
	Prune(ctx context.Context, destination string, keep Keep) error
}

// A Scheduler runs the schedules of a configuration.
type Scheduler struct {
	runner Runner
	path   string
	log    hclog.Logger
	now    func() time.Time

	mu      sync.Mutex
	seed    uint64
	loaded  bool
	entries []*entry // as in the configuration
	ended   chan ending
}

type ending struct {
	e   *entry
	err error
}

// lane tells what must not run at once: 0 are backups, 1 what only reads or removes.
func (d Do) lane() int {
	if d == Full || d == Incremental {
		return 0
	}
	return 1
}

// New returns a Scheduler for c, which keeps in the file at statePath what it has done.
// Times without a zone are those of now.
func New(c *Config, runner Runner, statePath string, logger hclog.Logger, now func() time.Time) *Scheduler {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	if now == nil {
		now = time.Now
	}
	s := &Scheduler{runner: runner, path: statePath, log: logger, now: now, ended: make(chan ending)}
	for _, one := range c.Schedules {
		s.entries = append(s.entries, &entry{Schedule: one})
	}
	return s
}

// longest is how long the scheduler trusts its timer: the host may sleep meanwhile, or its clock be set.
const longest = time.Minute

// Run does what the schedules say until ctx is cancelled, and then waits for what is under
// way, which is cancelled too. It is called once.
func (s *Scheduler) Run(ctx context.Context) error {
	s.load()
	for ctx.Err() == nil {
		timer := time.NewTimer(s.begin(ctx))
		select {
		case <-ctx.Done():
		case end := <-s.ended:
			s.end(ctx, end)
		case <-timer.C:
		}
		timer.Stop()
	}
	s.drain(ctx)
	return nil
}

// drain waits for what is under way.
func (s *Scheduler) drain(ctx context.Context) {
	for s.anyRunning() {
		s.end(ctx, <-s.ended)
	}
}

func (s *Scheduler) anyRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.entries, func(e *entry) bool { return e.running })
}

// load reads the state, once.
func (s *Scheduler) load() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return
	}
	s.loaded = true
	st, err := readState(s.path)
	if err != nil {
		s.log.Warn("what the schedules have done is not known, and all of them run", "error", err)
	}
	if s.seed = st.Seed; s.seed == 0 {
		s.seed = rand.Uint64()>>12 + 1 //nolint:gosec // no secret; a number that JSON's readers keep
	}
	for _, e := range s.entries {
		e.seed = s.seed
		e.resume(st.Schedules[e.Name])
	}
}

// begin starts all that may start, and returns how long nothing else will.
func (s *Scheduler) begin(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, e := range s.entries {
		if e.rewind(now) {
			s.log.Warn("the clock was set back: the schedule goes on from now", "schedule", e.Name)
		}
	}
	wait := longest
	for _, d := range s.due(now) {
		until := d.at.Sub(now)
		switch {
		case until > 0:
			wait = min(wait, until)
		case s.free(d.e):
			s.start(ctx, d.e, d.slot, now)
		case d.e.waiting.IsZero():
			d.e.waiting = now
		}
	}
	return wait
}

// due is when an entry's next attempt may begin.
type due struct {
	e        *entry
	slot, at time.Time
}

// due returns what does not run, in the order in which it is begun: by kind, but what
// has waited for long comes first.
func (s *Scheduler) due(now time.Time) (all []due) {
	for _, e := range s.entries {
		if e.running {
			continue
		}
		if slot, at := e.plan(now); !at.IsZero() {
			all = append(all, due{e, slot, at})
		}
	}
	slices.SortStableFunc(all, func(a, b due) int {
		return cmp.Or(a.rank(now)-b.rank(now), a.slot.Compare(b.slot))
	})
	return all
}

func (d due) rank(now time.Time) int {
	rank := slices.Index(order, d.e.Do)
	if d.e.impatient(now) {
		rank -= len(order)
	}
	return rank
}

// free reports whether nothing runs that keeps e from running.
func (s *Scheduler) free(e *entry) bool {
	return !slices.ContainsFunc(s.entries, func(o *entry) bool {
		return o.running && (o.Do.lane() == e.Do.lane() || o.Do.lane() == 0)
	})
}

func (s *Scheduler) start(ctx context.Context, e *entry, slot, now time.Time) {
	e.begin(slot, now)
	s.save()
	s.log.Info("a scheduled run begins", "schedule", e.Name, "do", string(e.Do), "destination", e.Destination, "slot", slot.Format(time.RFC3339))
	one := e.Schedule
	go func() { s.ended <- ending{e, s.do(ctx, one)} }()
}

// do is one attempt.
func (s *Scheduler) do(ctx context.Context, one Schedule) error {
	if one.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(one.Timeout), fmt.Errorf("no end after %v: %w", one.Timeout, context.DeadlineExceeded))
		defer cancel()
	}
	var err error
	switch one.Do {
	case Full, Incremental:
		err = s.runner.Backup(ctx, one.Destination, one.Do == Full)
	case Verify:
		err = s.runner.Verify(ctx, one.Destination, one.Verify)
	case Prune:
		err = s.runner.Prune(ctx, one.Destination, one.Keep)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err) // which may tell what it was waiting for
	}
	return err
}

func (s *Scheduler) end(ctx context.Context, end ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, e := s.now(), end.e
	missed := e.missed
	e.end(now, end.err, ctx.Err() != nil)
	s.save()
	switch {
	case end.err == nil:
		s.log.Info("a scheduled run has ended", "schedule", e.Name, "took", now.Sub(e.rec.Started).Round(time.Millisecond))
	case ctx.Err() != nil:
		s.log.Info("a scheduled run is cut short, and begins anew with the host", "schedule", e.Name)
	default:
		_, at := e.plan(now)
		about := []any{"schedule", e.Name, "failures", e.rec.Failures, "next", at.Format(time.RFC3339), "error", end.err}
		if hint := sdk.Hint(end.err); hint != "" {
			about = append(about, "hint", hint)
		}
		s.log.Error("a scheduled run has failed", about...)
	}
	if missed = e.missed - missed; missed > 0 {
		s.log.Warn("a run took longer than until the next ones, which are left out", "schedule", e.Name, "runs", missed)
	}
}

// save writes the state. What cannot be written is done again after a restart.
func (s *Scheduler) save() {
	st := state{Seed: s.seed, Schedules: map[string]record{}}
	for _, e := range s.entries {
		st.Schedules[e.Name] = e.rec
	}
	if err := st.write(s.path); err != nil {
		s.log.Warn("what the schedules have done cannot be kept; after a restart they run again", "error", err)
	}
}
