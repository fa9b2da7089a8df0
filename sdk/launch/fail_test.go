//go:build unix

package launch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/brock-backup/brock/sdk"
)

const canary = `canary "word"`

// shown are all places where a secret could appear.
func shown(t *testing.T, p *Process, out *buffer, errs ...string) string {
	t.Helper()
	return out.String() + strings.Join(p.Stderr(), "\n") + strings.Join(errs, "\n")
}

func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]any{
		"as a Secret":  {"token": sdk.NewSecret(canary)},
		"by its field": {"token": canary},
		"by variable":  {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out buffer
			o := Options{Stderr: &out}
			if len(settings) == 0 {
				o.Env = []string{"TEST_TOKEN=" + canary}
			}
			p := start(t, "hostile", o)
			d := openDestination(t, p, settings)
			text := say(t.Context(), d, "token")
			if text != "error: token [secret] refused: permission denied" {
				t.Errorf("got %q", text)
			}
			settings["uri"] = "refused"
			_, err := p.OpenDestination(t.Context(), settings)
			if !errors.Is(err, sdk.ErrPermission) {
				t.Errorf("Open: %v; want ErrPermission", err)
			}
			panicked := say(t.Context(), d, "panic")
			out.await(t, "goroutine") // the stack
			if all := shown(t, p, &out, text, panicked, err.Error()); strings.Contains(all, "canary") {
				t.Errorf("shown: %s", all)
			}
		})
	}
}

func TestPluginSurvivesAPanic(t *testing.T) {
	t.Parallel()
	_, d := open(t, "hostile", map[string]any{"token": sdk.NewSecret(canary)})
	if got := say(t.Context(), d, "panic"); got != "error: panic in Version: string" {
		t.Errorf("panic with a value: %q", got)
	}
	if got := say(t.Context(), d, "nil"); !strings.Contains(got, "panic in Version: runtime error: invalid memory address") {
		t.Errorf("panic of the runtime: %q", got)
	}
	if err := d.Put(t.Context(), "a", strings.NewReader("a")); err != nil {
		t.Errorf("Put afterwards: %v", err)
	}
}

func TestPanicOutsideACallShowsNoSecret(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", map[string]any{"token": sdk.NewSecret("canary")})
	got := say(t.Context(), d, "goroutine")
	if !strings.Contains(got, "exit status 2, its last words:\n") || !strings.Contains(got, "panic: with [secret]") {
		t.Errorf("got %q", got)
	}
	if strings.Contains(got+strings.Join(p.Stderr(), ""), "canary") {
		t.Errorf("shown: %s", got)
	}
}

// go-plugin keeps what a plugin prints in a stream that a crash cuts off.
func TestErrorTellsHowThePluginEnded(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	_, err := d.(sdk.Replacer).Version(t.Context(), "exit")
	if err == nil || errors.Is(err, sdk.ErrUnavailable) {
		t.Fatalf("got %v; want what no retry helps against", err)
	}
	text := err.Error()
	for _, want := range []string{p.name, "ended while it was in use: exit status 7", "\n\tline 36\n", "\n\tline 99"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(text, "line 35\n") {
		t.Errorf("more than %d lines in %q", tailLimit, text)
	}
	if err := d.Delete(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("next call: %v; want the same", err)
	}
}

func TestErrorTellsOfASignal(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	r := io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
		_ = syscall.Kill(p.Pid(), syscall.SIGKILL)
		<-p.runner.exited
		return 0, io.EOF
	}))
	err := d.Put(t.Context(), "a", r)
	if err == nil || !strings.Contains(err.Error(), "signal: killed") || !strings.Contains(sdk.Hint(err), "memory") {
		t.Errorf("Put: %v, hint %q", err, sdk.Hint(err))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestErrorKeepsAllKindsTextAndHint(t *testing.T) {
	t.Parallel()
	_, d := open(t, "hostile", nil)
	_, err := d.(sdk.Replacer).Version(t.Context(), "two")
	if !errors.Is(err, sdk.ErrNoSpace) || !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrPermission) {
		t.Errorf("got %v; want ErrNoSpace and ErrUnavailable", err)
	}
	if err.Error() != errTwoKinds.Error() || sdk.Hint(err) != "buy a disk" {
		t.Errorf("got %q, hint %q; want %q", err, sdk.Hint(err), errTwoKinds)
	}
	if got, want := sdk.RetryAfter(err), 1501*time.Millisecond; got != want {
		t.Errorf("another try after %v; want %v", got, want)
	}
}

