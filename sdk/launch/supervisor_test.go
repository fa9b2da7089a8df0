//go:build unix

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// A watched Supervisor notes its states, and how often its plugin was started.
type watched struct {
	*Supervisor
	starts string
	mu     sync.Mutex
	seen   []State
	news   chan struct{} // has an element after something was seen
}

// supervise supervises the test binary. It plays the roles one after the other,
// and the last for good. The first delay is 1 ms.
func supervise(t *testing.T, roles string) *watched {
	t.Helper()
	w := &watched{starts: filepath.Join(t.TempDir(), "starts"), news: make(chan struct{}, 1)}
	w.Supervisor = NewSupervisor(os.Args[0], Options{Env: []string{roleEnv + "=" + roles, startsEnv + "=" + w.starts}})
	w.backoff.first = time.Millisecond
	w.observe = func(s State) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, s)
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (w *watched) states() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// await waits until the plugin is in a state.
func (w *watched) await(t *testing.T, want State) {
	t.Helper()
	for w.State() != want {
		select {
		case <-w.news:
		case <-time.After(20 * time.Second):
			t.Fatalf("state %s, after %v; want %s", w.State(), w.states(), want)
		}
	}
}

// awaitLife waits until somebody waits for the plugin.
func (w *watched) awaitLife(t *testing.T) {
	t.Helper()
	for t.Context().Err() == nil {
		w.Supervisor.mu.Lock()
		l := w.life
		w.Supervisor.mu.Unlock()
		if l != nil {
			return
		}
		runtime.Gosched()
	}
}

// count returns how often the plugin was started.
func (w *watched) count(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(w.starts)
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

// signal sends a signal to the plugin.
func (w *watched) signal(s syscall.Signal) *life {
	w.Supervisor.mu.Lock()
	defer w.Supervisor.mu.Unlock()
	_ = syscall.Kill(-w.life.p.Pid(), s)
	return w.life
}

// kill kills the plugin, and waits until its Supervisor knows.
func (w *watched) kill() { <-w.signal(syscall.SIGKILL).over }

func (w *watched) open(t *testing.T, settings map[string]any) sdk.Destination {
	t.Helper()
	d, err := w.OpenDestination(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRestartBetweenOperationsIsInvisible(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	settings := map[string]any{"uri": "mem://one", "token": sdk.NewSecret("four")}
	one := w.open(t, settings)
	settings["uri"] = "of the caller" // it may do so
	two := w.open(t, map[string]any{"uri": "mem://two"})
	closed := w.open(t, nil)
	if err := closed.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	said := map[string]bool{}
	for range 3 {
		for d, want := range map[sdk.Destination]string{one: "mem://one 4 ", two: "mem://two 0 "} {
			got := say(t.Context(), d, "config")
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %q; want %q and a process", got, want)
			}
			said[got] = true
		}
		w.kill()
	}
	if len(said) != 6 || w.count(t) != 3 {
		t.Errorf("%d starts, %d instances: %v; want 3 and 6", w.count(t), len(said), said)
	}
	want := []State{Starting, Ready, Backoff, Starting, Ready, Backoff, Starting, Ready, Backoff}
	if got := w.states(); !slices.Equal(got, want) {
		t.Errorf("states %v; want %v", got, want)
	}
	if err := closed.Delete(t.Context(), "x"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("Delete after Close of the destination: %v; want ErrInvalid", err)
	}
	if err := w.Close(); err != nil || w.State() != Idle {
		t.Errorf("Close: %v, state %s", err, w.State())
	}
	if err := one.Delete(t.Context(), "x"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Delete after Close: %v; want fs.ErrClosed", err)
	}
}

// The operation that sees the crash tells of it; the next one does not.
func TestCrashFailsTheOperationsUnderWay(t *testing.T) {
	t.Parallel()
	for what, operation := range map[string]func(context.Context, *watched, sdk.Destination) error{
		"Put": func(ctx context.Context, w *watched, d sdk.Destination) error {
			return d.Put(ctx, "put", io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
				w.kill()
				return 0, io.EOF
			})))
		},
		"Replace": func(ctx context.Context, w *watched, d sdk.Destination) error {
			_, err := d.(sdk.Replacer).Replace(ctx, "put", readerFunc(func([]byte) (int, error) {
				w.kill()
				return 0, io.EOF
			}), "")
			return err
		},
		"Get": func(ctx context.Context, w *watched, d sdk.Destination) error {
			r, err := d.Get(ctx, "endless", 0)
			if err != nil {
				return fmt.Errorf("too early: %w", err)
			}
			defer r.Close()
			w.kill()
			_, err = io.Copy(io.Discard, r)
			return err
		},
		"List": func(ctx context.Context, w *watched, d sdk.Destination) error {
			first := true
			for _, err := range d.List(ctx, "endless/") {
				if err != nil {
					return err
				}
				if first {
					w.kill()
				}
				first = false
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := supervise(t, "hostile")
			d := w.open(t, nil)
			if got := say(t.Context(), d, "say last words"); got != "" {
				t.Error(got)
			}
			err := operation(t.Context(), w, d)
			if err == nil || !strings.Contains(err.Error(), "ended while it was in use: signal: killed, its last words:\n\tlast words") {
				t.Errorf("%s: %v; want how it ended", what, err)
			}
			if errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s: %v is of a wrong kind", what, err)
			}
			names, err := listAll(d, "")
			if err != nil || len(names) > 0 || w.count(t) != 2 {
				t.Errorf("List afterwards: %q, %v, after %d starts; want nothing, after 2", names, err, w.count(t))
			}
			if tail := w.Stderr(); slices.Contains(tail, "last words") {
				t.Errorf("Stderr of the second process: %q", tail)
			}
		})
	}
}

