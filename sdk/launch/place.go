package launch

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/brock-backup/brock/sdk"
)

// OpenDestination opens a destination as Process.OpenDestination does. The
// result outlives the process: it is opened again, with the same settings, in
// the process that takes its place.
func (s *Supervisor) OpenDestination(ctx context.Context, settings map[string]any) (sdk.Destination, error) {
	settings = keep(settings)
	d := &place[sdk.Destination]{s: s, turn: make(chan struct{}, 1)}
	d.open = func(ctx context.Context, p *Process) (sdk.Destination, error) {
		return p.OpenDestination(ctx, settings)
	}
	if _, err := d.first(ctx); err != nil {
		return nil, err
	}
	return ableDestination(lastingDestination{d}, d.abilities, lastingReplacer{d}, lastingProber{d}, lastingReporter{d}), nil
}

// OpenKeyProvider opens a key provider as Process.OpenKeyProvider does. The
// result outlives the process, as that of OpenDestination.
func (s *Supervisor) OpenKeyProvider(ctx context.Context, settings map[string]any) (sdk.KeyProvider, error) {
	settings = keep(settings)
	k := &place[sdk.KeyProvider]{s: s, turn: make(chan struct{}, 1)}
	k.open = func(ctx context.Context, p *Process) (sdk.KeyProvider, error) {
		return p.OpenKeyProvider(ctx, settings)
	}
	if _, err := k.first(ctx); err != nil {
		return nil, err
	}
	return ableKeyProvider(lastingKeyProvider{k}, k.abilities, lastingExporter{k}, lastingRotator{k}), nil
}

// keep copies settings, so that a later change of the caller's does not show
// after a restart.
func keep(settings map[string]any) map[string]any {
	kept := maps.Clone(settings)
	for name, v := range kept {
		switch v := v.(type) {
		case map[string]any:
			kept[name] = keep(v)
		case []any:
			kept[name] = keepAll(v)
		}
	}
	return kept
}

func keepAll(list []any) []any {
	kept := slices.Clone(list)
	for i, v := range kept {
		switch v := v.(type) {
		case map[string]any:
			kept[i] = keep(v)
		case []any:
			kept[i] = keepAll(v)
		}
	}
	return kept
}

// A place is what was opened with one set of settings, in whichever process
// runs. Only the function open has the settings: nothing that prints a place
// prints them.
type place[T any] struct {
	s         *Supervisor
	open      func(context.Context, *Process) (T, error)
	abilities []string // that it had when it was first opened

	closed atomic.Bool
	turn   chan struct{} // has an element while one of the callers looks at the rest
	in     *Process      // where it is open
	now    T
	err    error // why it must not be used there
}

// first opens the place for the first time. A crash on the way is its caller's.
func (l *place[T]) first(ctx context.Context) (T, error) {
	p, err := l.s.process(ctx)
	if err != nil {
		return l.now, err
	}
	l.in = p
	if l.now, err = l.open(ctx, p); err == nil {
		l.abilities = abilities(l.now)
	}
	return l.now, err
}

// openLimit is how many processes in a row an operation sees crash while the
// place is opened again. A plugin that takes its time for each is not in
// quarantine after any number.
const openLimit = 3

// use returns what is open in the process that runs, and opens it there if it
// is not. A crash on the way counts like one before it, up to openLimit.
func (l *place[T]) use(ctx context.Context) (none T, err error) {
	for crashes := 1; ; crashes++ {
		p, err := l.s.process(ctx)
		if err != nil {
			return none, err
		}
		now, err := l.useIn(ctx, p)
		if err == nil || ctx.Err() != nil || !p.lost() || crashes == openLimit {
			return now, err
		}
	}
}

func (l *place[T]) useIn(ctx context.Context, p *Process) (none T, err error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	if l.closed.Load() {
		return none, fmt.Errorf("plugin %s: the instance is closed: %w", l.s.name, sdk.ErrInvalid)
	}
	if l.in == p {
		return l.now, l.err
	}
	now, err := l.open(ctx, p)
	if err != nil {
		return none, fmt.Errorf("plugin %s was started again, and does not open as before: %w", l.s.name, err)
	}
	l.in, l.now, l.err = p, now, l.compare(now)
	return now, l.err
}

