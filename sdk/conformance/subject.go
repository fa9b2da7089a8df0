package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"sync"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/launch"
)

// A Subject is a plugin that is to be checked, and how to run it.
type Subject struct {
	Path     string         // its executable
	Settings map[string]any // of a place, or a key, that it may use as it likes
	Env      []string       // NAME=value that it may see besides the usual

	// Of a destination. Each may be nil: then there is a check less.
	Denied    *Variant // a place that it may neither read nor write
	ReadOnly  *Variant // a place that it may read, and not write
	Missing   *Variant // a place that is not there: a misspelt bucket or directory
	Full      *Variant // a place with room for less than 32 MiB
	Throttled *Variant // a place that turns every request away, until later

	Other *Variant // of a key provider: another key; may be nil

	Only []string // the names of the checks to run; none: all
}

// A Variant is another way to open a Subject.
type Variant struct {
	Settings map[string]any
	Env      []string // added to the Subject's
}

// ErrSettings says that the plugin does not take the Subject's settings.
var ErrSettings = errors.New("the plugin does not take these settings")

// Run asks the plugin what it is, and runs every check of its kind. It returns
// ErrSettings if the plugin calls the settings invalid, or those of a Variant
// cannot be valid: no promise can be checked with them.
func (s Subject) Run(ctx context.Context) (kind string, results iter.Seq[Result], err error) {
	p, err := launch.Start(ctx, s.Path, launch.Options{Env: s.Env})
	if err != nil {
		return "", nil, err
	}
	if err := s.checkVariants(p.Description()); err != nil {
		_ = p.Close()
		return "", nil, err
	}
	kind = p.Description().Kind
	if kind == handshake.KeyProvider {
		_, err = p.OpenKeyProvider(ctx, s.Settings)
	} else {
		_, err = p.OpenDestination(ctx, s.Settings)
	}
	_ = p.Close() // how it ends is for the checks to find out
	if errors.Is(err, sdk.ErrInvalid) {
		return "", nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	if kind == handshake.KeyProvider {
		return kind, s.KeyProvider(ctx), nil
	}
	return kind, s.Destination(ctx), nil
}

// checkVariants refuses settings that are misspelt or forgotten. An Open that is
// refused for them looks like one that is refused for the place.
func (s Subject) checkVariants(d sdk.Description) error {
	for field, v := range map[string]*Variant{
		"Denied": s.Denied, "ReadOnly": s.ReadOnly, "Missing": s.Missing, "Full": s.Full, "Throttled": s.Throttled, "Other": s.Other,
	} {
		if v == nil {
			continue
		}
		known := map[string]bool{}
		for _, setting := range d.Settings {
			known[setting.Name] = true
			if _, given := v.Settings[setting.Name]; setting.Required && setting.Env == "" && !given {
				return fmt.Errorf("%w: no setting %q, see %s", ErrSettings, setting.Name, field)
			}
		}
		for name := range v.Settings {
			if !known[name] {
				return fmt.Errorf("%w: unknown setting %q, see %s", ErrSettings, name, field)
			}
		}
	}
	return nil
}

// Destination runs every check of a destination plugin, one after the other.
// What they store is removed again.
func (s Subject) Destination(ctx context.Context) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		l := newLab(s)
		defer l.close()
		root := newRoot()
		subject := func(t *trial) *place { return newPlace(t, l.destination(t), root, l) }
		for r := range try(ctx, only(destinationChecks(), s.Only), subject, l.close) {
			if !yield(r) {
				return
			}
		}
	}
}

// KeyProvider runs every check of a key provider plugin, one after the other.
func (s Subject) KeyProvider(ctx context.Context) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		l := newLab(s)
		defer l.close()
		subject := func(t *trial) *keyring { return &keyring{t, l.keyProvider(t, s.Settings), l} }
		for r := range try(ctx, only(keyChecks(), s.Only), subject, l.close) {
			if !yield(r) {
				return
			}
		}
	}
}

// CheckDestination runs, against a destination in this process, the checks that
// need no other: all of them, or those with the names given. What they store is
// removed again.
func CheckDestination(ctx context.Context, d sdk.Destination, names ...string) iter.Seq[Result] {
	root := newRoot()
	return try(ctx, only(directChecks(), names), func(t *trial) *place { return newPlace(t, d, root, nil) }, func() {})
}

// A lab runs a Subject. All checks share one process, until one of them leaves
// it behind.
type lab struct {
	Subject
	stderr *lines

	mu      sync.Mutex
	process *launch.Process
	dst     sdk.Destination
}

// newLab refuses to work in a process that should be the plugin: it would start
// itself for ever.
func newLab(s Subject) *lab {
	if ByHand() {
		panic("this program is a plugin now: its main, or its TestMain, must ask conformance.ByHand")
	}
	return &lab{Subject: s, stderr: &lines{}}
}

// start starts one more process.
func (l *lab) start(t *trial, env ...string) *launch.Process {
	p, err := launch.Start(t.ctx, l.Path, launch.Options{Env: append(append([]string{}, l.Env...), env...), Stderr: l.stderr})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return p
}

// own starts a process for one check.
func (l *lab) own(t *trial, env ...string) *launch.Process {
	p := l.start(t, env...)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// shared returns the process that all checks share.
func (l *lab) shared(t *trial) *launch.Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == nil {
		l.process, l.dst = l.start(t), nil
	}
	return l.process
}

func (l *lab) destination(t *trial) sdk.Destination {
	p := l.shared(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dst == nil {
		d, err := p.OpenDestination(t.ctx, l.Settings)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		l.dst = d
	}
	return l.dst
}

func (l *lab) keyProvider(t *trial, settings map[string]any) sdk.KeyProvider {
	k, err := l.shared(t).OpenKeyProvider(t.ctx, settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeValue(t, k) })
	return k
}

// close ends the shared process. The next check gets a new one.
func (l *lab) close() {
	l.mu.Lock()
	p := l.process
	l.process, l.dst = nil, nil
	l.mu.Unlock()
	if p != nil {
		_ = p.Close()
	}
}

// open opens the plugin, whatever it is, with other settings, in a process of
// its own kind.
func (l *lab) open(t *trial, p *launch.Process, settings map[string]any) (any, error) {
	if p.Description().Kind == "keyprovider" {
		return p.OpenKeyProvider(t.ctx, settings)
	}
	return p.OpenDestination(t.ctx, settings)
}

// with returns the settings with one of them changed.
func (l *lab) with(name string, value any) map[string]any {
	m := maps.Clone(l.Settings)
	if m == nil {
		m = map[string]any{}
	}
	m[name] = value
	return m
}

func closeValue(t *trial, v any) {
	if c, ok := v.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// lines is a buffer that may be written to and read concurrently.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