func TestCrashLoopIsQuarantined(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile,early")
	d := w.open(t, nil)
	w.kill()
	err := d.Delete(t.Context(), "x")
	if err == nil || w.State() != Quarantined || sdk.Hint(err) == "" {
		t.Fatalf("Delete: %v, hint %q, state %s; want quarantine", err, sdk.Hint(err), w.State())
	}
	for _, want := range []string{filepath.Base(os.Args[0]), "crashed 7 times within ", "exit status 7, its last words:\n\tno disk today"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	again := d.Put(t.Context(), "x", strings.NewReader("x"))
	if again == nil || again.Error() != err.Error() || w.count(t) != 7 {
		t.Errorf("next operation, after %d starts: %v; want the same, after 7", w.count(t), again)
	}
	if err := w.Close(); err != nil || w.State() != Idle {
		t.Errorf("Close: %v, state %s; want idle", err, w.State())
	}
}

// Whoever uses a plugin that crashes every time is not told the same for ever.
func TestCrashesInOperationsAreQuarantined(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	d := w.open(t, nil)
	for range 7 {
		if got := say(t.Context(), d, "exit"); !strings.Contains(got, "exit status 7") || !strings.Contains(got, "line 99") {
			t.Fatalf("got %q; want how it ended", got)
		}
	}
	w.await(t, Quarantined)
	if got := say(t.Context(), d, "config"); !strings.Contains(got, "crashed 7 times") || !strings.Contains(got, "line 99") {
		t.Errorf("got %q", got)
	}
	if tail := w.Stderr(); len(tail) != tailLimit || tail[tailLimit-1] != "line 99" {
		t.Errorf("Stderr: %q", tail)
	}
}

func TestStablePluginIsNeverQuarantined(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	w.backoff.stable = time.Nanosecond
	d := w.open(t, nil)
	for range 9 {
		w.kill()
		if _, err := listAll(d, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestartThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile,early,silent,hostile")
	d := w.open(t, nil)
	w.kill()
	if _, err := listAll(d, ""); err != nil || w.count(t) != 4 {
		t.Errorf("List: %v after %d starts; want none after 4", err, w.count(t))
	}
}

// Nothing was asked of the plugin yet but to open what was open.
func TestCrashInTheRestartIsInvisible(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	d := w.open(t, map[string]any{"uri": "crash in 2"})
	w.kill()
	if _, err := listAll(d, ""); err != nil || w.count(t) != 3 {
		t.Errorf("List: %v after %d starts; want none after 3", err, w.count(t))
	}
}

// A plugin that lives for long before it crashes is never in quarantine. Who waits
// for it does not do so for ever.
func TestEndlessCrashesInTheRestartFail(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	w.backoff.stable = time.Nanosecond
	d := w.open(t, map[string]any{"uri": "crash but in 1"})
	w.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := d.Delete(ctx, "x")
	if err == nil || !strings.Contains(err.Error(), "exit status 5") || w.count(t) != 1+openLimit {
		t.Errorf("Delete: %v after %d starts; want how it ended, after %d", err, w.count(t), 1+openLimit)
	}
}

func TestFirstStartThatFailsSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	w := supervise(t, "early,memory")
	if w.State() != Idle {
		t.Errorf("state %s; want idle", w.State())
	}
	_, err := w.Description(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended before it was ready: exit status 7") || w.State() != Backoff {
		t.Errorf("Description: %v, state %s", err, w.State())
	}
	d, err := w.Description(t.Context())
	if err != nil || d.Name != "memory" || w.State() != Ready {
		t.Errorf("second Description = %v, %v, state %s", d, err, w.State())
	}
}

func TestManyOperationsOneRestart(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	ds := []sdk.Destination{w.open(t, map[string]any{"uri": "0"}), w.open(t, map[string]any{"uri": "1"})}
	const kills, workers = 3, 16
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := say(t.Context(), ds[i%2], "config")
				if !strings.HasPrefix(got, fmt.Sprint(i%2, " 0 ")) && !strings.Contains(got, "signal: killed") {
					t.Errorf("got %q", got)
					return
				}
			}
		})
	}
	for range kills {
		w.await(t, Ready)
		w.kill()
		w.await(t, Ready)
	}
	close(stop)
	wg.Wait()
	if n := w.count(t); n != kills+1 {
		t.Errorf("%d starts; want %d", n, kills+1)
	}
}