// A failed Send says only EOF.
func TestRefusedPutSaysWhy(t *testing.T) {
	t.Parallel()
	_, d := open(t, "hostile", nil)
	zeros := io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), 64<<20)
	if err := d.Put(t.Context(), "refuse", zeros); !errors.Is(err, sdk.ErrNoSpace) || !strings.HasPrefix(err.Error(), "refused after a byte") {
		t.Errorf("Put: %v; want ErrNoSpace with its text", err)
	}
}

func TestSourcesErrorComesBack(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{errors.New("broken"), io.ErrUnexpectedEOF, wrapped{io.EOF}} {
		_, d := open(t, "hostile", nil)
		for _, name := range []string{"a", "parts", "careless", "distracted"} {
			r := io.MultiReader(strings.NewReader("some bytes"), iotest.ErrReader(broken))
			if err := d.Put(t.Context(), name, r); !errors.Is(err, broken) {
				t.Errorf("Put(%s): %v; want %v", name, err, broken)
			}
			if r, err := d.Get(t.Context(), name, 0); !errors.Is(err, sdk.ErrNotExist) {
				t.Errorf("Get(%s) = %v, %v; want ErrNotExist", name, r, err)
			}
		}
	}
}

// wrapped is an error, not the end, though errors.Is takes it for one.
type wrapped struct{ error }

func (w wrapped) Error() string { return "disk: " + w.error.Error() }
func (w wrapped) Unwrap() error { return w.error }

func TestCancelReachesThePlugin(t *testing.T) {
	t.Parallel()
	var out buffer
	d := openDestination(t, start(t, "hostile", Options{Stderr: &out}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := d.(sdk.Replacer).Version(ctx, "wait")
		failed <- err
	}()
	out.await(t, "waiting")
	cancel()
	within(t, soon, "a cancelled call", func() {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want context.Canceled", err)
		}
	})
	within(t, soon, "the plugin", func() {
		for t.Context().Err() == nil {
			for obj := range d.List(t.Context(), "") {
				if obj.Name == "waited" {
					return
				}
			}
		}
	})
}

func TestClosedProcess(t *testing.T) {
	t.Parallel()
	p, d := open(t, "plain", nil)
	if err := d.(io.Closer).Close(); err == nil || err.Error() != "closing is hard" {
		t.Errorf("Close of a destination: %v; want its own error", err)
	}
	if err := d.Delete(t.Context(), "x"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("Delete after Close: %v; want ErrInvalid", err)
	}
	openDestination(t, p, nil)
	if err := p.Close(); err == nil || err.Error() != "closing is hard" {
		t.Errorf("Close: %v; want the error of what it closed", err)
	}
	if err := d.Delete(t.Context(), "x"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Delete after the end: %v; want fs.ErrClosed", err)
	}
	if _, err := p.OpenDestination(t.Context(), nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("OpenDestination after the end: %v; want fs.ErrClosed", err)
	}
}

func TestAbilitiesAreThoseOfThePlugin(t *testing.T) {
	t.Parallel()
	_, d := open(t, "plain", nil)
	_, replaces := d.(sdk.Replacer)
	_, probes := d.(sdk.Prober)
	if replaces || probes {
		t.Errorf("a plain destination replaces: %v, probes: %v", replaces, probes)
	}
	_, d = open(t, "memory", nil)
	_, replaces = d.(sdk.Replacer)
	_, probes = d.(sdk.Prober)
	if !replaces || probes {
		t.Errorf("memory replaces: %v, probes: %v", replaces, probes)
	}
}

func TestSettingsAreStrict(t *testing.T) {
	t.Parallel()
	p := start(t, "memory", Options{})
	_, err := p.OpenDestination(t.Context(), map[string]any{"tokn": "x"})
	want := `unknown setting "tokn", did you mean "token"? (known: uri, token, wait, number): invalid argument`
	if !errors.Is(err, sdk.ErrInvalid) || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
	if _, err := p.OpenDestination(t.Context(), map[string]any{"token": sdk.NewSecret("\xff")}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("secret that is no text: %v; want ErrInvalid", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	_, d := open(t, "memory", nil)
	for _, name := range []string{"", ".", "..", "/a", "a/", "a//b", "a/../b", "../a", "a\x00b", "a\xff", strings.Repeat("n", 1025)} {
		if err := d.Put(t.Context(), name, strings.NewReader("")); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Put(%.20q): %v; want ErrInvalid", name, err)
		}
	}
	for _, name := range []string{"a b", "ü/%20+", "...", "a..b", strings.Repeat("n", 1024)} {
		if err := d.Put(t.Context(), name, strings.NewReader("")); err != nil {
			t.Errorf("Put(%.20q): %v", name, err)
		}
	}
}