// compare finds out whether the place can still do all that it could at first.
func (l *place[T]) compare(now T) error {
	have := abilities(now)
	lost := slices.DeleteFunc(slices.Clone(l.abilities), func(name string) bool { return slices.Contains(have, name) })
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("plugin %s was started again, and has lost the capability %s: %w",
		l.s.name, strings.Join(lost, ", "), sdk.ErrUnsupported)
}

// Close implements io.Closer. It starts no process, and does not wait for one
// that does not open: the Close of the Supervisor ends that as well.
func (l *place[T]) Close() error {
	l.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), l.s.options.StopTimeout)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil
	}
	if c, ok := any(l.now).(io.Closer); ok && !l.in.runner.gone(0) {
		return c.Close()
	}
	return nil
}

type lastingDestination struct{ *place[sdk.Destination] }

func (l lastingDestination) Put(ctx context.Context, name string, r io.Reader) error {
	d, err := l.use(ctx)
	if err != nil {
		return err
	}
	return d.Put(ctx, name, r)
}

func (l lastingDestination) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	d, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return d.Get(ctx, name, offset)
}

func (l lastingDestination) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		d, err := l.use(ctx)
		if err != nil {
			yield(sdk.Object{}, err)
			return
		}
		d.List(ctx, prefix)(yield)
	}
}

func (l lastingDestination) Delete(ctx context.Context, name string) error {
	d, err := l.use(ctx)
	if err != nil {
		return err
	}
	return d.Delete(ctx, name)
}

type lastingReplacer struct{ *place[sdk.Destination] }

func (l lastingReplacer) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	d, err := l.use(ctx)
	if err != nil {
		return "", err
	}
	return d.(sdk.Replacer).Replace(ctx, name, r, version)
}

func (l lastingReplacer) Version(ctx context.Context, name string) (string, error) {
	d, err := l.use(ctx)
	if err != nil {
		return "", err
	}
	return d.(sdk.Replacer).Version(ctx, name)
}

type lastingProber struct{ *place[sdk.Destination] }

func (l lastingProber) Probe(ctx context.Context) error {
	d, err := l.use(ctx)
	if err != nil {
		return err
	}
	return d.(sdk.Prober).Probe(ctx)
}

type lastingReporter struct{ *place[sdk.Destination] }

func (l lastingReporter) Report(ctx context.Context) ([]sdk.Finding, error) {
	d, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return d.(sdk.Reporter).Report(ctx)
}

type lastingKeyProvider struct{ *place[sdk.KeyProvider] }

func (l lastingKeyProvider) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	return k.Wrap(ctx, dataKey)
}

func (l lastingKeyProvider) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	k, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return k.Unwrap(ctx, w)
}

type lastingExporter struct{ *place[sdk.KeyProvider] }

func (l lastingExporter) ExportKey(ctx context.Context) (sdk.Secret, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.Secret{}, err
	}
	return k.(sdk.KeyExporter).ExportKey(ctx)
}

type lastingRotator struct{ *place[sdk.KeyProvider] }

func (l lastingRotator) KeyStatus(ctx context.Context) (sdk.KeyStatus, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.KeyStatus{}, err
	}
	return k.(sdk.KeyRotator).KeyStatus(ctx) // use has made sure
}

func (l lastingRotator) RotateKey(ctx context.Context) (sdk.KeyStatus, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.KeyStatus{}, err
	}
	return k.(sdk.KeyRotator).RotateKey(ctx)
}

func (l lastingRotator) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.Secret{}, sdk.WrappedKey{}, err
	}
	return k.(sdk.KeyRotator).GenerateDataKey(ctx)
}

func (l lastingRotator) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	k, err := l.use(ctx)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	return k.(sdk.KeyRotator).Rewrap(ctx, w)
}