func TestWaitsForAPluginEnd(t *testing.T) {
	t.Parallel()
	for what, begin := range map[string]func(*testing.T) *watched{
		"backoff": func(t *testing.T) *watched {
			w := supervise(t, "hostile")
			w.backoff.first = time.Hour
			_ = w.open(t, nil)
			w.kill()
			return w
		},
		"starting": func(t *testing.T) *watched { return supervise(t, "hang") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			for _, end := range []func(context.CancelFunc) error{
				func(cancel context.CancelFunc) error { cancel(); return context.Canceled },
				func(context.CancelFunc) error { w.Close(); return fs.ErrClosed },
			} {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				failed := make(chan error)
				go func() {
					_, err := w.OpenDestination(ctx, nil)
					failed <- err
				}()
				w.awaitLife(t)
				w.await(t, State(what))
				within(t, 10*time.Second, what, func() {
					want := end(cancel)
					if err := <-failed; !errors.Is(err, want) {
						t.Errorf("%s: %v; want %v", what, err, want)
					}
				})
			}
		})
	}
}

func TestChangedPluginIsRefused(t *testing.T) {
	t.Parallel()
	w := supervise(t, "memory,plain")
	d := w.open(t, nil)
	w.kill()
	_, err := listAll(d, "")
	if err == nil || !strings.Contains(err.Error(), `describes itself differently: capabilities [] instead of ["replace"]`) {
		t.Errorf("List: %v", err)
	}
	if w.State() != Quarantined || sdk.Hint(err) == "" {
		t.Errorf("state %s, hint %q", w.State(), sdk.Hint(err))
	}
}

func TestLostCapabilityIsRefused(t *testing.T) {
	t.Parallel()
	w := supervise(t, "able,clumsy,able")
	d := w.open(t, nil)
	w.kill()
	for range 2 {
		_, err := listAll(d, "")
		if !errors.Is(err, sdk.ErrUnsupported) || !strings.Contains(err.Error(), "has lost the capability probe, report") {
			t.Errorf("List: %v", err)
		}
	}
	w.kill()
	if err := d.(sdk.Prober).Probe(t.Context()); err != nil {
		t.Errorf("Probe, when it is back: %v", err)
	}
}

func TestAbilitiesAreExactlyThoseNamed(t *testing.T) {
	for _, names := range [][]string{
		nil,
		{"replace"},
		{"probe"},
		{"replace", "probe"},
		{"report"},
		{"replace", "report"},
		{"probe", "report"},
		{"replace", "probe", "report"},
	} {
		if got := abilities(ableDestination(lastingDestination{}, names, lastingReplacer{}, lastingProber{}, lastingReporter{})); !slices.Equal(got, names) {
			t.Errorf("%q instead of %q", got, names)
		}
	}
	for _, names := range [][]string{nil, {"export"}, {"rotate"}, {"export", "rotate"}} {
		if got := abilities(ableKeyProvider(lastingKeyProvider{}, names, lastingExporter{}, lastingRotator{})); !slices.Equal(got, names) {
			t.Errorf("%q instead of %q", got, names)
		}
	}
}

// What a Supervisor opens can do exactly what the plugin can.
func TestSupervisedAbilities(t *testing.T) {
	t.Parallel()
	for role, want := range map[string][]string{"plain": nil, "memory": {"replace"}, "able": {"replace", "probe", "report"}} {
		d := supervise(t, role).open(t, nil)
		if got := abilities(d); !slices.Equal(got, want) {
			t.Errorf("%s: %q; want %q", role, got, want)
		}
		if err := d.(io.Closer).Close(); (err != nil) != (role == "plain") {
			t.Errorf("%s: Close: %v", role, err)
		}
	}
	w := supervise(t, "keys")
	k, err := w.OpenKeyProvider(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.kill()
	wrapped, err := k.Wrap(t.Context(), []byte("data key"))
	if err != nil {
		t.Fatal(err)
	}
	w.kill()
	if key, err := k.Unwrap(t.Context(), wrapped); string(key) != "data key" || err != nil {
		t.Errorf("Unwrap = %q, %v", key, err)
	}
	w.kill()
	if key, err := k.(sdk.KeyExporter).ExportKey(t.Context()); len(key.Reveal()) != 32 || err != nil {
		t.Errorf("ExportKey: %d bytes, %v", len(key.Reveal()), err)
	}
	if _, err := w.OpenDestination(t.Context(), nil); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("OpenDestination of a key provider: %v; want ErrInvalid", err)
	}
}

// A plugin whose settings are good no more says so; the process is there.
func TestPlaceThatDoesNotOpenAgain(t *testing.T) {
	t.Parallel()
	w := supervise(t, "hostile")
	settings := map[string]any{"uri": "once " + filepath.Join(t.TempDir(), "opened"), "token": sdk.NewSecret(canary)}
	d := w.open(t, settings)
	w.kill()
	_, err := listAll(d, "")
	if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(err.Error(), "was started again, and does not open as before: token [secret]") {
		t.Errorf("List: %v", err)
	}
	if w.State() != Ready {
		t.Errorf("state %s; want ready", w.State())
	}
	if text := fmt.Sprintf("%+v %#v", d, w.Supervisor); strings.Contains(text, "canary") {
		t.Errorf("shown: %s", text)
	}
}
